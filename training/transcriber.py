"""The streaming speech network: causal convolutions, one shared GRU cell, CTC."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.sharing import SharedGRU
from training.speech import STRIDE_FRAMES

CONTEXT_FRAMES = 6
"""Frames under the first convolution."""
CONTEXT_STEPS = 3
"""Steps of STRIDE_FRAMES under the second convolution."""
KERNELS = ("subsample", "context", "gru.cell", "gru.others")
"""Parts of the names of the weights that each step multiplies by."""
START = 2.0
"""First kernels, as multiples of torch's own, where Muon keeps their norm. After 800
steps, 1 and 3 had more letters wrong."""


@dataclass(frozen=True)
class StateTensor:
    """One tensor that a step receives and hands on."""

    input: str
    output: str
    shape: tuple[int, ...]
    reset: float = 0.0


class TranscriberNetwork(nn.Module):
    """Log-mel frames to CTC logits; looks back only, never ahead.

    Both convolutions are linear maps over stacked frames: that is what a dynamic int8
    engine runs best, and one operator type less to export.
    """

    def __init__(
        self,
        n_mels: int,
        hidden: int,
        n_layers: int,
        n_symbols: int,
        dropout: float = 0.0,
        layers: type[SharedGRU] = SharedGRU,
    ) -> None:
        super().__init__()
        self.subsample = nn.Linear(CONTEXT_FRAMES * n_mels, hidden)
        self.context = nn.Linear(CONTEXT_STEPS * hidden, hidden)
        self.gru = layers(hidden, n_layers)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, n_symbols)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits, (B, T / 3, V), of features, (B, T, M); T divides by 3."""
        past = CONTEXT_FRAMES - STRIDE_FRAMES
        h = F.relu(self.subsample(stack(features, past, STRIDE_FRAMES)))
        h = self.dropout(h)
        h = h + F.relu(self.context(stack(h, CONTEXT_STEPS - 1, 1)))
        return self.output(self.dropout(self.gru(self.dropout(h))))


class TranscriberStep(nn.Module):
    """One chunk of one utterance with explicit state: the form that is exported."""

    def __init__(self, network: TranscriberNetwork, chunk_frames: int) -> None:
        super().__init__()
        if chunk_frames % STRIDE_FRAMES:
            raise ValueError(f"chunk_frames={chunk_frames}: expected a multiple of 3")
        self.network = network
        self.chunk_frames = chunk_frames

    @property
    def n_mels(self) -> int:
        """Width of the features."""
        return self.network.subsample.in_features // CONTEXT_FRAMES

    @property
    def logits_per_chunk(self) -> int:
        """Steps of logits that one call returns."""
        return self.chunk_frames // STRIDE_FRAMES

    def state_tensors(self) -> tuple[StateTensor, ...]:
        """Return the states in the order in which `forward` takes and returns them."""
        hidden = self.network.subsample.out_features
        gru = tuple(
            StateTensor(f"gru_{layer}", f"next_gru_{layer}", (1, hidden))
            for layer in range(self.network.gru.n_layers)
        )
        past = CONTEXT_FRAMES - STRIDE_FRAMES
        return (
            StateTensor("frames", "next_frames", (1, past, self.n_mels)),
            StateTensor("steps", "next_steps", (1, CONTEXT_STEPS - 1, hidden)),
            *gru,
        )

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Return features and states as `forward` takes them, all zero."""
        features = torch.zeros(1, self.chunk_frames, self.n_mels)
        return (features, *(torch.zeros(s.shape) for s in self.state_tensors()))

    def forward(
        self, features: Tensor, frames: Tensor, steps: Tensor, *gru: Tensor
    ) -> tuple[Tensor, ...]:
        """Return logits, (1, logits_per_chunk, V), and each state's next value.

        `features` is (1, chunk_frames, M).
        """
        network = self.network
        seen = torch.cat([frames, features], dim=1)[0]  # (past + chunk_frames, M)
        stacked = _windows(seen, CONTEXT_FRAMES, STRIDE_FRAMES)
        h = F.relu(_linear(network.subsample, stacked))  # (T, H)
        known = torch.cat([steps[0], h])  # (CONTEXT_STEPS - 1 + T, H)
        context = _windows(known, CONTEXT_STEPS, 1)
        h = h + F.relu(_linear(network.context, context))
        h, next_gru = network.gru.step(h, gru)
        logits = _linear(network.output, h)[None]
        next_frames = seen[None, self.chunk_frames :]
        next_steps = known[None, self.logits_per_chunk :]
        return (logits, next_frames, next_steps, *next_gru)


@torch.no_grad()
def enlarge(network: nn.Module) -> None:
    """Multiply the kernels of a fresh network by START."""
    for name, weight in network.named_parameters():
        if weight.ndim > 1 and any(part in name for part in KERNELS):
            weight.mul_(START)


def _linear(layer: nn.Linear, h: Tensor) -> Tensor:
    return F.linear(h, layer.weight, layer.bias)


def stack(h: Tensor, past: int, stride: int) -> Tensor:
    """Return windows of past + stride steps, (B, T / stride, window · C), of (B, T, C).

    Before the first step stand zeros.
    """
    padded = F.pad(h, (0, 0, past, 0))
    windows = padded.unfold(1, past + stride, stride)  # (B, T / stride, C, window)
    return windows.transpose(2, 3).flatten(2)


def _windows(h: Tensor, length: int, stride: int) -> Tensor:
    """Return the windows, (n, length · C), of (T, C), made of slices alone."""
    n_windows = (h.shape[0] - length) // stride + 1
    starts = range(0, n_windows * stride, stride)
    return torch.cat([h[s : s + length].reshape(1, -1) for s in starts])
