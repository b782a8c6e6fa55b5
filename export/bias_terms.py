"""Shared biases that static int8 would pay for with coarse ranges.

An integer bias has the scale of its input times that of its kernel. To be stored once,
it needs one range for the inputs of all its uses: the widest. Where that is much wider
than the range of one of them, little of the eight bits is left to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import GraphModule, Interpreter, Node

from export.plan import Plan
from export.prepare import CONVOLUTIONS, constant, part_bias, prepare
from export.ranges import extremes
from export.trace import identity

INTEGER = (*CONVOLUTIONS, torch.ops.aten.linear.default)
"""Operators that static int8 makes integer together with their bias."""

MOST_UNLIKE = 3.0
"""Inputs may share a range that is this much wider than the narrowest of theirs.

Measured on a convolution with two inputs, one of them scaled down: at 2, 3, 4 and 8
times a range together gave the smaller one 33.8, 30.8, 28.8 and 25.5 dB, biases apart
36.4 dB; over three convolutions in turn, the widths 3.9 and 9.2 to 1, 30.2 and 26.2
together, 31.2 and 32.9 apart. Terms cost time: three more passes over what each use
gives.
"""


@dataclass(frozen=True)
class _Use:
    """An operator that reads a kernel and a bias."""

    entry: str
    graph: GraphModule
    node: Node


def part_unlike_biases(graphs: Mapping[str, GraphModule], plan: Plan) -> None:
    """Make terms of biases whose uses read inputs of unlike ranges.

    A term is float and takes an addition at every use; stored it is once all the same.
    `graphs` are those of the plan's entry points, as `prepare` returns them.
    """
    for use in _unlike_uses(graphs, plan):
        part_bias(use.graph, use.node)


def has_unlike_biases(plan: Plan) -> bool:
    """Return whether `part_unlike_biases` would change anything."""
    modules = {e.name: (e.module, e.example) for e in plan.entry_points}
    return bool(_unlike_uses(prepare(modules), plan))


def _unlike_uses(graphs: Mapping[str, GraphModule], plan: Plan) -> list[_Use]:
    shared = [uses for uses in _uses(graphs).values() if len(uses) > 1]
    if not shared:
        return []
    ranges = _input_ranges(graphs, plan)
    found = []
    for uses in shared:
        lows, highs = zip(*(ranges[use.node] for use in uses), strict=True)
        narrowest = min(high - low for low, high in zip(lows, highs, strict=True))
        if max(highs) - min(lows) > MOST_UNLIKE * narrowest:
            found += uses
    return found


def _uses(graphs: Mapping[str, GraphModule]) -> dict[Hashable, list[_Use]]:
    """Return the uses of each pair of a kernel and a bias that is not all zeros."""
    found: dict[Hashable, list[_Use]] = defaultdict(list)
    for name, graph in graphs.items():
        for node in graph.graph.nodes:
            if node.target in INTEGER and len(node.args) > 2:
                kernel, bias = (constant(graph, one) for one in node.args[1:3])
                if kernel is not None and bias is not None and bias.any():
                    key = (identity(kernel), identity(bias))
                    found[key].append(_Use(name, graph, node))
    return found


def _input_ranges(
    graphs: Mapping[str, GraphModule], plan: Plan
) -> dict[Node, tuple[float, float]]:
    """Return what each operator's input spans over the calibration, zero included."""
    found: dict[Node, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for entry in plan.entry_points:
        run = _Watched(graphs[entry.name], found)
        for inputs in entry.calibration:
            with torch.no_grad():
                run.run(*(torch.from_numpy(inputs[t.name]) for t in entry.inputs))
    return found


class _Watched(Interpreter):
    """Runs a graph and notes the ranges of what its operators take."""

    def __init__(
        self, graph: GraphModule, found: dict[Node, tuple[float, float]]
    ) -> None:
        super().__init__(graph)
        self._found = found

    def run_node(self, n: Node) -> Any:
        """Return what a node gives."""
        if n.target in INTEGER:
            source = self.fetch_args_kwargs_from_env(n)[0][0]
            low, high = extremes(source.numpy().reshape(-1))
            before = self._found[n]
            self._found[n] = min(low, before[0]), max(high, before[1])
        return super().run_node(n)
