from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from training.report import sharing_report
from training.sharing import RepeatedBlock, SharedGRU, TiedProjection, TransposedConv


def uses_of(module: nn.Module, *inputs: torch.Tensor) -> dict[str, int]:
    report = sharing_report(module, lambda: module(*inputs))
    return {weight.name: weight.uses for weight in report.weights}


def test_a_plain_layer_is_used_once() -> None:
    """Without sharing, unique and effective parameters are the same."""
    layer = nn.Linear(3, 2)

    report = sharing_report(layer, lambda: layer(torch.ones(1, 3)))

    assert (8, 8) == (report.unique_parameters, report.effective_parameters)


def test_a_repeated_block_is_used_once_per_step() -> None:
    """All count the depth that ran, and of a table only the rows that were read."""
    body = RepeatedBlock(4, n_steps=3)

    report = sharing_report(body, lambda: body(torch.ones(1, 4, 8, 8), depth=2))

    uses = {weight.name: weight.uses for weight in report.weights}
    assert (2, 2) == (uses["first.weight"], uses["second.weight"])
    assert (2, 2) == (uses["scale"], uses["bias"])
    kernels, step = 2 * 4 * 4 * 9, 2 * 4
    assert kernels + 3 * step == report.unique_parameters
    assert 2 * (kernels + step) == report.effective_parameters


def test_a_gru_cell_is_used_once_per_layer() -> None:
    """A fused GRU is one operator, so three layers are three uses."""
    uses = uses_of(SharedGRU(4, n_layers=3), torch.ones(1, 5, 4))

    assert 3 == uses["cell.weight_ih_l0"] == uses["cell.weight_hh_l0"]
    assert 1 == uses["scale.0"] == uses["bias.2"]


def test_both_directions_of_a_tied_kernel_count() -> None:
    """A kernel that convolves and is transposed is used twice."""
    uses = uses_of(TransposedConv(3, 2), torch.ones(1, 3, 4, 4))

    assert {"weight": 2, "inner_bias": 1, "outer_bias": 1} == uses


def test_a_view_is_no_use_but_what_reads_it_is() -> None:
    """A transposed table counts where it is multiplied, not where it is turned."""

    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            turned = self.weight.t()
            assert turned.shape == (2, 3)
            return x @ turned + x @ turned

    assert {"weight": 2} == uses_of(Turned(), torch.ones(1, 2))


def test_two_names_of_one_tensor_are_one_weight() -> None:
    """Tied modules give one row, with the other name as alias."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(5, 2)
            self.output = nn.Linear(2, 5, bias=False)
            self.output.weight = self.embedding.weight

        def forward(self, symbols: torch.Tensor) -> torch.Tensor:
            return self.output(self.embedding(symbols))

    module = Tied()
    report = sharing_report(module, lambda: module(torch.tensor([1])))

    assert 1 == len(report.weights)
    assert ("output.weight",) == report.weights[0].aliases
    assert (10, 20) == (report.unique_parameters, report.effective_parameters)


def test_a_weight_that_does_not_run_has_no_use() -> None:
    """What a run leaves out is stored, but counts nothing as effective."""
    tied = TiedProjection(5, 2)

    report = sharing_report(tied, lambda: F.linear(torch.ones(1, 2), tied.weight))

    assert [1, 0] == [weight.uses for weight in report.weights]


def test_the_table_names_everything() -> None:
    """The printed report has a line per weight and the totals."""
    conv = TransposedConv(1, 1)

    table = sharing_report(conv, lambda: conv(torch.ones(1, 1, 2, 2))).table()

    assert [
        "weight      shape    parameters  uses  also named",
        "weight      1×1×4×4  16          2",
        "inner_bias  1        1           1",
        "outer_bias  1        1           1",
        "18 unique parameters, 34 effective",
    ] == table.splitlines()
