"""The plain exporters, used as their own tutorials do, to stand beside tiedge.

Nothing here keeps sharing, and nothing here is used when tiedge exports.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class PlainOrder:
    """What is to be exported, and how."""

    modules: Mapping[str, nn.Module]
    """By entry point; all take the same inputs."""
    example: tuple[Tensor, ...]
    calibration: Sequence[tuple[Tensor, ...]]
    """Typical inputs."""
    precision: str
    """fp32 or int8."""
    static: bool
    """Whether int8 is static; else dynamic."""


def plain_tflite(order: PlainOrder) -> bytes:
    """Return the `.tflite` of litert-torch, quantized by ai-edge-quantizer's recipes.

    Its inputs are named args_0, …, its outputs output_0, …; where static int8 covers
    them, they are integers. Raises whatever the packages raise.
    """
    import litert_torch

    converter = litert_torch
    for name, module in order.modules.items():
        converter = converter.signature(name, module, order.example)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        converter.convert().export(str(path))
        return path.read_bytes() if order.precision == "fp32" else _int8(order, path)


def _int8(order: PlainOrder, path: Path) -> bytes:
    from ai_edge_quantizer import quantizer, recipe

    chosen = recipe.static_wi8_ai8() if order.static else recipe.dynamic_wi8_afp32()
    tool = quantizer.Quantizer(str(path), chosen)
    if not tool.need_calibration:
        return bytes(tool.quantize().quantized_model)
    inputs = [
        {f"args_{i}": tensor.numpy() for i, tensor in enumerate(tensors)}
        for tensors in order.calibration
    ]
    ranges = tool.calibrate(dict.fromkeys(order.modules, inputs))
    return bytes(tool.quantize(ranges).quantized_model)


def plain_pte(order: PlainOrder) -> bytes:
    """Return the `.pte` of ExecuTorch for XNNPACK, quantized by PT2E.

    Raises whatever the packages raise.
    """
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import (
        XnnpackPartitioner,
    )
    from executorch.exir import to_edge_transform_and_lower

    programs = {
        name: torch.export.export(
            module if order.precision == "fp32" else _pt2e(order, module),
            order.example,
        )
        for name, module in order.modules.items()
    }
    edge = to_edge_transform_and_lower(programs, partitioner=[XnnpackPartitioner()])
    return bytes(edge.to_executorch().buffer)


def _pt2e(order: PlainOrder, module: nn.Module) -> nn.Module:
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    config = get_symmetric_quantization_config(
        is_per_channel=True, is_dynamic=not order.static
    )
    graph = torch.export.export(module, order.example).module()
    prepared = prepare_pt2e(graph, XNNPACKQuantizer().set_global(config))
    for tensors in order.calibration:
        prepared(*tensors)
    quantized: nn.Module = convert_pt2e(prepared)
    return quantized
