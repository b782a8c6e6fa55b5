"""Light for dark pictures: one curve, applied again and again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from training.repeated import FOLD_PX, RepeatedNetwork, fold, folded_radius_px, unfold

FOLDED = 3 * FOLD_PX**2
TONE_LEVELS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 0.998)
"""Of the quantiles that the network is told; the last stands for white."""
DARKEST_WHITE = 0.02
"""A darker picture is not made brighter than one whose white is here."""
N_CURVES = 8
"""How often the curve is applied (Zero-DCE, arXiv:2001.06826, does as well)."""


class Enhancer(RepeatedNetwork):
    """Gives pictures the light that they lack, at any offered depth.

    Beside the picture, (B, 3, Y, X) with even sides, it is told quantiles of the whole
    picture's values, (B, n, 1, 1), and the strength, (B, 1, 1, 1): 0 gives the
    picture back, 1 all that the network would do.

    The picture is scaled so that its white is 1. Then each value v becomes
    v + a · v · (1 - v), eight times with the same a of its own, -1 to 1: that stays
    within 0–1 and keeps the order of values. At last, what noise remains is taken
    away. Curves after Zero-DCE (arXiv:2001.06826).
    """

    told = (len(TONE_LEVELS), 1)

    def __init__(
        self,
        channels: int = 32,
        depths: Sequence[int] = (1, 2, 4, 8),
        *,
        n_convolutions: int = 2,
        rounding: bool = False,
    ) -> None:
        n_in = FOLDED + len(TONE_LEVELS)
        super().__init__(
            n_in,
            channels,
            2 * FOLDED,
            depths,
            n_convolutions=n_convolutions,
            rounding=rounding,
        )
        with torch.no_grad():
            self.tail.weight.mul_(0.1)  # starts near doing nothing

    def receptive_radius_px(self, depth: int) -> int:
        return folded_radius_px(self.n_grid_px(depth))

    def into(self, picture: Tensor, *told: Tensor) -> Tensor:
        tones, _ = told
        return fold(scaled(picture, white_of(tones)), told_tones(tones))

    def out_of(self, made: Tensor, picture: Tensor, *told: Tensor) -> Tensor:
        tones, strength = told
        curve, noise = (unfold(part) for part in made.chunk(2, dim=1))
        light = brightened(scaled(picture, white_of(tones)), curve)
        return picture + strength * (light - noise - picture)


def white_of(tones: Tensor) -> Tensor:
    """Return the white, (B, 1, 1, 1), of quantiles, (B, n, 1, 1)."""
    return tones[:, -1:].clamp_min(DARKEST_WHITE)


def scaled(picture: Tensor, white: Tensor) -> Tensor:
    """Return a picture with its white at 1, within 0–1."""
    return (picture / white).clamp(0.0, 1.0)


def told_tones(tones: Tensor) -> Tensor:
    """Return what the head reads of quantiles: the others by white, and white.

    Their roots, which tell dark tones apart in 8 bits.
    """
    white = white_of(tones)
    return torch.cat([tones[:, :-1] / white, white], dim=1).clamp(0.0, 1.0).sqrt()


def brightened(picture: Tensor, curve: Tensor) -> Tensor:
    """Return the picture after all applications of one curve, both of one shape."""
    a = torch.tanh(curve)
    for _ in range(N_CURVES):
        picture = picture + a * picture * (1.0 - picture)
    return picture
