"""Settings of every picture network whose one block is repeated."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_runtime.errors import SettingError
from training.recipe import Recipe, limit

if TYPE_CHECKING:  # settings are checked before torch is imported
    from training.repeated import RepeatedNetwork

MAX_DEPTH = 64
MAX_CONVOLUTIONS = 16


@dataclass(frozen=True)
class RepeatedRecipe(Recipe):
    """A block that runs as often as is asked for, trained at all depths on offer."""

    muon_rate: float = 0.004
    channels: int = 48
    """Width of the network."""
    convolutions: int = 2
    """In the block. Of two, with a head and a tail that are linear, one run has a
    single ReLU: three were 0.9 dB better at depth 1 (24 channels against 32)."""
    depths: tuple[int, ...] = (1, 2, 4, 8)
    """Depths on offer; the deepest comes last."""
    depth_weights: tuple[float, ...] = (0.02, 0.12, 0.03, 1.0)
    """Loss weight of each depth. Equal weights let early depths do all the work: a
    denoiser's depth 6 was then 0.02 dB above its depth 3 (measured)."""
    patch_px: int = 96
    """Side of the squares that are cut out of the photographs; an even number."""
    quantize_aware: bool = False
    """Round as static int8 does while training; for a last stage, with init=."""

    def __post_init__(self) -> None:
        super().__post_init__()
        limit(
            self,
            channels=(1, 4096),
            convolutions=(2, MAX_CONVOLUTIONS),
            depths=(1, MAX_DEPTH),
            depth_weights=(0, 1e6),
            patch_px=(2, 4096),
        )
        if not self.depths or list(self.depths) != sorted(set(self.depths)):
            raise SettingError(
                f"depths: found {self.depths}, expected rising numbers from 1"
            )
        if len(self.depth_weights) != len(self.depths):
            raise SettingError(
                f"depth_weights: found {len(self.depth_weights)} of them, expected one"
                f" for each of the {len(self.depths)} depths"
            )
        if not self.depth_weights[-1]:
            raise SettingError("depth_weights: the last is 0, expected more than 0")
        if self.patch_px % 2:  # networks work at half resolution, or double it
            raise SettingError(f"patch_px={self.patch_px}: expected an even number")

    @abstractmethod
    def network(self) -> RepeatedNetwork:
        """Return the network that these settings describe, with fresh weights."""
