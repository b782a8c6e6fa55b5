"""The order of a picture's axes that an engine computes in: no transposition is left.

PyTorch calls a picture (B, C, Y, X). Both engines compute convolutions on memory in
which the channels of a pixel lie together, (B, Y, X, C). ExecuTorch's XNNPACK calls
that (B, C, Y, X) like PyTorch, and transposes memory twice at a permutation between
the two; LiteRT calls it (B, Y, X, C), and computes what stands between convolutions
faster so. Without the permutations a step of the repeated block took 0.7 of the time
in int8 on either engine (executorch 1.5.1, litert 2.3.0, x86-64, 48 channels at
128×128).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from export.prepare import VIEWS

aten = torch.ops.aten

ELEMENTWISE = (
    aten.add.Tensor,
    aten.clamp.default,
    aten.div.Tensor,
    aten.hardtanh.default,
    aten.leaky_relu.default,
    aten.mul.Tensor,
    aten.relu.default,
    aten.sigmoid.default,
    aten.sub.Tensor,
    aten.tanh.default,
)
"""Operators that compute each number alone, whatever the order of the axes."""


@dataclass(frozen=True)
class Layout:
    """An order of a picture's axes, by the permutations into it and out of it."""

    inward: tuple[int, ...]
    outward: tuple[int, ...]


CHANNELS_FIRST = Layout((0, 3, 1, 2), (0, 2, 3, 1))
CHANNELS_LAST = Layout((0, 2, 3, 1), (0, 3, 1, 2))
N_AXES = len(CHANNELS_FIRST.inward)


def prefer(graph: GraphModule, layout: Layout) -> None:
    """Move permutations past elementwise operators, which then compute in a layout.

    Where two meet that undo each other, both go. What a graph computes stays the same.
    """
    while _move_one(graph, layout):
        graph.graph.eliminate_dead_code()
    graph.graph.lint()
    graph.recompile()


def take_channels_last(graph: GraphModule, example: Sequence[Tensor]) -> frozenset[int]:
    """Let a graph take and give (B, C, Y, X) where it permutes (B, Y, X, C) into that.

    Returns the places of such inputs. The memory of inputs and outputs stays as it was.
    """
    inputs = [node for node in graph.graph.nodes if node.op == "placeholder"]
    inward = CHANNELS_FIRST.inward
    taken = frozenset(
        place
        for place, node in enumerate(inputs)
        if _has_pixels(node) and all(_permutes(user, inward) for user in node.users)
    )
    for place in taken:
        node = inputs[place]
        node.meta["val"] = node.meta["val"].permute(inward)
        for user in list(node.users):
            user.replace_all_uses_with(node)
            graph.graph.erase_node(user)
    _give_channels_last(graph, put_channels_first(example, taken))
    graph.graph.eliminate_dead_code()
    graph.graph.lint()
    graph.recompile()
    return taken


def put_channels_first(
    inputs: Sequence[Tensor], places: Collection[int]
) -> tuple[Tensor, ...]:
    """Return inputs, those at `places` as (B, C, Y, X) in the same memory."""
    return tuple(
        tensor.permute(CHANNELS_FIRST.inward) if place in places else tensor
        for place, tensor in enumerate(inputs)
    )


def _give_channels_last(graph: GraphModule, example: Sequence[Tensor]) -> None:
    """Leave out permutations right before the output, where memory stays the same."""
    (output,) = (node for node in graph.graph.nodes if node.op == "output")
    run = _AsExported(graph, garbage_collect_values=False)
    with torch.no_grad():
        run.run(*example)
    given = list(output.args[0])
    for place, node in enumerate(given):
        if _permutes(node, CHANNELS_FIRST.outward) and _has_pixels(node):
            (inner,) = node.all_input_nodes
            if run.env[inner].is_contiguous(memory_format=torch.channels_last):
                given[place] = inner
    output.args = (tuple(given),)


class _AsExported(torch.fx.Interpreter):
    """Runs a graph as its exported form does: a view is a copy, row by row."""

    def run_node(self, n: Node) -> Any:
        out = super().run_node(n)
        return out.contiguous() if n.target in VIEWS else out


def _move_one(graph: GraphModule, layout: Layout) -> bool:
    """Move one permutation past an operator, or away with its inverse."""
    for node in graph.graph.nodes:
        with graph.graph.inserting_before(node):
            moved = _moved(graph, node, layout)
        if moved is not None:
            node.replace_all_uses_with(moved)
            graph.graph.erase_node(node)
            return True
    return False


def _moved(graph: GraphModule, node: Node, layout: Layout) -> Node | None:
    """Return what may stand for a node, nearer to the layout; None for most."""
    sources = node.all_input_nodes
    if _permutes(node, layout.inward):
        (source,) = sources
        if _permutes(source, layout.outward):
            return source.all_input_nodes[0]
        if len(source.users) == 1 and _movable(source):
            return _in_layout(graph, source, layout)
    elif _movable(node) and any(_permutes(s, layout.outward) for s in sources):
        return _permute(graph, _in_layout(graph, node, layout), layout.outward)
    return None


def _permutes(node: Node, order: tuple[int, ...]) -> bool:
    return node.target == aten.permute.default and node.args[1:] == (list(order),)


def _movable(node: Node) -> bool:
    """Return whether an operator on pictures may compute in another order of axes.

    Not where a weight is an operand: the weight would have to be stored in another
    shape.
    """
    return (
        node.target in ELEMENTWISE
        and node.meta["val"].dim() == N_AXES
        and all(source.op != "get_attr" for source in node.all_input_nodes)
    )


def _in_layout(graph: GraphModule, node: Node, layout: Layout) -> Node:
    """Return the operator of `node`, computed in the layout."""
    assert callable(node.target)  # it is one of ELEMENTWISE
    operands = [
        _operand(graph, operand, layout) if isinstance(operand, Node) else operand
        for operand in node.args
    ]
    moved = graph.graph.call_function(node.target, tuple(operands), node.kwargs)
    moved.meta = node.meta | {"val": node.meta["val"].permute(layout.inward)}
    return moved


def _operand(graph: GraphModule, node: Node, layout: Layout) -> Node:
    if _permutes(node, layout.outward):
        return node.all_input_nodes[0]
    shape = list(node.meta["val"].shape)
    if not shape:
        return node
    shape = [1] * (N_AXES - len(shape)) + shape
    if sum(size > 1 for size in shape) <= 1:  # such as one number for each channel
        return _view(graph, node, [shape[axis] for axis in layout.inward])
    return _permute(graph, _view(graph, node, shape), layout.inward)


def _view(graph: GraphModule, node: Node, shape: list[int]) -> Node:
    if list(node.meta["val"].shape) == shape:
        return node
    viewed = graph.graph.call_function(aten.reshape.default, (node, shape))
    viewed.meta = node.meta | {"val": node.meta["val"].reshape(shape)}
    return viewed


def _permute(graph: GraphModule, node: Node, order: tuple[int, ...]) -> Node:
    permuted = graph.graph.call_function(aten.permute.default, (node, list(order)))
    permuted.meta = node.meta | {"val": node.meta["val"].permute(order)}
    return permuted


def _has_pixels(node: Node) -> bool:
    """Return whether a node is (B, Y, X, C) whose memory tells it from (B, C, Y, X)."""
    shape = node.meta["val"].shape
    return len(shape) == N_AXES and min(shape[1:]) > 1
