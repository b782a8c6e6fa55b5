"""Modules that share weights, at the sizes of real ones, to be exported both ways.

`export.side_by_side` converts each of them with the plain exporters and with tiedge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

CHANNELS = 48
SIDE_PX = 64
HIDDEN = 128
N_SYMBOLS = 512
N_TOKENS = 16
N_KERNELS = 4
N_HEADS = 4

Draw = Callable[[], Tensor]


@dataclass(frozen=True)
class Comparison:
    """A way to share weights, and how a module that does so is made and fed."""

    name: str
    make: Callable[[], Mapping[str, nn.Module]]
    """Gives a module per entry point; all take the same inputs, and share weights."""
    draws: Mapping[str, Draw]
    """Input name to what draws one at random."""
    static: bool
    """Whether its int8 form is static, as for pictures; else dynamic."""

    def modules(self) -> dict[str, nn.Module]:
        """Return the module of each entry point, the same weights at every call."""
        torch.manual_seed(0)
        return {name: module.eval() for name, module in self.make().items()}

    def inputs(self, seed: int) -> dict[str, Tensor]:
        """Return one set of inputs by name."""
        torch.manual_seed(seed)
        return {name: draw() for name, draw in self.draws.items()}


class RepeatedConv(nn.Module):
    """One convolution run n times; each step scales and shifts its result."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.scale = nn.Parameter(0.3 + 0.1 * torch.rand(n, CHANNELS, 1, 1))
        self.bias = nn.Parameter(0.1 * torch.randn(n, CHANNELS, 1, 1))

    def forward(self, h: Tensor) -> Tensor:
        """Take and give (B, C, Y, X)."""
        for scale, bias in zip(self.scale, self.bias, strict=True):
            h = h + F.relu(self.conv(h) * scale + bias)
        return h


class Repeated(nn.Module):
    """One block run n times."""

    def __init__(self, block: nn.Module, n: int) -> None:
        super().__init__()
        self.block = block
        self.n = n

    def forward(self, h: Tensor) -> Tensor:
        """Take and give what the block does."""
        for _ in range(self.n):
            h = self.block(h)
        return h


class Separable(nn.Module):
    """A depthwise convolution and a pointwise one around a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS)
        self.pointwise = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, h: Tensor) -> Tensor:
        """Take and give (B, C, Y, X)."""
        result: Tensor = h + self.pointwise(F.relu(self.depthwise(h)))
        return result


class LayeredGRU(nn.Module):
    """One GRU cell as three layers, each with a state of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(HIDDEN, HIDDEN)

    def forward(
        self, x: Tensor, s0: Tensor, s1: Tensor, s2: Tensor
    ) -> tuple[Tensor, ...]:
        """Take and give (B, H): the input, then the states."""
        states = []
        for state in (s0, s1, s2):
            states.append(self.cell(x, state))
            x = x + states[-1]
        return (x, *states)


class LayeredLSTM(nn.Module):
    """One LSTM cell as two layers, each with a state of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(HIDDEN, HIDDEN)

    def forward(
        self, x: Tensor, h0: Tensor, c0: Tensor, h1: Tensor, c1: Tensor
    ) -> tuple[Tensor, ...]:
        """Take and give (B, H): the input, then the states."""
        states: list[Tensor] = []
        for pair in ((h0, c0), (h1, c1)):
            states += self.cell(x, pair)
            x = x + states[-2]
        return (x, *states)


class TiedEmbedding(nn.Module):
    """A language model's frame: the embedding is the output projection, too."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(N_SYMBOLS, HIDDEN)
        self.hidden = nn.Linear(HIDDEN, HIDDEN)
        self.output = nn.Linear(HIDDEN, N_SYMBOLS, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, symbols: Tensor) -> Tensor:
        """Take (B, T) whole numbers, give (B, T, V)."""
        result: Tensor = self.output(torch.tanh(self.hidden(self.embedding(symbols))))
        return result


class TiedTransposedConv(nn.Module):
    """An autoencoder whose decoder is its encoder's kernel, transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(CHANNELS, HIDDEN, 4, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(HIDDEN, CHANNELS, 4, stride=2, padding=1)
        self.up.weight = self.down.weight

    def forward(self, h: Tensor) -> Tensor:
        """Take and give (B, C, Y, X)."""
        result: Tensor = self.up(F.relu(self.down(h)))
        return result


class TiedTransposedLinear(nn.Module):
    """A bottleneck whose second map is the first one's transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(HIDDEN, HIDDEN // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Take and give (B, H)."""
        return F.linear(F.relu(self.encode(x)), self.encode.weight.t())


class Pyramid(nn.Module):
    """One head over feature maps of three sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.shrink = nn.Conv2d(CHANNELS, CHANNELS, 3, stride=2, padding=1)
        self.head = nn.Sequential(
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, 4, 1),
        )

    def forward(self, h: Tensor) -> tuple[Tensor, ...]:
        """Take (B, C, Y, X), give (B, 4, Y, X) at full, half and quarter size."""
        middle = F.relu(self.shrink(h))
        maps = (h, middle, F.relu(self.shrink(middle)))
        return tuple(self.head(one) for one in maps)


class Attention(nn.Module):
    """A transformer's block."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.out = nn.Linear(HIDDEN, HIDDEN)
        self.widen = nn.Linear(HIDDEN, 4 * HIDDEN)
        self.narrow = nn.Linear(4 * HIDDEN, HIDDEN)
        self.norm_1 = nn.LayerNorm(HIDDEN)
        self.norm_2 = nn.LayerNorm(HIDDEN)

    def forward(self, h: Tensor) -> Tensor:
        """Take and give (B, T, H)."""
        b, t, _ = h.shape
        q, k, v = (
            part.reshape(b, t, N_HEADS, -1).transpose(1, 2)
            for part in self.qkv(self.norm_1(h)).chunk(3, dim=2)
        )
        mixed = F.scaled_dot_product_attention(q, k, v)
        h = h + self.out(mixed.transpose(1, 2).reshape(b, t, HIDDEN))
        result: Tensor = h + self.narrow(F.gelu(self.widen(self.norm_2(h))))
        return result


class KernelBank(nn.Module):
    """Two convolutions whose kernel an input mixes from one bank."""

    def __init__(self) -> None:
        super().__init__()
        shape = (N_KERNELS, CHANNELS, CHANNELS, 3, 3)
        self.bank = nn.Parameter(0.05 * torch.randn(shape))

    def forward(self, h: Tensor, mix: Tensor) -> Tensor:
        """Take (B, C, Y, X) and the share of each kernel; give (B, C, Y, X)."""
        kernel = (self.bank * mix.reshape(-1, 1, 1, 1, 1)).sum(0)
        h = F.relu(F.conv2d(h, kernel, padding=1))
        return F.relu(F.conv2d(h, kernel, padding=1))


class SharedBias(nn.Module):
    """Three convolutions of their own with one bias."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(3)
        )
        for conv in self.convs:
            conv.bias = self.convs[0].bias

    def forward(self, h: Tensor) -> Tensor:
        """Take and give (B, C, Y, X)."""
        for conv in self.convs:
            h = F.relu(conv(h))
        return h


def _conv() -> nn.Module:
    return nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)


def _one(make: Callable[[], nn.Module]) -> Callable[[], dict[str, nn.Module]]:
    return lambda: {"forward": make()}


def _two_entry_points() -> dict[str, nn.Module]:
    backbone = nn.Sequential(_conv(), nn.ReLU(), _conv(), nn.ReLU())
    return {
        "detect": nn.Sequential(backbone, nn.Conv2d(CHANNELS, 4, 1)),
        "edges": nn.Sequential(backbone, nn.Conv2d(CHANNELS, 1, 3, padding=1)),
    }


def _normed() -> nn.Module:
    block = nn.Sequential(parametrizations.weight_norm(_conv()), nn.ReLU())
    return Repeated(block, 3)


def _picture() -> Tensor:
    return torch.randn(1, CHANNELS, SIDE_PX, SIDE_PX)


def _row() -> Tensor:
    return torch.randn(1, HIDDEN)


def _symbols() -> Tensor:
    return torch.randint(0, N_SYMBOLS, (1, N_TOKENS), dtype=torch.int32)


def _tokens() -> Tensor:
    return torch.randn(1, N_TOKENS, HIDDEN)


def _mix() -> Tensor:
    return torch.softmax(torch.randn(N_KERNELS), 0)


_PICTURE = {"h": _picture}
_GRU = dict.fromkeys(("x", "s0", "s1", "s2"), _row)
_LSTM = dict.fromkeys(("x", "h0", "c0", "h1", "c1"), _row)

COMPARISONS = {
    one.name: one
    for one in (
        Comparison("conv × 4", _one(lambda: RepeatedConv(4)), _PICTURE, True),
        Comparison("conv × 16", _one(lambda: RepeatedConv(16)), _PICTURE, True),
        Comparison(
            "depthwise-separable × 4",
            _one(lambda: Repeated(Separable(), 4)),
            _PICTURE,
            True,
        ),
        Comparison("GRU cell × 3 layers", _one(LayeredGRU), _GRU, False),
        Comparison("LSTM cell × 2 layers", _one(LayeredLSTM), _LSTM, False),
        Comparison(
            "embedding = projection", _one(TiedEmbedding), {"symbols": _symbols}, False
        ),
        Comparison("conv = transposed conv", _one(TiedTransposedConv), _PICTURE, True),
        Comparison(
            "linear = its transpose", _one(TiedTransposedLinear), {"x": _row}, False
        ),
        Comparison("head over 3 sizes", _one(Pyramid), _PICTURE, True),
        Comparison("2 entry points, 1 backbone", _two_entry_points, _PICTURE, True),
        Comparison(
            "attention block × 6",
            _one(lambda: Repeated(Attention(), 6)),
            {"h": _tokens},
            False,
        ),
        Comparison("kernel bank", _one(KernelBank), {**_PICTURE, "mix": _mix}, True),
        Comparison("bias of 3 convs", _one(SharedBias), _PICTURE, True),
        Comparison("weight-normed conv × 3", _one(_normed), _PICTURE, True),
    )
}
"""By name, in the order of the tables."""
