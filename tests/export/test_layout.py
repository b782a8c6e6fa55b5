from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn import functional as F

from edge_runtime.engines import open_engine
from export.convert import Entry, convert
from export.layout import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    Layout,
    prefer,
    put_channels_first,
    take_channels_last,
)
from export.prepare import prepare

PERMUTE = torch.ops.aten.permute.default


class Block(nn.Module):
    """A residual block on (B, Y, X, C), with a bias for each channel as an input."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, h: Tensor, bias: Tensor) -> Tensor:
        branch = F.relu(pixels_last(self.first, h) + bias)
        return h * 0.5 + pixels_last(self.second, branch)


class WithWeight(Block):
    """The same with a factor that is a weight, (C,)."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.rand(4))

    def forward(self, h: Tensor, bias: Tensor) -> Tensor:
        return super().forward(h, bias) * self.factor


class Turned(nn.Module):
    """Gives (B, Y, X, C) of what it never had in that order."""

    def forward(self, h: Tensor, bias: Tensor) -> Tensor:
        return (h.flip(3).reshape(1, 4, 6, 8) + bias[0, 0]).permute(0, 2, 3, 1)


class ChannelsFirst(Block):
    """The block written on (B, C, Y, X), behind a permutation of its input."""

    def forward(self, h: Tensor, bias: Tensor) -> Tensor:
        h = h.permute(0, 3, 1, 2)
        return (h * bias[..., None, None] + self.first(h)).permute(0, 2, 3, 1)


class Woven(nn.Module):
    """Permutations that cross: of an input, of a sum, of the result of both."""

    def forward(self, h: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
        first = h.permute(0, 3, 1, 2)  # (2, 4, 6, 8)
        total = first.permute(0, 2, 3, 1) * 2.0 + rows  # (2, 6, 8, 4)
        turned = torch.relu(total.permute(0, 3, 1, 2) - first)
        again = turned.permute(0, 2, 3, 1).add(h, alpha=3)
        return total, again.permute(0, 2, 3, 1), torch.sigmoid(again), first


def pixels_last(convolution: nn.Module, h: Tensor) -> Tensor:
    out: Tensor = convolution(h.permute(0, 3, 1, 2))
    return out.permute(0, 2, 3, 1)


def example() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.rand(1, 6, 8, 4), torch.rand(1, 4)


def graph_of(module: nn.Module) -> GraphModule:
    return prepare({"main": (module, example())})["main"]


def n_permutes(graph: GraphModule) -> int:
    return sum(node.target == PERMUTE for node in graph.graph.nodes)


def test_no_permutation_is_left_around_convolutions() -> None:
    """The picture is taken, and given, as (B, C, Y, X) in the memory that it had."""
    graph = graph_of(Block())
    (expected,) = graph(*example())

    prefer(graph, CHANNELS_FIRST)
    taken = take_channels_last(graph, example())

    assert frozenset({0}) == taken
    assert 0 == n_permutes(graph)
    (found,) = graph(*put_channels_first(example(), taken))
    assert (1, 4, 6, 8) == found.shape
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(expected, found.permute(0, 2, 3, 1))


def test_a_weight_keeps_its_shape() -> None:
    """An operator on a weight stays where it is, and so does the weight."""
    graph = graph_of(WithWeight())
    (expected,) = graph(*example())

    prefer(graph, CHANNELS_FIRST)
    taken = take_channels_last(graph, example())

    assert (4,) == graph.factor.shape
    (found,) = graph(*put_channels_first(example(), taken))
    assert (1, 6, 8, 4) == found.shape
    torch.testing.assert_close(expected, found)


def test_an_output_of_other_memory_stays_permuted() -> None:
    """What lies as (B, C, Y, X) is handed out as (B, Y, X, C), as asked."""
    graph = graph_of(Turned())
    (expected,) = graph(*example())

    prefer(graph, CHANNELS_FIRST)
    taken = take_channels_last(graph, example())

    assert frozenset() == taken
    (found,) = graph(*example())
    assert (1, 6, 8, 4) == found.shape
    assert torch.equal(expected, found)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_file_takes_and_gives_what_the_module_does(
    tmp_path: Path, precision: str
) -> None:
    """The caller sees (B, Y, X, C) on both sides of a `.pte`."""
    module, inputs = Block(), example()
    entry = Entry(module, inputs, calibration=[inputs])

    bundle = convert(
        entry, tmp_path / "block", formats=("pte",), precisions=(precision,)
    )

    (signature,) = bundle.models[0].signatures
    given = {
        spec.name: value.numpy()
        for spec, value in zip(signature.inputs, inputs, strict=True)
    }
    with open_engine("executorch", bundle.models[0]) as engine:
        (found,) = engine.run(signature.name, given).values()
    expected = module(*inputs).detach().numpy()
    assert expected.shape == found.shape
    error = np.abs(expected - found).max() / np.abs(expected).max()
    assert error < {"fp32": 1e-6, "int8": 0.03}[precision]


@pytest.mark.parametrize("layout", [CHANNELS_FIRST, CHANNELS_LAST])
def test_what_a_graph_computes_does_not_hang_on_its_layout(layout: Layout) -> None:
    """Operands of any rank move along, and results that are read twice stay right."""
    torch.manual_seed(2)
    inputs = (torch.rand(2, 6, 8, 4), torch.rand(8, 1))
    graph = prepare({"main": (Woven(), inputs)})["main"]
    expected = graph(*inputs)

    prefer(graph, layout)

    for one, other in zip(expected, graph(*inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_factor_in_front_of_a_convolution_moves_to_its_memory() -> None:
    """With channels last, only convolutions are left between permutations."""
    graph = graph_of(ChannelsFirst())

    prefer(graph, CHANNELS_LAST)

    moved = [
        tuple(node.meta["val"].shape)
        for node in graph.graph.nodes
        if node.target == torch.ops.aten.mul.Tensor
    ]
    assert [(1, 6, 8, 4)] == moved
