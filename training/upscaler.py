"""Doubles a picture's size: one block, repeated at the small size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from training.repeated import RepeatedNetwork
from training.scaling import SCALE


class Upscaler(RepeatedNetwork):
    """Doubles a picture's size, at any offered depth.

    Colours are enlarged bilinearly. One head, one block repeated `depth` times
    and one tail, all at the small size, add the missing detail to the brightness, the
    same to all three colours. Recursion at the small size after DRCN
    (arXiv:1511.04491) and FSRCNN (arXiv:1608.00367).
    """

    scale = SCALE

    def __init__(
        self,
        channels: int = 48,
        depths: Sequence[int] = (1, 2, 4, 8),
        *,
        n_convolutions: int = 2,
        rounding: bool = False,
    ) -> None:
        super().__init__(
            3,
            channels,
            SCALE**2,
            depths,
            n_convolutions=n_convolutions,
            rounding=rounding,
        )
        with torch.no_grad():
            self.tail.weight.mul_(0.1)  # starts near the bilinear enlargement

    def receptive_radius_px(self, depth: int) -> int:
        return self.n_grid_px(depth)

    def into(self, picture: Tensor, *told: Tensor) -> Tensor:
        return picture

    def out_of(self, made: Tensor, picture: Tensor, *told: Tensor) -> Tensor:
        return enlarge(picture, SCALE) + F.pixel_shuffle(made, SCALE)


def enlarge(picture: Tensor, scale: int) -> Tensor:
    """Return (B, 3, n · Y, n · X) of (B, 3, Y, X), bilinearly."""
    return F.interpolate(
        picture, scale_factor=scale, mode="bilinear", align_corners=False
    )
