"""`commands`: sentences of a grammar, as they are said."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.errors import SettingError
from training.recipe import limit
from training.recipes.transcribe import TranscribeRecipe


@dataclass(frozen=True)
class CommandsRecipe(TranscribeRecipe):
    """Understand commands: sentences of a grammar, beside other speech."""

    steps: int = 4_000
    learning_rate: float = 1e-3
    muon_rate: float = 0.005
    validate_steps: int = 250
    sentences: str = "coffee"
    """What is said: a ready-made grammar's name, a JSGF file (.gram), or a text with a
    sentence in every line."""
    spoken: int = 4000
    """Clips in which synthesized voices say such sentences."""

    def __post_init__(self) -> None:
        super().__post_init__()
        limit(self, spoken=(1, 10**7))
        if not self.sentences:
            raise SettingError(
                "sentences=: is empty, expected a grammar's name or a file"
            )
