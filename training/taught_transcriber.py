"""The speech network as it is trained: all layers at once, or with cells to compare."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.sharing import SharedGRU
from training.transcriber import TranscriberNetwork
from training.wavefront import wavefront


class SeparateGRU(SharedGRU):
    """What `SharedGRU` is compared with: each layer has a cell of its own."""

    def __init__(self, hidden: int, n_layers: int) -> None:
        super().__init__(hidden, n_layers)
        self.others = nn.ModuleList(
            [nn.GRU(hidden, hidden, batch_first=True) for _ in range(n_layers - 1)]
        )

    def cell_of(self, layer: int) -> nn.Module:
        """Return the cell of a layer, counted from 0."""
        return self.others[layer - 1] if layer else self.cell


class TaughtTranscriber(TranscriberNetwork):
    """A `TranscriberNetwork` that trains fast, or whose layers have their own cells."""

    def __init__(
        self,
        n_mels: int,
        hidden: int,
        n_layers: int,
        n_symbols: int,
        dropout: float,
        *,
        shared: bool,
    ) -> None:
        super().__init__(n_mels, hidden, n_layers, n_symbols, dropout)
        if not shared:
            self.gru = SeparateGRU(hidden, n_layers)

    def recur(self, y: Tensor) -> Tensor:
        """Return the stream, (B, T, H), behind the last layer."""
        gru = self.gru
        if not isinstance(gru, SeparateGRU):
            scale, bias = torch.stack(tuple(gru.scale)), torch.stack(tuple(gru.bias))
            return wavefront(y, gru.cell, scale, bias)
        for layer, (scale, bias) in enumerate(zip(gru.scale, gru.bias, strict=True)):
            out, _ = gru.cell_of(layer)(y)
            y = y + (out * scale + bias)
        return y
