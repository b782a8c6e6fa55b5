"""The speech network as it is trained: with a second output, and layers to compare."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.sharing import SharedGRU
from training.speech import STRIDE_FRAMES
from training.transcriber import (
    CONTEXT_FRAMES,
    CONTEXT_STEPS,
    TranscriberNetwork,
    stack,
)
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
    """A `TranscriberNetwork` that is taught phones beside letters.

    In training it returns the logits of both; the phones' head stands in the middle of
    the layers (hierarchical CTC, Fernández et al., IJCAI 2007) and serves for training
    alone. `settle` takes it away.
    """

    def __init__(
        self,
        n_mels: int,
        hidden: int,
        n_layers: int,
        n_symbols: int,
        dropout: float,
        *,
        shared: bool,
        n_phones: int,
    ) -> None:
        super().__init__(n_mels, hidden, n_layers, n_symbols, dropout)
        if not shared:
            self.gru = SeparateGRU(hidden, n_layers)
        self.phones = nn.Linear(hidden, n_phones) if n_phones else None

    def forward(self, features: Tensor) -> Tensor | tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return logits, (B, T / 3, V), of features, (B, T, M); T divides by 3.

        In training, with phones, their logits, (B, T / 3, P), are returned as well.
        """
        past = CONTEXT_FRAMES - STRIDE_FRAMES
        h = F.relu(self.subsample(stack(features, past, STRIDE_FRAMES)))
        h = self.dropout(h)
        h = h + F.relu(self.context(stack(h, CONTEXT_STEPS - 1, 1)))
        y = self.dropout(h)
        y, heard = self._run(y)
        logits: Tensor = self.output(self.dropout(y))
        if self.phones is None or not self.training:
            return logits
        return logits, self.phones(self.dropout(heard))

    def _run(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the stream, (B, T, H), behind the last layer and behind the middle."""
        gru = self.gru
        middle = (gru.n_layers - 1) // 2
        if not isinstance(gru, SeparateGRU):
            scale, bias = torch.stack(tuple(gru.scale)), torch.stack(tuple(gru.bias))
            heard, last = wavefront(y, gru.cell, scale, bias, middle)
            return last, heard
        streams = []
        for layer, (scale, bias) in enumerate(zip(gru.scale, gru.bias, strict=True)):
            out, _ = gru.cell_of(layer)(y)
            y = y + (out * scale + bias)
            streams.append(y)
        return y, streams[middle]

    def settle(self) -> None:
        """Take away what serves for training alone."""
        self.phones = None
