"""`transcribe`: English speech, as it is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_runtime.errors import SettingError
from edge_runtime.front_end import FRONT_ENDS, FrontEnd
from training.phones import PHONES
from training.recipe import Recipe, limit
from training.speech import ALPHABET, STRIDE_FRAMES

if TYPE_CHECKING:  # settings are checked before torch is imported
    from training.transcriber import TranscriberNetwork


@dataclass(frozen=True)
class TranscribeRecipe(Recipe):
    """Write down English speech while it is being said."""

    steps: int = 7_500
    batch: int = 16
    learning_rate: float = 2e-3
    muon_rate: float = 0.015
    validate_steps: int = 500
    ema_decay: float = 0.998
    precision: str = "32-true"
    sample_rate_hz: int = 16_000
    """Of the sound that the network hears: 16000, or 8000 for telephones alone."""
    hidden: int = 320
    """Width of the network."""
    layers: int = 4
    """Uses of the one GRU cell, one above the other."""
    shared: bool = True
    """One GRU cell for all layers; false, to compare, gives each layer its own."""
    dropout: float = 0.1
    """Part of the units that each training step leaves out."""
    chunk_frames: int = 12
    """Frames of 10 ms per step of the exported network; a multiple of 3."""
    phones: float = 2.0
    """Weight of the loss on the phones that espeak-ng says a text has, beside that on
    letters; 0 for letters alone."""
    crf: float = 0.0
    """Of the loss on phones, how much makes a text win against all others, as trigrams
    of phones weigh them; below 1, the rest makes it likely by itself (CTC-CRF)."""
    synthetic: int = 1500
    """Clips made by espeak-ng, flite and festival; 0 for recordings alone."""
    distorted: float = 0.1
    """Part of the examples whose sound is distorted: noise, rooms, levels."""
    varied: float = 0.3
    """Part of the examples whose features, as they are kept on disk, are changed in
    tempo, formants and response, which costs less; the others are as recorded."""
    masks: int = 2
    """Bands, and moments, of an example that are blanked, at most."""
    longest_s: float = 12.0
    """Longer clips are not trained on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        limit(
            self,
            hidden=(1, 8192),
            layers=(1, 64),
            dropout=(0, 0.95),
            chunk_frames=(STRIDE_FRAMES, 30),
            phones=(0, 100),
            crf=(0, 1),
            synthetic=(0, 10**7),
            distorted=(0, 1),
            varied=(0, 1),
            masks=(0, 20),
            longest_s=(0.5, 60),
        )
        if self.chunk_frames % STRIDE_FRAMES:
            raise SettingError(
                f"chunk_frames={self.chunk_frames}: expected a multiple of"
                f" {STRIDE_FRAMES}"
            )
        if self.crf and not self.phones:
            raise SettingError(
                f"crf={self.crf:g}: is about phones, found phones=0; expected a weight"
                " for them, or crf=0"
            )
        if self.sample_rate_hz not in FRONT_ENDS:
            raise SettingError(
                f"sample_rate_hz={self.sample_rate_hz}: expected one of"
                f" {' '.join(map(str, FRONT_ENDS))}"
            )

    @property
    def front_end(self) -> FrontEnd:
        """What the features are computed with."""
        return FRONT_ENDS[self.sample_rate_hz]

    def network(self) -> TranscriberNetwork:
        """Return the network that these settings describe, with fresh weights."""
        from training.gru_layers import SeparateGRU, WavefrontGRU
        from training.transcriber import TranscriberNetwork, enlarge

        network = TranscriberNetwork(
            self.front_end.n_mels,
            self.hidden,
            self.layers,
            len(ALPHABET) + (len(PHONES) if self.phones else 0),
            self.dropout,
            WavefrontGRU if self.shared else SeparateGRU,
        )
        if self.muon_rate:
            enlarge(network)
        return network
