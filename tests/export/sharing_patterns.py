"""The ways in which modules share weights, each tiny, and each with its untied twin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from export.convert import Entry

CHANNELS = 8
SIDE_PX = 16
HIDDEN = 16
N_SYMBOLS = 24
N_CALIBRATION = 16
"""At least; a range is taken from CALIBRATION_NUMBERS numbers at least, too."""
CALIBRATION_NUMBERS = 2048
N_HELD_OUT = 4
SEEDS = {"weights": 0, "example": 1, "calibration": 2, "held out": 3, "fresh": 4}

Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class Pattern:
    """One way to share."""

    name: str
    modules: Callable[[bool], Mapping[str, nn.Module]]
    """Takes whether weights are tied, and returns entry point to module; the untied
    twin has a weight of its own at every use."""
    inputs: Mapping[str, Callable[[], Tensor]]
    """Draws each input of every entry point."""

    def entries(self, *, tied: bool) -> dict[str, Entry]:
        """Return the entry points with inputs of one distribution."""
        torch.manual_seed(SEEDS["weights"])
        modules = self.modules(tied)
        return {
            name: Entry(
                module.eval(),
                self.draw("example", 1)[0],
                calibration=self.draw("calibration", self._n_calibration()),
                held_out=self.draw("held out", N_HELD_OUT),
            )
            for name, module in modules.items()
        }

    def _n_calibration(self) -> int:
        size = max(one().numel() for one in self.inputs.values())
        return max(N_CALIBRATION, CALIBRATION_NUMBERS // size)

    def draw(self, purpose: str, n: int) -> list[Inputs]:
        """Return n inputs that no other purpose gets."""
        torch.manual_seed(SEEDS[purpose])
        return [{name: one() for name, one in self.inputs.items()} for _ in range(n)]


def uses(make: Callable[[], nn.Module], n: int, tied: bool) -> nn.ModuleList:
    """Return n modules: one and the same if tied, each its own if not."""
    first = make()
    return nn.ModuleList([first, *(first if tied else make() for _ in range(n - 1))])


def picture() -> Tensor:
    return torch.randn(1, CHANNELS, SIDE_PX, SIDE_PX)


def row() -> Tensor:
    return torch.randn(1, HIDDEN)


def sequence() -> Tensor:
    return torch.randn(1, 10, HIDDEN)


def symbols() -> Tensor:
    return torch.randint(0, N_SYMBOLS, (1, 6))


def mixture() -> Tensor:
    return torch.softmax(torch.randn(4), 0)


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


def _same(h: Tensor) -> Tensor:
    return h


def _two_entry_points(tied: bool) -> Mapping[str, nn.Module]:
    backbones = uses(lambda: nn.Sequential(ResidualBlock(), nn.ReLU()), 2, tied)
    return {
        "detect": nn.Sequential(backbones[0], nn.Conv2d(CHANNELS, 4, 1)),
        "edges": nn.Sequential(backbones[1], nn.Conv2d(CHANNELS, 1, 3, padding=1)),
    }


def _pattern(
    name: str, module: Callable[[bool], nn.Module], **inputs: Callable[[], Tensor]
) -> Pattern:
    return Pattern(name, lambda tied: {"forward": module(tied)}, inputs)


def _repeated(name: str, make: Callable[[], nn.Module], n: int) -> Pattern:
    return _pattern(name, lambda tied: InTurn(uses(make, n, tied), _same), h=picture)


PATTERNS = (
    _pattern("conv × 1, scaled", lambda tied: ScaledSteps(1, tied), h=picture),
    _pattern("conv × 4, scaled per step", lambda t: ScaledSteps(4, t), h=picture),
    _pattern("conv × 16, scaled per step", lambda t: ScaledSteps(16, t), h=picture),
    _repeated("residual block × 4", ResidualBlock, 4),
    _pattern("conv × 3, batch norm per step", NormedSteps, h=picture),
    _repeated("depthwise-separable block × 4", SeparableBlock, 4),
    _pattern("GRU cell × 3 layers", LayeredGRU, x=row, s0=row, s1=row, s2=row),
    _pattern(
        "LSTM cell × 2 layers", LayeredLSTM, x=row, h0=row, c0=row, h1=row, c1=row
    ),
    _pattern("embedding = projection", LanguageModel, symbols=symbols),
    _pattern("conv = transposed conv", ConvAutoencoder, picture=picture),
    _pattern("linear = its transpose", LinearAutoencoder, x=row),
    _pattern("head over 3 sizes", Pyramid, h=picture),
    Pattern("two entry points, one backbone", _two_entry_points, {"h": picture}),
    _pattern(
        "attention block × 6",
        lambda tied: InTurn(uses(Attention, 6, tied), _same),
        h=sequence,
    ),
    _pattern("kernel bank mixed by an input", MixedKernels, h=picture, mix=mixture),
    _pattern("views of one parameter", Views, x=row),
    _pattern("bias alone", SharedBias, h=picture),
    _pattern(
        "weight-normed conv × 3",
        lambda tied: InTurn(uses(weight_normed, 3, tied), torch.relu),
        h=picture,
    ),
    _pattern("one module, two names", TwoNames, x=row),
)
