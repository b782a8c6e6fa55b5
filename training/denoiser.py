"""A recursive residual denoiser at half resolution: one block, run 1 to 8 times."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.repeated import FOLD_PX, RepeatedNetwork, fold, folded_radius_px, unfold

FOLDED = 3 * FOLD_PX**2
GRAY = 0.5
REACH = 6.0
"""A noisy picture's values lie about 1 + 6 sigma apart: 3 sigma more on either side."""


class Denoiser(RepeatedNetwork):
    """Estimates the noise of a picture and takes it away, at any offered depth.

    Beside the picture, whose sides are even, it is told the noise's standard
    deviation on the picture's scale, (B, 1, 1, 1).

    Everything is computed in units of how far apart the values of such a picture lie.
    That is all the same to float32, and makes the most of int8, where each tensor has
    one range for all pictures: an error of the picture that goes in stays in the one
    that comes out, and at sigma 15 that alone cost 0.04 dB (measured).
    """

    told = (1,)

    def __init__(
        self,
        channels: int = 48,
        depths: Sequence[int] = (1, 2, 4, 8),
        *,
        n_convolutions: int = 3,
        rounding: bool = False,
    ) -> None:
        super().__init__(
            FOLDED,
            channels,
            FOLDED,
            depths,
            n_convolutions=n_convolutions,
            rescalable=True,
            rounding=rounding,
        )
        self.level = nn.Parameter(torch.zeros(channels))
        self.offset = nn.Parameter(torch.zeros(channels))

    def receptive_radius_px(self, depth: int) -> int:
        return folded_radius_px(self.n_grid_px(depth))

    def unit(self, *told: Tensor) -> Tensor:
        (sigma,) = told
        return unit_of(sigma)

    def into(self, picture: Tensor, *told: Tensor) -> Tensor:
        return fold((picture - GRAY) * self.unit(*told))

    def behind_head(self, h: Tensor, *told: Tensor) -> Tensor:
        (sigma,) = told
        rows = sigma * self.level[:, None, None] + self.offset[:, None, None]
        return h + rows * self.unit(*told)

    def bias_of_exit(self, bias: Tensor, *told: Tensor) -> Tensor:
        return bias * self.unit(*told)

    def out_of(self, made: Tensor, picture: Tensor, *told: Tensor) -> Tensor:
        return picture - unfold(made) / self.unit(*told)


def unit_of(sigma: Tensor) -> Tensor:
    """Return what values are multiplied by that noise of sigma has spread."""
    return 1.0 / (1.0 + REACH * sigma)
