"""A recursive residual denoiser at half resolution: one block, run 1 to 8 times."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.rounding import ConvRounding
from training.sharing import RepeatedBlock

UNSHUFFLE_PX = 2
"""The picture is folded into this many phases per axis before the first convolution."""


class Denoiser(nn.Module):
    """Estimates the noise of a picture and takes it away, at any offered depth.

    One head, one block repeated `depth` times, and one tail used by every depth. Each
    offered depth has a bias of its own behind the tail.
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
        folded = 3 * UNSHUFFLE_PX**2
        self.head = nn.Conv2d(folded + 1, channels, 3, padding=1, bias=False)
        self.body = RepeatedBlock(channels, self.depths[-1], rounding=rounding)
        self.tail = nn.Conv2d(channels, folded, 3, padding=1, bias=False)
        self.tail_bias = nn.Parameter(torch.zeros(len(self.depths), folded))
        self.head_rounding = ConvRounding(enabled=rounding)
        self.tail_rounding = ConvRounding(enabled=rounding)

    def receptive_radius_px(self, depth: int) -> int:
        """How far, in picture pixels, an output pixel sees at `depth`."""
        n_grid_px = 1 + self.body.radius(depth) + 1  # head, body, tail
        return UNSHUFFLE_PX * n_grid_px + UNSHUFFLE_PX - 1

    def at_depth(self, picture: Tensor, sigma: Tensor, depth: int) -> Tensor:
        """Return the clean picture at one depth; shapes as for `forward`."""
        h = self.body(self._stream(picture, sigma), depth)
        return self._exit(picture, h, depth)

    def forward(self, picture: Tensor, sigma: Tensor) -> list[Tensor]:
        """Return the clean picture, (B, 3, Y, X), unclipped, at every offered depth.

        `picture` is (B, 3, Y, X) in 0–1 before noise, Y and X even; `sigma` is the
        noise's standard deviation on the same scale, (B, 1, 1, 1).
        """
        stream = self.body.steps(self._stream(picture, sigma), self.depths[-1])
        return [
            self._exit(picture, h, depth)
            for depth, h in enumerate(stream, start=1)
            if depth in self.depths
        ]

    def _stream(self, picture: Tensor, sigma: Tensor) -> Tensor:
        """Return the stream, (B, C, Y/2, X/2), before the first step."""
        stream: Tensor = self.head_rounding(_fold(picture, sigma), self.head)
        return stream

    def _exit(self, picture: Tensor, h: Tensor, depth: int) -> Tensor:
        bias = self.tail_bias[self.depths.index(depth)][:, None, None]
        noise = self.tail_rounding(h, self.tail) + bias  # (B, 12, Y/2, X/2)
        return picture - F.pixel_shuffle(noise, UNSHUFFLE_PX)


def _fold(picture: Tensor, sigma: Tensor) -> Tensor:
    folded = F.pixel_unshuffle(picture, UNSHUFFLE_PX)  # (B, 12, Y/2, X/2)
    noise_map = sigma.expand(-1, 1, *folded.shape[2:])  # (B, 1, Y/2, X/2)
    together = torch.cat([folded, noise_map], dim=1)  # (B, 13, Y/2, X/2)
    # Convolutions on a CPU run a tenth faster where channels lie last.
    return together.contiguous(memory_format=torch.channels_last)
