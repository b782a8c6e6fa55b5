"""`digits`: spoken English digits, alone or connected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_runtime.errors import SettingError
from edge_runtime.front_end import FRONT_ENDS, FrontEnd
from training.recipe import Recipe, limit
from training.speech import ALPHABET, STRIDE_FRAMES

if TYPE_CHECKING:  # settings are checked before torch is imported
    from training.transcriber import TranscriberNetwork

DIGITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
)  # fmt: skip


@dataclass(frozen=True)
class DigitsRecipe(Recipe):
    """Write down spoken English digits, alone or connected, or words of your own."""

    steps: int = 4_000
    batch: int = 32
    learning_rate: float = 2e-3
    muon_rate: float = 0.02
    validate_steps: int = 500
    keep: str = "last"
    precision: str = "32-true"
    hidden: int = 128
    """Width of the network."""
    layers: int = 2
    """Uses of the one GRU cell, one above the other."""
    dropout: float = 0.0
    """Part of the units that each training step leaves out."""
    chunk_frames: int = 12
    """Frames of 10 ms per step of the exported network; a multiple of 3."""
    synthetic: int = 6000
    """Clips made by espeak-ng and flite; 0 for recordings alone."""
    flite: float = 0.4
    """Part of those clips that flite makes, out of the recordings of four people."""
    foreign: float = 0.5
    """Part of espeak-ng's clips that have the accent of another language."""
    other_speech: float = 0.0
    """Part of the steps that show other English words, by some 200 more speakers."""
    vocabulary: tuple[str, ...] = DIGITS
    """The only words that are written; `vocabulary=` alone for free text."""
    hold_out: str = ""
    """A speaker to score on instead of training on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        limit(
            self,
            hidden=(1, 8192),
            layers=(1, 64),
            dropout=(0, 0.95),
            chunk_frames=(STRIDE_FRAMES, 999),
            synthetic=(0, 10**6),
            flite=(0, 1),
            foreign=(0, 1),
            other_speech=(0, 1),
        )
        if self.chunk_frames % STRIDE_FRAMES:
            raise SettingError(
                f"chunk_frames={self.chunk_frames}: expected a multiple of"
                f" {STRIDE_FRAMES}"
            )
        for word in self.vocabulary:
            if not word or not set(word) <= {*ALPHABET} - {" "}:
                raise SettingError(
                    f"vocabulary: word {word!r}, expected letters a to z and"
                    " apostrophes"
                )
        if len(set(self.vocabulary)) < len(self.vocabulary):
            raise SettingError("vocabulary: a word stands in it twice")

    @property
    def front_end(self) -> FrontEnd:
        """What the features are computed with."""
        return FRONT_ENDS[8000]

    def network(self) -> TranscriberNetwork:
        """Return the network that these settings describe, with fresh weights."""
        from training.transcriber import TranscriberNetwork, enlarge

        network = TranscriberNetwork(
            self.front_end.n_mels,
            self.hidden,
            self.layers,
            len(ALPHABET),
            self.dropout,
        )
        if self.muon_rate:
            enlarge(network)
        return network
