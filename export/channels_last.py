"""Pictures as they lie in memory, for `.pte`: no transposition around a convolution.

ExecuTorch's XNNPACK computes convolutions on memory in which the channels of a pixel
lie together, and PyTorch calls such a tensor (B, C, Y, X) all the same. A graph that
takes (B, Y, X, C) has to permute it first. That moves nothing in PyTorch, but an
exported file then transposes the memory twice at each permutation (executorch 1.5.1);
without them a step of the repeated block took 0.7 of the time in int8 and 0.8 in
float (x86-64, 48 channels at 128×128).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from export.prepare import VIEWS

aten = torch.ops.aten

TO_CHANNELS_FIRST = [0, 3, 1, 2]
TO_CHANNELS_LAST = [0, 2, 3, 1]

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


def take_channels_last(graph: GraphModule, example: Sequence[Tensor]) -> frozenset[int]:
    """Let a graph take and give (B, C, Y, X) where it permutes (B, Y, X, C) into that.

    Returns the places of such inputs. The memory of inputs and outputs stays as it was.
    Permutations first move past operators that do not mind them.
    """
    while _move_one(graph):
        graph.graph.eliminate_dead_code()
    inputs = [node for node in graph.graph.nodes if node.op == "placeholder"]
    taken = frozenset(
        place
        for place, node in enumerate(inputs)
        if _has_pixels(node)
        and all(_permutes(user, TO_CHANNELS_FIRST) for user in node.users)
    )
    for place in taken:
        node = inputs[place]
        node.meta["val"] = node.meta["val"].permute(TO_CHANNELS_FIRST)
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
        tensor.permute(TO_CHANNELS_FIRST) if place in places else tensor
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
        if _permutes(node, TO_CHANNELS_LAST) and _has_pixels(node):
            inner = node.all_input_nodes[0]
            if run.env[inner].is_contiguous(memory_format=torch.channels_last):
                given[place] = inner
    output.args = (tuple(given),)


class _AsExported(torch.fx.Interpreter):
    """Runs a graph as its exported form does: a view is a copy, row by row."""

    def run_node(self, n: Node) -> Any:
        out = super().run_node(n)
        return out.contiguous() if n.target in VIEWS else out


def _move_one(graph: GraphModule) -> bool:
    """Move one permutation past an operator, or away with its inverse."""
    for node in graph.graph.nodes:
        if _permutes(node, TO_CHANNELS_FIRST):
            source = node.all_input_nodes[0]
            if _permutes(source, TO_CHANNELS_LAST):
                node.replace_all_uses_with(source.all_input_nodes[0])
                return bool(node.users) or _erased(graph, node)
            if len(source.users) == 1 and _movable(source):
                with graph.graph.inserting_before(node):
                    node.replace_all_uses_with(_channels_first(graph, source))
                return _erased(graph, node)
        elif _movable(node) and any(
            _permutes(operand, TO_CHANNELS_LAST) for operand in node.all_input_nodes
        ):
            with graph.graph.inserting_before(node):
                moved = _channels_first(graph, node)
                back = _permute(graph, moved, TO_CHANNELS_LAST)
            node.replace_all_uses_with(back)
            return _erased(graph, node)
    return False


def _erased(graph: GraphModule, node: Node) -> bool:
    graph.graph.erase_node(node)
    return True


def _permutes(node: Node, order: Sequence[int]) -> bool:
    return node.target == aten.permute.default and list(node.args[1]) == list(order)  # type: ignore[arg-type]


def _movable(node: Node) -> bool:
    """Return whether an operator on (B, Y, X, C) could compute on (B, C, Y, X).

    Not where a weight is an operand: the weight would have to be stored in another
    shape.
    """
    return (
        node.target in ELEMENTWISE
        and node.meta["val"].dim() == len(TO_CHANNELS_FIRST)
        and all(source.op != "get_attr" for source in node.all_input_nodes)
    )


def _channels_first(graph: GraphModule, node: Node) -> Node:
    """Return the operator of `node` on (B, C, Y, X)."""
    assert callable(node.target)  # it is one of ELEMENTWISE
    operands = [_operand(graph, o) if isinstance(o, Node) else o for o in node.args]
    moved = graph.graph.call_function(node.target, tuple(operands), node.kwargs)
    moved.meta = node.meta | {"val": node.meta["val"].permute(TO_CHANNELS_FIRST)}
    return moved


def _operand(graph: GraphModule, node: Node) -> Node:
    if _permutes(node, TO_CHANNELS_LAST):
        return node.all_input_nodes[0]
    shape = list(node.meta["val"].shape)
    if not shape:
        return node
    shape = [1] * (len(TO_CHANNELS_FIRST) - len(shape)) + shape
    if set(shape[:-1]) == {1}:  # one number for each channel
        return _view(graph, node, [1, shape[-1], 1, 1])
    return _permute(graph, _view(graph, node, shape), TO_CHANNELS_FIRST)


def _view(graph: GraphModule, node: Node, shape: list[int]) -> Node:
    if list(node.meta["val"].shape) == shape:
        return node
    viewed = graph.graph.call_function(aten.reshape.default, (node, shape))
    viewed.meta = node.meta | {"val": node.meta["val"].reshape(shape)}
    return viewed


def _permute(graph: GraphModule, node: Node, order: list[int]) -> Node:
    permuted = graph.graph.call_function(aten.permute.default, (node, order))
    permuted.meta = node.meta | {"val": node.meta["val"].permute(order)}
    return permuted


def _has_pixels(node: Node) -> bool:
    """Return whether a node is (B, Y, X, C) whose memory tells it from (B, C, Y, X)."""
    shape = node.meta["val"].shape
    return len(shape) == len(TO_CHANNELS_FIRST) and min(shape[1:]) > 1
