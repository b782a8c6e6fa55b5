"""What all networks share whose one block is repeated on a picture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.rounding import ConvRounding
from training.sharing import RepeatedBlock

FOLD_PX = 2
"""Networks at half resolution fold a picture into this many phases along each axis."""


class RepeatedNetwork(nn.Module, ABC):
    """One head, one block repeated `depth` times, and one tail used by every depth.

    Each offered depth has a bias of its own behind the tail. What goes into the head,
    and what becomes of what the tail gives, is each network's own.
    """

    multiple_px: int = FOLD_PX
    """What the sides of a picture have to be multiples of."""
    scale: int = 1
    """Output pixels per input pixel, along either axis."""
    told: tuple[int, ...] = ()
    """Numbers in each of the things that the network is told beside the picture."""

    def __init__(
        self,
        n_in: int,
        channels: int,
        n_out: int,
        depths: Sequence[int],
        *,
        n_convolutions: int = 2,
        n_banks: int = 1,
        end_px: int = 3,
        rescalable: bool = False,
        rounding: bool,
    ) -> None:
        super().__init__()
        self.depths = tuple(depths)
        self._end_radius = pad = end_px // 2
        self.head = nn.Conv2d(n_in, channels, end_px, padding=pad, bias=False)
        self.body = RepeatedBlock(
            channels,
            self.depths[-1],
            n_convolutions=n_convolutions,
            n_banks=n_banks,
            rescalable=rescalable,
            rounding=rounding,
        )
        self.tail = nn.Conv2d(channels, n_out, end_px, padding=pad, bias=False)
        self.tail_bias = nn.Parameter(torch.zeros(len(self.depths), n_out))
        self.head_rounding = ConvRounding(enabled=rounding)
        self.tail_rounding = ConvRounding(enabled=rounding)

    @abstractmethod
    def receptive_radius_px(self, depth: int) -> int:
        """How far, in pixels of the picture given, an output pixel sees at `depth`."""

    @abstractmethod
    def into(self, picture: Tensor, *told: Tensor) -> Tensor:
        """Return what the head reads, (B, n_in, Y, X)."""

    @abstractmethod
    def out_of(self, made: Tensor, picture: Tensor, *told: Tensor) -> Tensor:
        """Return the new picture from the tail's result, (B, n_out, Y, X)."""

    def at_depth(self, picture: Tensor, *told: Tensor, depth: int) -> Tensor:
        """Return the new picture at one depth; shapes as for `forward`."""
        how = self.mixture(*told), self.unit(*told)
        stream = self.body(self.stream(picture, *told), depth, *how)
        return self._exit(stream, depth, picture, *told)

    def forward(self, picture: Tensor, *told: Tensor) -> list[Tensor]:
        """Return the new picture, unclipped, at every offered depth.

        `picture` is (B, 3, Y, X) in 0–1; each of what the network is `told` beside it
        is (B, n, 1, 1).
        """
        how = self.mixture(*told), self.unit(*told)
        stream = self.body.steps(self.stream(picture, *told), self.depths[-1], *how)
        return [
            self._exit(h, depth, picture, *told)
            for depth, h in enumerate(stream, start=1)
            if depth in self.depths
        ]

    def mixture(self, *told: Tensor) -> Tensor | None:
        """Return how much of each bank of the block is used, (B, n_banks, 1, 1)."""
        return None

    def unit(self, *told: Tensor) -> Tensor | float:
        """Return what biases are multiplied by, (B, 1, 1, 1)."""
        return 1.0

    def behind_head(self, h: Tensor, *told: Tensor) -> Tensor:
        """Return the stream, (B, C, Y, X), of what the head gives."""
        return h

    def before_tail(self, h: Tensor, *told: Tensor) -> Tensor:
        """Return what the tail reads of the stream, (B, C, Y, X)."""
        return h

    def bias_of_exit(self, bias: Tensor, *told: Tensor) -> Tensor:
        """Return what the tail's result gets, of a depth's own bias, (n_out, 1, 1)."""
        return bias

    def n_grid_px(self, depth: int) -> int:
        """How far, in pixels of the stream, head, body and tail see together."""
        return 2 * self._end_radius + self.body.radius(depth)

    def stream(self, picture: Tensor, *told: Tensor) -> Tensor:
        """Return what the first step gets, (B, C, Y, X)."""
        # Convolutions on a CPU run a tenth faster where channels lie last.
        read = self.into(picture, *told).contiguous(memory_format=torch.channels_last)
        return self.behind_head(self.head_rounding(read, self.head), *told)

    def _exit(self, h: Tensor, depth: int, picture: Tensor, *told: Tensor) -> Tensor:
        bias = self.tail_bias[self.depths.index(depth)][:, None, None]
        made = self.tail_rounding(self.before_tail(h, *told), self.tail)
        made = made + self.bias_of_exit(bias, *told)
        return self.out_of(made, picture, *told)


def fold(picture: Tensor, *told: Tensor, fold_px: int = FOLD_PX) -> Tensor:
    """Return (B, 4C + n, Y/2, X/2): a picture's phases, then what is told, as maps.

    Phases come in rows, then columns, then colours. Where channels lie last, whole
    runs of a row are copied so, while colours before phases, as `pixel_unshuffle` has
    them, move each number by itself.
    """
    batch, channels, y, x = picture.shape
    n = fold_px
    folded = picture.reshape(batch, channels, y // n, n, x // n, n)
    folded = folded.permute(0, 3, 5, 1, 2, 4).reshape(batch, -1, y // n, x // n)
    maps = [one.expand(-1, -1, *folded.shape[2:]) for one in told]
    return torch.cat([folded, *maps], dim=1)


def unfold(folded: Tensor, fold_px: int = FOLD_PX) -> Tensor:
    """Return the picture, (B, C, Y, X), of its phases, (B, 4C, Y/2, X/2)."""
    batch, _, y, x = folded.shape
    n = fold_px
    picture = folded.reshape(batch, n, n, -1, y, x).permute(0, 3, 4, 1, 5, 2)
    return picture.reshape(batch, -1, y * n, x * n)


def folded_radius_px(n_grid_px: int, fold_px: int = FOLD_PX) -> int:
    """Return how far a network on phases sees, in pixels of the picture."""
    return fold_px * n_grid_px + fold_px - 1
