"""Graphs that converters cannot lose sharing in."""

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from edge_runtime.errors import ModuleError
from export.prepare import prepare


def prepared(module: nn.Module, *example: Tensor) -> GraphModule:
    return prepare({"forward": (module, example)})["forward"]


def targets(graph: GraphModule) -> list[str]:
    return [
        str(node.target) for node in graph.graph.nodes if node.op == "call_function"
    ]


def with_statistics(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """Return the norm as training leaves it: nothing about it is one or zero."""
    with torch.no_grad():
        for tensor in (norm.running_mean, norm.weight, norm.bias):
            assert tensor is not None
            tensor.normal_()
        assert norm.running_var is not None
        norm.running_var.uniform_(0.5, 2.0)
    return norm


def test_a_norm_behind_a_kernel_of_its_own_is_folded() -> None:
    """One convolution is left, and computes the same."""
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), with_statistics(nn.BatchNorm2d(4)), nn.ReLU()
    ).eval()
    picture = torch.randn(1, 3, 8, 8)

    graph = prepared(module, picture)

    assert ["aten.conv2d.default", "aten.relu.default"] == targets(graph)
    assert 2 == len(list(graph.parameters()))
    torch.testing.assert_close(module(picture), graph(picture)[0])


class SharedUnderNorms(nn.Module):
    """One convolution, with a batch norm of its own behind each use."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(
            [with_statistics(nn.BatchNorm2d(4)) for _ in range(2)]
        )

    def forward(self, h: Tensor) -> Tensor:
        for norm in self.norms:
            h = norm(self.conv(h))
        return h


def test_norms_behind_a_shared_kernel_stay_outside_it() -> None:
    """The kernel is there once, and unchanged; each norm is a factor and a term."""
    module = SharedUnderNorms().eval()
    picture = torch.randn(1, 4, 8, 8)

    graph = prepared(module, picture)

    step = ["aten.conv2d.default", "aten.mul.Tensor", "aten.add.Tensor"]
    assert step + step == targets(graph)
    kernels = [p for p in graph.parameters() if p.shape == module.conv.weight.shape]
    assert [module.conv.weight.data_ptr()] == [k.data_ptr() for k in kernels]
    torch.testing.assert_close(module(picture), graph(picture)[0])


def test_entry_points_share_what_their_modules_share() -> None:
    """A backbone that two modules hold is the same tensor in both graphs."""
    backbone = nn.Linear(4, 4)
    heads = [nn.Sequential(backbone, nn.Linear(4, n)) for n in (2, 3)]
    x = torch.randn(1, 4)

    graphs = prepare({f"head_{i}": (head, (x,)) for i, head in enumerate(heads)})

    found = [{p.data_ptr() for p in graph.parameters()} for graph in graphs.values()]
    assert {backbone.weight.data_ptr(), backbone.bias.data_ptr()} == found[0] & found[1]


def test_a_parametrized_weight_is_computed_once() -> None:
    """However often a weight-normed layer runs, its weight is one plain tensor."""
    layer = parametrizations.weight_norm(nn.Linear(4, 4))
    module = nn.Sequential(layer, nn.ReLU(), layer)
    x = torch.randn(1, 4)

    graph = prepared(module, x)

    linear = "aten.linear.default"
    assert [linear, "aten.relu.default", linear] == targets(graph)
    assert 2 == len({p.data_ptr() for p in graph.parameters()})
    torch.testing.assert_close(module(x), graph(x)[0])


@pytest.mark.parametrize("kind", [nn.GRUCell, nn.LSTMCell])
def test_recurrent_cells_are_linear_maps(kind: type[nn.Module]) -> None:
    """Quantizers know linear maps; the cell computes what it did."""

    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = kind(3, 4)

        def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
            if kind is nn.LSTMCell:
                return tuple(self.cell(x, (h, c)))
            return self.cell(x, h), c + 1

    module = Step()
    inputs = torch.randn(1, 3), torch.randn(1, 4), torch.randn(1, 4)

    graph = prepared(module, *inputs)

    assert 2 == targets(graph).count("aten.linear.default")
    torch.testing.assert_close(module(*inputs), tuple(graph(*inputs)))


class Read(nn.Module):
    """A weight read transposed, and if asked, plainly as well."""

    def __init__(self, *, plainly: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4))
        self.plainly = plainly

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(x, self.weight.t())
        return F.linear(x, self.weight) if self.plainly else x


def test_the_one_form_of_a_weight_is_a_constant() -> None:
    """A weight that is read in one order alone is stored in that order."""
    module, x = Read(plainly=False), torch.randn(1, 4)

    graph = prepared(module, x)

    assert ["aten.linear.default"] == targets(graph)
    torch.testing.assert_close(module(x), graph(x)[0])


def test_a_second_form_of_a_weight_stays_a_view() -> None:
    """As a constant it would be a copy."""
    module, x = Read(plainly=True), torch.randn(1, 4)

    graph = prepared(module, x)

    assert 1 == targets(graph).count("aten.t.default")
    assert [module.weight.data_ptr()] == [p.data_ptr() for p in graph.parameters()]
    torch.testing.assert_close(module(x), graph(x)[0])


class Undecided(nn.Module):
    """What it computes depends on the numbers it is given."""

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x
        return -x


def test_a_module_that_cannot_be_traced_is_named_with_its_line() -> None:
    """The message leads to the line of the user's own code."""
    with pytest.raises(ModuleError) as caught:
        prepared(Undecided(), torch.randn(2))

    assert str(caught.value).startswith("forward: cannot be traced: ")
    assert "test_prepare.py:" in str(caught.value)


class SharedBias(nn.Module):
    """A bias of a convolution, a transposed one and a linear map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.back = nn.ConvTranspose2d(4, 4, 3, padding=1)
        self.map = nn.Linear(4, 4)
        self.back.bias = self.map.bias = self.conv.bias

    def forward(self, h: Tensor) -> Tensor:
        h = self.back(self.conv(h))
        mapped: Tensor = self.map(h.permute(0, 2, 3, 1))
        return mapped


def test_a_bias_of_several_kernels_is_a_term() -> None:
    """No kernel has it as its bias; it is added behind each, and stored once."""
    module = SharedBias().eval()
    picture = torch.randn(1, 4, 8, 8)

    graph = prepared(module, picture)

    assert 3 == targets(graph).count("aten.add.Tensor")
    assert 4 == len({p.data_ptr() for p in graph.parameters()})
    torch.testing.assert_close(module(picture), graph(picture)[0])


def test_a_bias_of_one_kernel_stays() -> None:
    """A layer that runs twice keeps kernel and bias together."""
    layer = nn.Linear(4, 4)

    graph = prepared(nn.Sequential(layer, nn.ReLU(), layer), torch.randn(1, 4))

    assert "aten.add.Tensor" not in targets(graph)
