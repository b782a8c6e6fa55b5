"""Constants that a converter must not see: inputs while it works, constants after.

LiteRT's converter folds a constant factor into the kernel of the convolution before
it, once per use of the kernel, and stores a weight once per layout. It cannot do that
to an input.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from export.prepare import VIEWS, constant, part_bias
from export.trace import identity

aten = torch.ops.aten

ELEMENTWISE = (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor)
LINEAR = aten.linear.default
LAYER_NORM = aten.layer_norm.default
TRANSPOSED = (aten.conv_transpose1d.default, aten.conv_transpose2d.input)


@dataclass(frozen=True)
class Lifted:
    """A constant that is an input of the graph for a while."""

    name: str
    """Of the graph's input."""
    value: Tensor


def lift(graph: GraphModule, shared: frozenset[Hashable]) -> tuple[Lifted, ...]:
    """Make inputs, behind its own, of what a converter would fold or copy.

    Those are the constants of elementwise operators, the factors and terms of layer
    norms and the biases between two linear maps among them, views of weights, and the
    kernels of transposed convolutions that are among `shared`, the identities of
    weights that plain convolutions read as well.
    """
    for node in graph.graph.find_nodes(op="call_function", target=LINEAR):
        has_bias = len(node.args) > 2 and constant(graph, node.args[2]) is not None
        if has_bias and any(_feeds_linear(user, node) for user in node.users):
            part_bias(graph, node)
    for node in graph.graph.find_nodes(op="call_function", target=LAYER_NORM):
        _part_norm(graph, node)
    lifting = _Lifting(graph)
    for node in list(graph.graph.nodes):
        if node.target in ELEMENTWISE and node.meta["val"].is_floating_point():
            for position in (0, 1):
                lifting.operand(node, position)
        elif node.target in VIEWS:
            lifting.view(node)
        elif node.target in TRANSPOSED:
            lifting.kernel(node, shared)
    return lifting.finish()


def _feeds_linear(node: Node, source: Node) -> bool:
    """Return whether a linear map takes `source`, or a view of it, at `node`.

    LiteRT's converter folds the bias of one into the bias of the next.
    """
    if node.target in VIEWS:
        return any(_feeds_linear(user, node) for user in node.users)
    return node.target is LINEAR and node.args[0] is source


def _part_norm(graph: GraphModule, norm: Node) -> None:
    """Take factor and term out of a layer norm, for they fold into the map behind it.

    LiteRT's converter does so, once per pair of norm and map.
    """
    x, shape, *others = norm.args
    kept: list[Any] = [None, None, *others[2:]]
    norm.args = (x, shape, *kept)
    last = norm
    for target, operand in zip(
        (aten.mul.Tensor, aten.add.Tensor), others, strict=False
    ):
        if operand is None:
            continue
        with graph.graph.inserting_after(last):
            node = graph.graph.call_function(target)
        node.meta = dict(norm.meta)
        last.replace_all_uses_with(node)
        node.args = (last, operand)
        last = node


class _Lifting:
    """The inputs that were added to one graph."""

    def __init__(self, graph: GraphModule) -> None:
        self._graph = graph
        self._inputs: dict[Hashable, tuple[Node, Lifted]] = {}
        self._last = [n for n in graph.graph.nodes if n.op == "placeholder"][-1]

    def operand(self, node: Node, position: int) -> None:
        """Lift an operand of an elementwise operator, of as many axes as its result.

        A converter that lays pictures out anew moves the axes of such operands alone.
        """
        operand = node.args[position]
        if isinstance(operand, int | float):
            value = torch.tensor(float(operand))
        else:
            found = constant(self._graph, operand)
            if found is None or not found.is_floating_point():
                return
            value = found.detach()
        n_axes = node.meta["val"].ndim
        key = (identity(value) if value.ndim else float(value), n_axes)
        value = value.reshape(*[1] * (n_axes - value.ndim), *value.shape)
        node.update_arg(position, self._input(key, value))

    def view(self, node: Node) -> None:
        """Lift the weight that a view reads."""
        value = constant(self._graph, node.args[0])
        if value is not None:
            node.update_arg(0, self._input(identity(value), value.detach()))

    def kernel(self, node: Node, shared: frozenset[Hashable]) -> None:
        """Lift a transposed convolution's kernel as convolutions store it: OHWI."""
        value = constant(self._graph, node.args[1])
        if value is None or identity(value) not in shared:
            return
        order = [0, *range(2, value.ndim), 1]
        back = [0, value.ndim - 1, *range(1, value.ndim - 1)]
        given = self._input(("OHWI", identity(value)), value.detach().permute(order))
        with self._graph.graph.inserting_before(node):
            kernel = self._graph.graph.call_function(
                aten.permute.default, (given, back)
            )
        kernel.meta = {"val": value}
        node.update_arg(1, kernel)

    def finish(self) -> tuple[Lifted, ...]:
        """Return what was lifted, in the order of the new inputs."""
        self._graph.graph.eliminate_dead_code()
        self._graph.graph.lint()
        self._graph.recompile()
        return tuple(lifted for _, lifted in self._inputs.values())

    def _input(self, key: Hashable, value: Tensor) -> Node:
        if key not in self._inputs:
            name = f"lifted_{len(self._inputs)}"
            with self._graph.graph.inserting_after(self._last):
                self._last = self._graph.graph.placeholder(name)
            self._last.meta = {"val": value}
            # A copy: a tensor that is both weight and input confuses the tracer.
            lifted = Lifted(name, value.clone(memory_format=torch.contiguous_format))
            self._inputs[key] = self._last, lifted
        return self._inputs[key][0]


def kernels_of_both_kinds(graphs: Sequence[GraphModule]) -> frozenset[Hashable]:
    """Return the identities of kernels that convolutions of both kinds read."""
    plain: set[Hashable] = set()
    transposed: set[Hashable] = set()
    for graph in graphs:
        for node in graph.graph.nodes:
            if node.target in (aten.conv1d.default, aten.conv2d.default, *TRANSPOSED):
                kernel = constant(graph, node.args[1])
                if kernel is not None:
                    kind = transposed if node.target in TRANSPOSED else plain
                    kind.add(identity(kernel))
    return frozenset(plain & transposed)
