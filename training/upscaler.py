"""Doubles a picture's size: one block, repeated at the small size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.rounding import ConvRounding
from training.sharing import RepeatedBlock

SCALE = 2
"""Output pixels per input pixel, along either axis."""
LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue (ITU-R BT.601): what papers measure, but for its range."""
CUBIC_REACH_PX = 2
"""How far the cubic kernel sees, in small pixels."""


class Upscaler(nn.Module):
    """Doubles a picture's size, at any offered depth.

    Colours are enlarged by a cubic kernel. One head, one block repeated `depth` times
    and one tail, all at the small size, add the missing detail to the brightness, the
    same to all three colours. Each offered depth has a bias of its own behind the
    tail. Recursion at the small size after DRCN (arXiv:1511.04491) and FSRCNN
    (arXiv:1608.00367).
    """

    enlarging: Tensor

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
        self.register_buffer("enlarging", cubic_kernels(), persistent=False)
        with torch.no_grad():
            self.tail.weight.mul_(0.1)  # starts near the cubic enlargement

    def receptive_radius_px(self, depth: int) -> int:
        """How far, in pixels of the small picture, an output pixel sees at `depth`."""
        return max(1 + self.body.radius(depth) + 1, CUBIC_REACH_PX)

    def at_depth(self, picture: Tensor, depth: int) -> Tensor:
        """Return the enlarged picture at one depth; shapes as for `forward`."""
        h = self.body(self._stream(picture), depth)
        return self._exit(self.enlarge(picture), h, depth)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Return the enlarged picture, (B, 3, 2Y, 2X), unclipped, at every depth.

        `picture` is (B, 3, Y, X) in 0–1.
        """
        enlarged = self.enlarge(picture)
        stream = self.body.steps(self._stream(picture), self.depths[-1])
        return [
            self._exit(enlarged, h, depth)
            for depth, h in enumerate(stream, start=1)
            if depth in self.depths
        ]

    def enlarge(self, picture: Tensor) -> Tensor:
        """Return (B, 3, 2Y, 2X) of (B, 3, Y, X) by the cubic kernel alone."""
        n = CUBIC_REACH_PX
        padded = F.pad(picture, (n, n, n, n), "replicate")
        phases = F.conv2d(padded, self.enlarging, groups=3)  # (B, 12, Y, X)
        return F.pixel_shuffle(phases, SCALE)

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


def cubic_kernels() -> Tensor:
    """Return the kernels, (12, 1, 5, 5), of cubic enlargement, four for each colour.

    They are Keys's (1981, a = -0.5), which papers' bicubic is. The pixels of the
    large picture lie a quarter of a small pixel before and behind each small one.
    """
    places = torch.arange(-CUBIC_REACH_PX, CUBIC_REACH_PX + 1, dtype=torch.float64)
    rows = torch.stack([_keys((places - at).abs()) for at in (-0.25, 0.25)])  # (2, 5)
    phases = rows[:, None, :, None] * rows[None, :, None, :]  # (2, 2, 5, 5)
    return phases.reshape(SCALE**2, 1, *phases.shape[2:]).repeat(3, 1, 1, 1).float()


def _keys(distance: Tensor) -> Tensor:
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    beyond = torch.zeros_like(distance)
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, beyond))
