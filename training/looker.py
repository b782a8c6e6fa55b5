"""Looks for pictures: one block whose rows are mixed by the look that is chosen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.repeated import RepeatedNetwork, fold, folded_radius_px, unfold
from training.rounding import ConvRounding
from training.sharing import mixed

FOLD_PX = 4
"""Phases along each axis: at a quarter of the resolution, a look costs little time."""
N_COLOURS = 3
FOLDED = N_COLOURS * FOLD_PX**2
SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


class Looker(RepeatedNetwork):
    """Gives a picture one of several looks, at any offered depth.

    Beside the picture, (B, 3, Y, X) with sides that are multiples of 4, it is told
    the look, (B, n, 1, 1), of which one number is 1 and the others 0, and the
    strength, (B, 1, 1, 1): 0 gives the picture back.

    The picture comes back times a gain plus a change, either found for every pixel and
    colour: what is linear in the picture nearby keeps its edges, as in a guided filter
    (He et al. 2010). Then its own outlines are drawn into it, as dark as the look wants
    them.

    All looks share all kernels. A look is what it mixes of banks of rows: the block's
    scales and biases at each step, the gains of the channels in front of the tail, how
    much of the picture is kept, and the darkness of outlines. A gain in front of a
    kernel is a kernel of the look's own, mixed from the channels of one that is stored
    once.
    """

    multiple_px = FOLD_PX

    def __init__(
        self,
        channels: int = 32,
        depths: Sequence[int] = (1, 2),
        n_looks: int = 5,
        *,
        n_convolutions: int = 4,
        rounding: bool = False,
    ) -> None:
        super().__init__(
            FOLDED,
            channels,
            2 * FOLDED,
            depths,
            n_convolutions=n_convolutions,
            n_banks=n_looks,
            end_px=1,
            rounding=rounding,
        )
        self.told = (n_looks, 1)
        self.gain = nn.Parameter(torch.ones(n_looks * channels))
        self.kept = nn.Parameter(torch.ones(n_looks * FOLDED))
        self.outlines = Outlines(n_looks, rounding=rounding)
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
        look, strength = told
        return h * (strength * mixed(self.gain, look))

    def bias_of_exit(self, bias: Tensor, *told: Tensor) -> Tensor:
        _, strength = told
        return strength * bias

    def out_of(self, made: Tensor, picture: Tensor, *told: Tensor) -> Tensor:
        look, strength = told
        change, gain = made.chunk(2, dim=1)
        kept = 1.0 + strength * (mixed(self.kept, look) - 1.0)
        plain = fold(picture, fold_px=FOLD_PX) * (gain + kept) + change
        return unfold(self.outlines(plain, look, strength), FOLD_PX)


class Outlines(nn.Module):
    """Draws the outlines that a picture has, darker, into it.

    Slopes of brightness at every pixel, along either axis, come of one convolution of
    the picture's phases; what darkness they stand for, of another. They start as Sobel
    filters and the sum of the slopes' sizes.
    """

    def __init__(self, n_looks: int, *, rounding: bool) -> None:
        super().__init__()
        slopes = sobel_of_phases()
        self.slopes = nn.Conv2d(FOLDED, len(slopes), 3, padding=1, bias=False)
        self.darkness = nn.Conv2d(len(slopes), FOLDED, 1, bias=False)
        self.dark = nn.Parameter(torch.zeros(n_looks * len(slopes)))
        with torch.no_grad():
            self.slopes.weight.copy_(slopes)
            self.darkness.weight.copy_(slopes_of_pixel())
        self.slopes_rounding = ConvRounding(enabled=rounding)
        self.darkness_rounding = ConvRounding(enabled=rounding)

    def forward(self, phases: Tensor, look: Tensor, strength: Tensor) -> Tensor:
        """Return the phases with outlines; all (B, 48, Y, X)."""
        slopes = self.slopes_rounding(phases, self.slopes).abs()
        slopes = slopes * (strength * mixed(self.dark, look))
        return phases - phases * self.darkness_rounding(slopes, self.darkness)


def sobel_of_phases() -> Tensor:
    """Return Sobel filters of every phase's brightness, (2 · 16, 48, 3, 3)."""
    across = torch.tensor(SOBEL)
    filters = torch.stack([across.T, across])[:, None]

    def slopes(phases: Tensor) -> Tensor:
        brightness = unfold(phases, FOLD_PX).mean(dim=1, keepdim=True)
        found = F.conv2d(brightness, filters, padding=1)
        return F.pixel_unshuffle(found, FOLD_PX)[0, :, 1, 1]

    # A convolution's kernel is how its result changes with what it reads.
    nothing = torch.zeros(1, FOLDED, 3, 3)
    kernel: Tensor = torch.autograd.functional.jacobian(slopes, nothing)
    return kernel[:, 0]


def slopes_of_pixel() -> Tensor:
    """Return the kernel, (48, 2 · 16, 1, 1), that adds up a pixel's two slopes."""
    n_pixels = FOLD_PX**2
    own = torch.eye(n_pixels).repeat_interleave(N_COLOURS, dim=0)  # (48, 16)
    return own.repeat(1, 2)[..., None, None]
