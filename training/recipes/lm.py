"""`lm`: which word comes next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.recipe import Recipe, limit

if TYPE_CHECKING:  # settings are checked before torch is imported
    from training.language import LanguageNetwork


@dataclass(frozen=True)
class LmRecipe(Recipe):
    """Tell which word comes next, for transcripts and to continue a text."""

    steps: int = 12_000
    batch: int = 64
    learning_rate: float = 3e-3
    validate_steps: int = 500
    precision: str = "32-true"
    words: int = 10_000
    """Most words that are known, with the marks of an end and of other words."""
    hidden: int = 128
    """Width of the network, and of the table of words."""
    layers: int = 2
    """Uses of the one GRU cell, one above the other."""
    tied: bool = True
    """One table to read and to write words; false, to compare, gives each its own."""
    dropout: float = 0.4
    """Part of the units that each training step leaves out."""
    longest_words: int = 40
    """Longer sentences are cut."""
    transcripts: int = 3
    """How often an epoch has the transcripts of speech beside the texts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        limit(
            self,
            words=(4, 10**6),
            hidden=(1, 8192),
            layers=(1, 64),
            dropout=(0, 0.95),
            longest_words=(1, 1000),
            transcripts=(0, 100),
        )

    def network(self, n_words: int | None = None) -> LanguageNetwork:
        """Return the network that these settings describe, with fresh weights.

        `n_words` is how many words its texts have, where they are fewer than `words`.
        """
        from training.language import LanguageNetwork

        return LanguageNetwork(
            self.words if n_words is None else n_words,
            self.hidden,
            self.layers,
            tied=self.tied,
            dropout=self.dropout,
        )
