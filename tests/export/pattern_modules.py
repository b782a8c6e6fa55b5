"""Small modules whose weights are shared, or not: the twin of each has its own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

CHANNELS = 8
HIDDEN = 16
N_SYMBOLS = 24


def uses(make: Callable[[], nn.Module], n: int, tied: bool) -> nn.ModuleList:
    """Return n modules: one and the same if tied, each its own if not."""
    first = make()
    return nn.ModuleList([first, *(first if tied else make() for _ in range(n - 1))])


def conv() -> nn.Module:
    return nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)


class InTurn(nn.Module):
    """Modules one after the other, each followed by the same function."""

    def __init__(self, modules: nn.ModuleList, then: Callable[[Tensor], Tensor]):
        super().__init__()
        self.steps = modules
        self.then = then

    def forward(self, h: Tensor) -> Tensor:
        for step in self.steps:
            h = self.then(step(h))
        return h


class ResidualBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = conv()
        self.second = conv()

    def forward(self, h: Tensor) -> Tensor:
        return h + 0.3 * self.second(F.relu(self.first(h)))


class SeparableBlock(nn.Module):
    """A depthwise convolution and a pointwise one."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS)
        self.pointwise = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.pointwise(F.relu(self.depthwise(h)))


class ScaledSteps(nn.Module):
    """A convolution run n times; each step scales and shifts its result."""

    def __init__(self, n: int, tied: bool) -> None:
        super().__init__()
        self.convs = uses(conv, n, tied)
        self.scale = nn.ParameterList(
            [nn.Parameter(0.3 + 0.1 * torch.rand(CHANNELS, 1, 1)) for _ in range(n)]
        )
        self.bias = nn.ParameterList(
            [nn.Parameter(0.1 * torch.randn(CHANNELS, 1, 1)) for _ in range(n)]
        )

    def forward(self, h: Tensor) -> Tensor:
        for step, scale, bias in zip(self.convs, self.scale, self.bias, strict=True):
            h = h + F.relu(step(h) * scale + bias)
        return h


class NormedSteps(nn.Module):
    """A shared convolution with a batch norm of its own at each step."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.convs = uses(conv, 3, tied)
        self.norms = nn.ModuleList([_batch_norm() for _ in range(3)])

    def forward(self, h: Tensor) -> Tensor:
        for step, norm in zip(self.convs, self.norms, strict=True):
            h = F.relu(norm(step(h)))
        return h


def _batch_norm() -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(CHANNELS)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    nn.init.normal_(norm.running_mean)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    nn.init.normal_(norm.bias)
    return norm


class LayeredGRU(nn.Module):
    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.cells = uses(lambda: nn.GRUCell(HIDDEN, HIDDEN), 3, tied)

    def forward(
        self, x: Tensor, s0: Tensor, s1: Tensor, s2: Tensor
    ) -> tuple[Tensor, ...]:
        states = []
        for cell, before in zip(self.cells, (s0, s1, s2), strict=True):
            state = cell(x, before)
            states.append(state)
            x = x + state
        return (x, *states)


class LayeredLSTM(nn.Module):
    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.cells = uses(lambda: nn.LSTMCell(HIDDEN, HIDDEN), 2, tied)

    def forward(
        self, x: Tensor, h0: Tensor, c0: Tensor, h1: Tensor, c1: Tensor
    ) -> tuple[Tensor, ...]:
        states: list[Tensor] = []
        for cell, pair in zip(self.cells, ((h0, c0), (h1, c1)), strict=True):
            h, c = cell(x, pair)
            states += [h, c]
            x = x + h
        return (x, *states)


class LanguageModel(nn.Module):
    """An embedding whose table is the projection, too."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(N_SYMBOLS, HIDDEN)
        self.hidden = nn.Linear(HIDDEN, HIDDEN)
        self.output = nn.Linear(HIDDEN, N_SYMBOLS)
        if tied:
            self.output.weight = self.embedding.weight

    def forward(self, symbols: Tensor) -> Tensor:
        h: Tensor = self.output(torch.tanh(self.hidden(self.embedding(symbols))))
        return h


class ConvAutoencoder(nn.Module):
    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.down = nn.Conv2d(CHANNELS, HIDDEN, 4, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(HIDDEN, CHANNELS, 4, stride=2, padding=1)
        if tied:
            self.up.weight = self.down.weight

    def forward(self, picture: Tensor) -> Tensor:
        h: Tensor = self.up(F.relu(self.down(picture)))
        return h


class LinearAutoencoder(nn.Module):
    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.encode = nn.Linear(HIDDEN, CHANNELS)
        self.decode = (
            self.encode.weight
            if tied
            else nn.Parameter(torch.randn(CHANNELS, HIDDEN) / HIDDEN**0.5)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.relu(self.encode(x)), self.decode.t())


class Pyramid(nn.Module):
    """One head over feature maps of three sizes."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.heads = uses(
            lambda: nn.Sequential(conv(), nn.ReLU(), nn.Conv2d(CHANNELS, 4, 1)), 3, tied
        )
        self.shrink = nn.ModuleList(
            [nn.Conv2d(CHANNELS, CHANNELS, 3, stride=2, padding=1) for _ in range(2)]
        )

    def forward(self, h: Tensor) -> tuple[Tensor, ...]:
        found = [self.heads[0](h)]
        for head, shrink in zip(list(self.heads)[1:], self.shrink, strict=True):
            h = F.relu(shrink(h))
            found.append(head(h))
        return tuple(found)


class Attention(nn.Module):
    """Self-attention with two heads, and a feed-forward part."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.out = nn.Linear(HIDDEN, HIDDEN)
        self.up = nn.Linear(HIDDEN, 2 * HIDDEN)
        self.down = nn.Linear(2 * HIDDEN, HIDDEN)
        self.norms = nn.ModuleList([nn.LayerNorm(HIDDEN) for _ in range(2)])
        for norm in self.norms:
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.1)

    def forward(self, h: Tensor) -> Tensor:
        n, t, _ = h.shape
        q, k, v = (
            part.reshape(n, t, 2, HIDDEN // 2).transpose(1, 2)  # (B, heads, T, H / 2)
            for part in self.qkv(self.norms[0](h)).chunk(3, dim=2)
        )
        mixed = F.scaled_dot_product_attention(q, k, v)
        h = h + self.out(mixed.transpose(1, 2).reshape(n, t, HIDDEN))
        return h + self.down(F.gelu(self.up(self.norms[1](h))))


class MixedKernels(nn.Module):
    """Two convolutions whose kernels an input mixes of a bank."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        shape = (4, CHANNELS, CHANNELS, 3, 3)
        banks = [
            nn.Parameter(0.2 * torch.randn(shape)) for _ in range(1 if tied else 2)
        ]
        self.banks = nn.ParameterList(banks)

    def forward(self, h: Tensor, mix: Tensor) -> Tensor:
        for use in range(2):
            bank = self.banks[use % len(self.banks)]
            kernel = (bank * mix.reshape(-1, 1, 1, 1, 1)).sum(0)
            h = F.relu(F.conv2d(h, kernel, padding=1))
        return h


class Views(nn.Module):
    """A parameter as it is, a slice of it and its transpose."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        n = 1 if tied else 3
        shape = (HIDDEN, HIDDEN)
        self.weights = nn.ParameterList(
            [nn.Parameter(torch.randn(shape) / 4) for _ in range(n)]
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        whole, sliced, turned = (self.weights[i % len(self.weights)] for i in range(3))
        return (
            F.linear(x, whole),
            F.linear(x, sliced[: HIDDEN // 2]),
            F.linear(x, turned.t()),
        )


class SharedBias(nn.Module):
    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(3)]
        )
        if tied:
            for one in self.convs:
                one.bias = self.convs[0].bias

    def forward(self, h: Tensor) -> Tensor:
        for one in self.convs:
            h = F.relu(one(h))
        return h


class TwoNames(nn.Module):
    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.encoder = nn.Linear(HIDDEN, HIDDEN)
        self.projector = self.encoder if tied else nn.Linear(HIDDEN, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.projector(torch.tanh(self.encoder(x)))
        return h


def weight_normed() -> nn.Module:
    normed: nn.Module = parametrizations.weight_norm(conv())
    return normed
