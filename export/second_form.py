"""Weights that a `.pte` reads in more than one form: kept outside of its delegates.

XNNPACK packs a kernel into a constant of its own, once per form: an embedding that is a
projection, a matrix and its transpose or slice, a kernel of convolutions of both kinds
would lie in the file twice. Such a weight stays a constant of the program and is an
input of what reads it. A linear map becomes a product of two inputs, which XNNPACK
computes; convolutions and lookups run on ExecuTorch's own kernels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.ao.quantization.fx import _decomposed  # noqa: F401  # registers `quantized`
from torch.fx import GraphModule, Node

from export.prepare import VIEWS, constant
from export.trace import identity

aten = torch.ops.aten
quantized = torch.ops.quantized_decomposed

ROLES: dict[tuple[Any, int], str] = {
    (aten.conv1d.default, 1): "kernel",
    (aten.conv2d.default, 1): "kernel",
    (aten.conv_transpose1d.default, 1): "transposed kernel",
    (aten.conv_transpose2d.input, 1): "transposed kernel",
    (aten.embedding.default, 0): "table",
    (aten.linear.default, 1): "matrix",
}
"""Operator and operand to how it wants the weight laid out; all others take it as it
is."""

WIDEST_CODE = 127
"""Of int8 that is symmetric around zero."""


def read_in_two_forms(graphs: Iterable[GraphModule]) -> frozenset[Hashable]:
    """Return the identities of weights that operators read in more than one form."""
    forms: dict[Hashable, set[Hashable]] = defaultdict(set)
    for graph in graphs:
        for node in graph.graph.nodes:
            value = constant(graph, node)
            if value is not None:
                forms[identity(value)] |= set(_forms(node, ""))
    return frozenset(weight for weight, found in forms.items() if len(found) > 1)


def _forms(node: Node, view: str) -> Iterator[Hashable]:
    """Yield how each operator that is no view reads a weight."""
    for user in node.users:
        if user.target in VIEWS:
            yield from _forms(user, f"{view} {user.target}{user.args[1:]}")
            continue
        for position, operand in enumerate(user.args):
            if operand is node:
                yield view, ROLES.get((user.target, position), "as it is")


def keep_in_program(
    graph: GraphModule, weights: frozenset[Hashable], *, integers: bool
) -> None:
    """Take weights, by identity, out of the delegate's reach; it changes no result.

    With `integers` they are stored in int8, one scale per slice of the first axis, and
    are floats again when they are read.
    """
    for node in list(graph.graph.nodes):
        value = constant(graph, node)
        if value is not None and identity(value) in weights:
            _keep(graph, node, value.detach(), integers)
    for node in list(graph.graph.nodes):
        if node.target is aten.linear.default and not _is_constant(node.args[1]):
            _spell_as_product(graph, node)
    graph.graph.eliminate_dead_code()
    graph.graph.lint()
    graph.recompile()


def _is_constant(node: object) -> bool:
    return isinstance(node, Node) and node.op == "get_attr"


def _keep(graph: GraphModule, node: Node, value: Tensor, integers: bool) -> None:
    """Read a weight through a view, which no partitioner takes for a constant."""
    name = f"{str(node.target).replace('.', '_')}_kept"
    call = graph.graph.call_function
    with graph.graph.inserting_before(node):
        if integers and value.is_floating_point() and value.ndim > 1:
            source = _as_integers(graph, name, value)
        else:
            graph.register_buffer(name, value[None].clone())
            source = graph.graph.get_attr(name)
        view = call(aten.view.default, (source, [*value.shape]))
    view.meta = {"val": value}
    node.replace_all_uses_with(view)


def _as_integers(graph: GraphModule, name: str, value: Tensor) -> Node:
    """Return a node that makes floats of int8 constants, under an axis of size 1."""
    scale = _scales(value)
    codes = torch.round(value / scale.reshape(-1, *[1] * (value.ndim - 1)))
    graph.register_buffer(name, codes.to(torch.int8)[None])
    graph.register_buffer(f"{name}_scale", scale)
    stored = (graph.graph.get_attr(name), graph.graph.get_attr(f"{name}_scale"))
    return graph.graph.call_function(
        quantized.dequantize_per_channel.default,
        (*stored, None, 1, -WIDEST_CODE, WIDEST_CODE, torch.int8),
    )


def _scales(value: Tensor) -> Tensor:
    """Return the step of each slice of the first axis; 1 for a slice of zeros."""
    widest = value.reshape(value.shape[0], -1).abs().amax(1)
    return torch.where(widest > 0, widest / WIDEST_CODE, torch.ones_like(widest))


def _spell_as_product(graph: GraphModule, node: Node) -> None:
    """Make a linear map a product of matrices, which needs no constant."""
    x, matrix, *bias = node.args
    assert isinstance(x, Node)
    assert isinstance(matrix, Node)
    n_out, n_in = matrix.meta["val"].shape
    call = graph.graph.call_function
    with graph.graph.inserting_before(node):
        rows = call(aten.reshape.default, (x, [1, -1, n_in]))  # (1, rows, in)
        columns = call(aten.reshape.default, (matrix, [1, n_out, n_in]))
        columns = call(aten.permute.default, (columns, [0, 2, 1]))  # (1, in, out)
        result = call(aten.bmm.default, (rows, columns))  # (1, rows, out)
        result = call(aten.reshape.default, (result, [*node.meta["val"].shape]))
        if bias and bias[0] is not None:
            result = call(aten.add.Tensor, (result, bias[0]))
    node.replace_all_uses_with(result)
    graph.graph.erase_node(node)
