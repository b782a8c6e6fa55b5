"""Weights that a `.pte` reads in two forms stay out of its delegates."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn import functional as F

from export.prepare import prepare
from export.second_form import keep_in_program, read_in_two_forms

HIDDEN, SYMBOLS = 8, 12


class Tied(nn.Module):
    """A table, a projection with it and one with its slice; and a layer beside."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(SYMBOLS, HIDDEN))
        self.layer = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, symbols: Tensor) -> tuple[Tensor, Tensor]:
        h = self.layer(F.embedding(symbols, self.table))
        return F.linear(h, self.table), F.linear(h, self.table[:3], self.table[0, :3])


class Repeated(nn.Module):
    """One layer, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, h: Tensor) -> Tensor:
        return self.layer(self.layer(h))  # type: ignore[no-any-return]


SENTENCE = torch.tensor([[1, 5, 11]])


def prepared(module: nn.Module, example: Tensor) -> GraphModule:
    torch.manual_seed(0)
    return prepare({"forward": (module, (example,))})["forward"]


def test_a_repeated_layer_has_one_form() -> None:
    """Uses alike need no care: XNNPACK stores one kernel for them."""
    graph = prepared(Repeated(), torch.randn(1, HIDDEN))

    assert frozenset() == read_in_two_forms([graph])


@pytest.mark.parametrize(("integers", "tolerance"), [(False, 1e-5), (True, 0.1)])
def test_what_is_kept_computes_the_same(integers: bool, tolerance: float) -> None:
    """Lookup, product and slice read one constant; exact, or rounded to int8."""
    module = Tied().eval()
    graph = prepared(module, SENTENCE)

    keep_in_program(graph, read_in_two_forms([graph]), integers=integers)

    kept = [b for name, b in graph.named_buffers() if name.endswith("_kept")]
    stored = torch.int8 if integers else torch.float32
    assert [((1, SYMBOLS, HIDDEN), stored)] == [(tuple(b.shape), b.dtype) for b in kept]
    for expected, found in zip(module(SENTENCE), graph(SENTENCE), strict=True):
        torch.testing.assert_close(expected, found, atol=tolerance, rtol=0)


def test_a_slice_of_zeros_stays_zero() -> None:
    """A row without a range is no division by zero."""
    module = Tied().eval()
    with torch.no_grad():
        module.table[4] = 0.0
    graph = prepared(module, SENTENCE)

    keep_in_program(graph, read_in_two_forms([graph]), integers=True)

    projected, _ = graph(SENTENCE)
    assert [0.0] * 3 == projected[0, :, 4].tolist()
