"""`looks`: pictures smoothed, detailed, stylized, sketched or glowing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_runtime.errors import SettingError
from training.looks import LOOKS
from training.recipes.repeated import RepeatedRecipe

if TYPE_CHECKING:  # settings are checked before torch is imported
    from training.looker import Looker


@dataclass(frozen=True)
class LooksRecipe(RepeatedRecipe):
    """Give pictures one of several looks."""

    steps: int = 12_000
    batch: int = 10
    learning_rate: float = 2e-3
    validate_steps: int = 1000
    channels: int = 32
    convolutions: int = 4
    depths: tuple[int, ...] = (1, 2)
    depth_weights: tuple[float, ...] = (1.0, 1.0)
    patch_px: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patch_px % 4:  # the network works at a quarter of the resolution
            raise SettingError(f"patch_px={self.patch_px}: expected a multiple of 4")

    def network(self) -> Looker:
        """Return the network that these settings describe, with fresh weights."""
        from training.looker import Looker

        return Looker(
            self.channels,
            self.depths,
            len(LOOKS),
            n_convolutions=self.convolutions,
            rounding=self.quantize_aware,
        )
