"""`denoise`: photographs with Gaussian noise, any strength up to sigma_max."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_runtime.errors import SettingError
from edge_runtime.pictures import PICTURE_PEAK
from training.recipe import Recipe, limit

if TYPE_CHECKING:  # settings are checked before torch is imported
    from training.denoiser import Denoiser

MAX_DEPTH = 64


@dataclass(frozen=True)
class DenoiseRecipe(Recipe):
    """Take Gaussian noise of any strength out of photographs."""

    steps: int = 30_000
    batch: int = 6
    learning_rate: float = 1.5e-3
    muon_rate: float = 0.02
    validate_steps: int = 2000
    channels: int = 48
    """Width of the network."""
    depths: tuple[int, ...] = (1, 2, 4, 8)
    """Depths on offer; the deepest comes last."""
    depth_weights: tuple[float, ...] = (0.04, 0.04, 0.08, 1.0)
    """Loss weight of each depth. Equal weights let early depths do all the work:
    depth 6 was then 0.02 dB above depth 3 (measured)."""
    patch_px: int = 80
    """Side of the squares that are cut out of the photographs; an even number."""
    sigma_max: float = 55.0
    """Strongest noise trained on, in units of 255."""
    validate_sigma: float = 25.0
    """Noise of the held-out photographs, in units of 255."""
    quantize_aware: bool = False
    """Round as static int8 does while training; for a last stage, with init=."""

    def __post_init__(self) -> None:
        super().__post_init__()
        limit(
            self,
            channels=(1, 4096),
            depths=(1, MAX_DEPTH),
            depth_weights=(0, 1e6),
            patch_px=(2, 4096),
            sigma_max=(0.1, PICTURE_PEAK),
            validate_sigma=(0, self.sigma_max),
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
        if self.patch_px % 2:  # the network works at half resolution
            raise SettingError(f"patch_px={self.patch_px}: expected an even number")

    def network(self) -> Denoiser:
        """Return the network that these settings describe, with fresh weights."""
        from training.denoiser import Denoiser

        return Denoiser(self.channels, self.depths, rounding=self.quantize_aware)
