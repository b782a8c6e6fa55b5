"""How each precision is reached in each format, and where it cannot be."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.fx import GraphModule

from edge_runtime.errors import SettingError
from export.narrow import BITS, WEIGHT_PRECISIONS
from export.order import Order
from export.plan import Plan
from export.prepare import constant, prepare

aten = torch.ops.aten

CONVOLUTIONS = (
    aten.conv1d.default,
    aten.conv2d.default,
    aten.conv3d.default,
    aten.conv_transpose1d.default,
    aten.conv_transpose2d.input,
    aten.conv_transpose3d.input,
    aten.convolution.default,
)
INSTEAD = {
    "fp16": "fp32 or int8",
    "int8-weight": "int8 or int8-dynamic",
    "int4-weight": "int8 or int8-dynamic",
}
"""What a `.pte` may have in a precision's place."""


def scheme(plan: Plan, format: str, precision: str) -> str:
    """Return how a file's numbers are quantized, as bundle.json calls it."""
    if precision in ("fp32", "fp16"):
        return "none"
    if precision == "int8":
        return plan.quantization
    # XNNPACK's linear maps of 4-bit weights take 8-bit inputs, scaled at every run.
    in_float = precision in BITS and (format, precision) != ("pte", "int4-weight")
    return "weight-only" if in_float else "dynamic"


def check_schemes(plan: Plan, order: Order) -> None:
    """Raise SettingError for what the order asks for and a format does not have.

    A `.tflite` has every precision of every module. Of a `.pte`, XNNPACK runs
    convolutions in float32 and int8 alone: with kernels turned into float on the way
    they fall to ExecuTorch's portable kernel, 440 times slower (32 channels, 64×64).
    """
    asked = [p for p in order.precisions if p in WEIGHT_PRECISIONS]
    if "pte" not in order.formats or not asked:
        return
    graphs = prepare({e.name: (e.module, e.example) for e in plan.entry_points})
    for precision in asked:
        where = f"{plan.name}.{precision}.pte"
        for name, graph in graphs.items():
            for reason in _reasons(graph, precision):
                raise SettingError(
                    f"{where}: {name}: {reason}; choose {INSTEAD[precision]}, or tflite"
                )


def _reasons(graph: GraphModule, precision: str) -> Iterator[str]:
    """Yield why a graph cannot be a `.pte` of a precision."""
    for node in graph.graph.nodes:
        if node.target in CONVOLUTIONS:
            yield (
                f"has a convolution, which XNNPACK does not run with {precision}"
                " kernels"
            )
    if precision != "int4-weight":
        return
    maps = [n for n in graph.graph.nodes if n.target is aten.linear.default]
    matrices = {n.args[1]: constant(graph, n.args[1]) for n in maps}
    for node, matrix in matrices.items():
        if matrix is not None and matrix.shape[1] % 2:
            yield (
                f"{node} has rows of {matrix.shape[1]} numbers, XNNPACK's 4-bit linear"
                " map takes an even number"
            )
    if all(matrix is None for matrix in matrices.values()):
        yield "has no linear map, which alone XNNPACK runs with 4-bit weights"
