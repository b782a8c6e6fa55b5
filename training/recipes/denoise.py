"""`denoise`: photographs with Gaussian noise, any strength up to sigma_max."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_runtime.pictures import PICTURE_PEAK
from training.recipe import limit
from training.recipes.repeated import RepeatedRecipe

if TYPE_CHECKING:  # settings are checked before torch is imported
    from training.denoiser import Denoiser


@dataclass(frozen=True)
class DenoiseRecipe(RepeatedRecipe):
    """Take Gaussian noise of any strength out of photographs."""

    steps: int = 30_000
    batch: int = 4
    learning_rate: float = 1.5e-3
    validate_steps: int = 1000
    convolutions: int = 3
    depth_weights: tuple[float, ...] = (0.02, 0.05, 0.03, 1.0)
    sigma_max: float = 55.0
    """Strongest noise trained on, in units of 255."""
    validate_sigma: float = 25.0
    """Noise of the held-out photographs, in units of 255."""
    gray: float = 0.1
    """Part of the examples that are gray: the noise is the same in all colours."""

    def __post_init__(self) -> None:
        super().__post_init__()
        limit(self, sigma_max=(0.1, PICTURE_PEAK), validate_sigma=(0, self.sigma_max))
        limit(self, gray=(0, 1))

    def network(self) -> Denoiser:
        """Return the network that these settings describe, with fresh weights."""
        from training.denoiser import Denoiser

        return Denoiser(
            self.channels,
            self.depths,
            n_convolutions=self.convolutions,
            rounding=self.quantize_aware,
        )


@dataclass(frozen=True)
class DenoiseLiveRecipe(DenoiseRecipe):
    """Take Gaussian noise out of a camera's frames, fast."""

    steps: int = 7_000
    batch: int = 6
    channels: int = 16
    convolutions: int = 8
    depths: tuple[int, ...] = (1, 2)
    depth_weights: tuple[float, ...] = (0.1, 1.0)
    """With more on depth 1, the second run learns to do nothing."""
