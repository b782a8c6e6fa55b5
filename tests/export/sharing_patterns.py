"""The ways in which modules share weights, each tiny, and each with its untied twin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from export.convert import Entry
from tests.export.pattern_modules import (
    CHANNELS,
    HIDDEN,
    N_SYMBOLS,
    Attention,
    ConvAutoencoder,
    InTurn,
    LanguageModel,
    LayeredGRU,
    LayeredLSTM,
    LinearAutoencoder,
    MixedKernels,
    NormedSteps,
    Pyramid,
    ResidualBlock,
    ScaledSteps,
    SeparableBlock,
    SharedBias,
    TwoNames,
    Views,
    uses,
    weight_normed,
)

SIDE_PX = 16
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
    n_in_turn: int
    """How many uses of one kernel or matrix are on the way to an output, at most."""

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


def _same(h: Tensor) -> Tensor:
    return h


def _two_entry_points(tied: bool) -> Mapping[str, nn.Module]:
    backbones = uses(lambda: nn.Sequential(ResidualBlock(), nn.ReLU()), 2, tied)
    return {
        "detect": nn.Sequential(backbones[0], nn.Conv2d(CHANNELS, 4, 1)),
        "edges": nn.Sequential(backbones[1], nn.Conv2d(CHANNELS, 1, 3, padding=1)),
    }


def _pattern(
    name: str,
    n_in_turn: int,
    module: Callable[[bool], nn.Module],
    **inputs: Callable[[], Tensor],
) -> Pattern:
    return Pattern(name, lambda tied: {"forward": module(tied)}, inputs, n_in_turn)


def _repeated(name: str, make: Callable[[], nn.Module], n: int) -> Pattern:
    return _pattern(name, n, lambda tied: InTurn(uses(make, n, tied), _same), h=picture)


PATTERNS = (
    _pattern("conv × 1, scaled", 1, lambda tied: ScaledSteps(1, tied), h=picture),
    _pattern("conv × 4, scaled per step", 4, lambda t: ScaledSteps(4, t), h=picture),
    _pattern("conv × 16, scaled per step", 16, lambda t: ScaledSteps(16, t), h=picture),
    _repeated("residual block × 4", ResidualBlock, 4),
    _pattern("conv × 3, batch norm per step", 3, NormedSteps, h=picture),
    _repeated("depthwise-separable block × 4", SeparableBlock, 4),
    _pattern("GRU cell × 3 layers", 3, LayeredGRU, x=row, s0=row, s1=row, s2=row),
    _pattern(
        "LSTM cell × 2 layers", 2, LayeredLSTM, x=row, h0=row, c0=row, h1=row, c1=row
    ),
    _pattern("embedding = projection", 2, LanguageModel, symbols=symbols),
    _pattern("conv = transposed conv", 2, ConvAutoencoder, picture=picture),
    _pattern("linear = its transpose", 2, LinearAutoencoder, x=row),
    _pattern("head over 3 sizes", 1, Pyramid, h=picture),
    Pattern("two entry points, one backbone", _two_entry_points, {"h": picture}, 1),
    _pattern(
        "attention block × 6",
        6,
        lambda tied: InTurn(uses(Attention, 6, tied), _same),
        h=sequence,
    ),
    _pattern("kernel bank mixed by an input", 2, MixedKernels, h=picture, mix=mixture),
    _pattern("views of one parameter", 1, Views, x=row),
    _pattern("bias alone", 1, SharedBias, h=picture),
    _pattern(
        "weight-normed conv × 3",
        3,
        lambda tied: InTurn(uses(weight_normed, 3, tied), torch.relu),
        h=picture,
    ),
    _pattern("one module, two names", 2, TwoNames, x=row),
)
