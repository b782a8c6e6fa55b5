"""Weights of a graph in fewer bits, turned into float before they are used."""

from __future__ import annotations

import executorch.kernels.quantized  # noqa: F401 (what `.pte` calls to dequantize)
import torch
from torch.fx import GraphModule, Node

from export.narrow import Narrow, narrow
from export.prepare import add_constant, constant


def narrow_graph(graph: GraphModule, precision: str) -> None:
    """Store a graph's weights in fewer bits, each turned into float by one operator.

    What reads a weight reads that operator's result instead: all uses share one
    constant, be they views or lookups. `narrow` says what keeps 32 bits.
    """
    wide: dict[str, Node | None] = {}
    for node in list(graph.graph.nodes):
        weight = constant(graph, node)
        if weight is None:
            continue
        name = str(node.target)
        if name not in wide:
            form = narrow(weight.detach().numpy(), precision, axis=0)
            wide[name] = None if form is None else _widened(graph, node, form)
        replacement = wide[name]
        if replacement is not None:
            node.replace_all_uses_with(replacement)
            graph.graph.erase_node(node)
    graph.graph.lint()
    graph.recompile()


def _widened(graph: GraphModule, before: Node, form: Narrow) -> Node:
    """Return a node, in front of `before`, that gives a stored weight as float32."""
    name = str(before.target)
    codes = add_constant(graph, before, name, torch.from_numpy(form.codes))
    if form.scale is None:
        with graph.graph.inserting_before(before):
            return graph.graph.call_function(
                torch.ops.aten._to_copy.default, (codes,), {"dtype": torch.float32}
            )
    scale = add_constant(graph, before, f"{name}_scale", torch.from_numpy(form.scale))
    zeros = torch.zeros(form.scale.size, dtype=torch.int64)
    zero = add_constant(graph, before, f"{name}_zero", zeros)
    with graph.graph.inserting_before(before):
        return graph.graph.call_function(
            torch.ops.quantized_decomposed.dequantize_per_channel.default,
            (codes, scale, zero, 0, -127, 127, torch.int8),
        )
