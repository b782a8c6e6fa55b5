"""Doubles a picture's size: one block, repeated at the small size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.rounding import ConvRounding
from training.scaling import SCALE
from training.sharing import RepeatedBlock

LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue (ITU-R BT.601): what papers measure, but for its range."""


class Upscaler(nn.Module):
    """Doubles a picture's size, at any offered depth.

    Colours are enlarged bilinearly. One head, one block repeated `depth` times
    and one tail, all at the small size, add the missing detail to the brightness, the
    same to all three colours. Each offered depth has a bias of its own behind the
    tail. Recursion at the small size after DRCN (arXiv:1511.04491) and FSRCNN
    (arXiv:1608.00367).
    """

    def __init__(
        self,
        channels: int = 48,
        depths: Sequence[int] = (1, 2, 4, 8),
        *,
        rounding: bool = False,
    ) -> None:
        super().__init__()
        self.depths = tuple(depths)
        self.head = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.body = RepeatedBlock(channels, self.depths[-1], rounding=rounding)
        self.tail = nn.Conv2d(channels, SCALE**2, 3, padding=1, bias=False)
        self.tail_bias = nn.Parameter(torch.zeros(len(self.depths), SCALE**2))
        self.head_rounding = ConvRounding(enabled=rounding)
        self.tail_rounding = ConvRounding(enabled=rounding)
        with torch.no_grad():
            self.tail.weight.mul_(0.1)  # starts near the bilinear enlargement

    def receptive_radius_px(self, depth: int) -> int:
        """How far, in pixels of the small picture, an output pixel sees at `depth`."""
        return 1 + self.body.radius(depth) + 1  # head, body, tail

    def at_depth(self, picture: Tensor, depth: int) -> Tensor:
        """Return the enlarged picture at one depth; shapes as for `forward`."""
        h = self.body(self._stream(picture), depth)
        return self._exit(enlarge(picture), h, depth)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Return the enlarged picture, (B, 3, 2Y, 2X), unclipped, at every depth.

        `picture` is (B, 3, Y, X) in 0–1.
        """
        enlarged = enlarge(picture)
        stream = self.body.steps(self._stream(picture), self.depths[-1])
        return [
            self._exit(enlarged, h, depth)
            for depth, h in enumerate(stream, start=1)
            if depth in self.depths
        ]

    def _stream(self, picture: Tensor) -> Tensor:
        """Return the stream, (B, C, Y, X), before the first step."""
        # Convolutions on a CPU run a tenth faster where channels lie last.
        picture = picture.contiguous(memory_format=torch.channels_last)
        stream: Tensor = self.head_rounding(picture, self.head)
        return stream

    def _exit(self, enlarged: Tensor, h: Tensor, depth: int) -> Tensor:
        bias = self.tail_bias[self.depths.index(depth)][:, None, None]
        detail = self.tail_rounding(h, self.tail) + bias  # (B, 4, Y, X)
        return enlarged + F.pixel_shuffle(detail, SCALE)


def enlarge(picture: Tensor) -> Tensor:
    """Return (B, 3, 2Y, 2X) of (B, 3, Y, X), bilinearly."""
    return F.interpolate(
        picture, scale_factor=SCALE, mode="bilinear", align_corners=False
    )
