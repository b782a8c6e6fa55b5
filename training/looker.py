"""Looks for pictures: one block whose rows are mixed by the look that is chosen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.repeated import RepeatedNetwork, fold, folded_radius_px, unfold
from training.sharing import mixed
from training.upscaler import enlarge

FOLD_PX = 4
"""Phases along each axis: at a quarter of the resolution, a look costs little time."""
N_COLOURS = 3
FOLDED = N_COLOURS * FOLD_PX**2
GAIN = 8.0
"""Gains come out of the tail so much smaller: they share its int8 range with changes
of the picture, which need finer steps."""


class Looker(RepeatedNetwork):
    """Gives a picture one of several looks, at any offered depth.

    Beside the picture, (B, 3, Y, X) with sides that are multiples of 4, it is told
    the look, (B, n, 1, 1), of which one number is 1 and the others 0, and the
    strength, (B, 1, 1, 1): 0 gives the picture back.

    The picture comes back times a gain, found for every fourth pixel and colour and
    enlarged bilinearly, plus a change: what is linear in the picture nearby keeps its
    edges, as in a guided filter (He et al. 2010).

    All looks share all kernels. A look is what it mixes of three banks of rows: the
    block's scales and biases at each step, the gains of the channels in front of the
    tail, and how much of the picture is kept. A gain in front of a kernel is a kernel
    of the look's own, mixed from the channels of one that is stored once.
    """

    multiple_px = FOLD_PX

    def __init__(
        self,
        channels: int = 32,
        depths: Sequence[int] = (1, 2, 4),
        n_looks: int = 5,
        *,
        n_convolutions: int = 2,
        rounding: bool = False,
    ) -> None:
        super().__init__(
            FOLDED,
            channels,
            FOLDED + N_COLOURS,
            depths,
            n_convolutions=n_convolutions,
            n_banks=n_looks,
            rounding=rounding,
        )
        self.told = (n_looks, 1)
        self.gain = nn.Parameter(torch.ones(n_looks * channels))
        self.kept = nn.Parameter(torch.ones(n_looks * N_COLOURS))
        with torch.no_grad():
            self.tail.weight.mul_(0.1)  # starts near doing nothing

    def receptive_radius_px(self, depth: int) -> int:
        return folded_radius_px(self.n_grid_px(depth) + 1, FOLD_PX)

    def mixture(self, *told: Tensor) -> Tensor | None:
        look, _ = told
        return look

    def into(self, picture: Tensor, *told: Tensor) -> Tensor:
        return fold(picture, fold_px=FOLD_PX)

    def before_tail(self, h: Tensor, *told: Tensor) -> Tensor:
        look, _ = told
        return h * mixed(self.gain, look)

    def out_of(self, made: Tensor, picture: Tensor, *told: Tensor) -> Tensor:
        look, strength = told
        change, gain = (made * strength).split([FOLDED, N_COLOURS], dim=1)
        kept = GAIN * gain + (1.0 + strength * (mixed(self.kept, look) - 1.0))
        return picture * enlarge(kept, FOLD_PX) + unfold(change, FOLD_PX)
