"""A GRU's layers as they are trained: one cell for all at once, or a cell each."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.sharing import SharedGRU
from training.wavefront import wavefront


class WavefrontGRU(SharedGRU):
    """A `SharedGRU` whose layers run at once: the same results, sooner."""

    def forward(self, y: Tensor) -> Tensor:
        """Return the stream, (B, T, H), behind the last layer; states begin at zero."""
        scale, bias = torch.stack(tuple(self.scale)), torch.stack(tuple(self.bias))
        return wavefront(y, self.cell, scale, bias)


class SeparateGRU(SharedGRU):
    """What `SharedGRU` is compared with: each layer has a cell of its own."""

    def __init__(self, hidden: int, n_layers: int) -> None:
        super().__init__(hidden, n_layers)
        self.others = nn.ModuleList(
            [nn.GRU(hidden, hidden, batch_first=True) for _ in range(n_layers - 1)]
        )

    def forward(self, y: Tensor) -> Tensor:
        """Return the stream, (B, T, H), behind the last layer; states begin at zero."""
        cells = (self.cell, *self.others)
        for cell, scale, bias in zip(cells, self.scale, self.bias, strict=True):
            out, _ = cell(y)
            y = y + (out * scale + bias)
        return y
