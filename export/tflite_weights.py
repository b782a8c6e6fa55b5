"""Weights of a `.tflite` file in fewer bits, turned into float before they are used."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from export.constants import Constant, codes
from export.narrow import Narrow, narrow
from export.structure import structural_role
from export.tflite_file import parse_model, read_tflite, text_of
from export.tflite_rewrite import append_operator, deduplicate, pack_model

LAST_AXIS_OPERATOR = "DEPTHWISE_CONV_2D"
"""Its kernel's output channels lie on the last axis; on the first elsewhere."""

TYPES = {
    "fp16": schema.TensorType.FLOAT16,
    "int8-weight": schema.TensorType.INT8,
    "int4-weight": schema.TensorType.INT4,
}


@dataclass(frozen=True)
class _Stored:
    """A weight in fewer bits, in one of the model's buffers."""

    buffer: int
    type: int
    quantization: Any
    """None for float16."""


def narrow_weights(data: bytes, precision: str, where: str = "tflite file") -> bytes:
    """Return an fp32 model with its weights in fewer bits, each of them once.

    A constant has one form for all its uses, and goes through one DEQUANTIZE per graph;
    every operator computes in float. `narrow` says what keeps 32 bits. The quantizer's
    own recipes cover some operators, and store what two recipes meet twice.
    """
    model = parse_model(data, where)
    stored = {}
    for constant in read_tflite(data, where).constants:
        form = _narrowed(constant, precision)
        if form is not None:
            stored[constant.index] = _store(model, form, precision, _axis(constant))
    for graph in model.subgraphs:
        _dequantize(model, graph, stored)
    return deduplicate(pack_model(model), where)


def _narrowed(constant: Constant, precision: str) -> Narrow | None:
    """Return a weight's new form; None for what keeps its own."""
    if structural_role(constant) is not None or not constant.uses:
        return None
    values = codes(constant.views[0], constant.data)
    return narrow(values, precision, _axis(constant))


def _axis(constant: Constant) -> int | None:
    """Return the axis of the channels; None where uses disagree about the shape."""
    if len(constant.views) > 1:
        return None
    operators = {use.operator for use in constant.uses}
    return (
        constant.views[0].shape.__len__() - 1
        if operators == {LAST_AXIS_OPERATOR}
        else 0
    )


def _store(model: Any, form: Narrow, precision: str, axis: int | None) -> _Stored:
    """Add a buffer with a weight's codes to the model."""
    buffer = schema.BufferT()
    packed = _packed(form.codes) if precision == "int4-weight" else form.codes
    buffer.data = np.frombuffer(packed.tobytes(), np.uint8)
    model.buffers.append(buffer)
    quantization = None
    if form.scale is not None:
        quantization = schema.QuantizationParametersT()
        quantization.scale = form.scale
        quantization.zeroPoint = np.zeros(form.scale.size, np.int64)
        quantization.quantizedDimension = axis or 0
    return _Stored(len(model.buffers) - 1, TYPES[precision], quantization)


def _packed(numbers: NDArray[Any]) -> NDArray[np.uint8]:
    """Return two 4-bit numbers per byte, the low half first."""
    flat = numbers.reshape(-1).astype(np.uint8) & 0xF
    flat = np.append(flat, np.zeros(flat.size % 2, np.uint8))
    low, high = flat[::2], flat[1::2]
    return np.asarray(low | (high << 4), np.uint8)


def _dequantize(model: Any, graph: Any, stored: Mapping[int, _Stored]) -> None:
    """Read the stored weights of a graph through a DEQUANTIZE each, in front of all."""
    n_before = len(graph.operators)
    first: dict[tuple[int, tuple[int, ...]], int] = {}
    same: dict[int, int] = {}
    for index, tensor in enumerate(list(graph.tensors)):
        if tensor.buffer not in stored:
            continue
        key = (int(tensor.buffer), tuple(int(size) for size in tensor.shape))
        same[index] = first.setdefault(key, index)
        weight = stored[tensor.buffer]
        if same[index] == index:
            source = _source(graph, tensor, weight)
            dequantize = schema.BuiltinOperator.DEQUANTIZE
            append_operator(model, graph, dequantize, [source], [index])
        tensor.buffer = 0
    for node in graph.operators[:n_before]:
        node.inputs = [same.get(int(i), int(i)) for i in node.inputs]
    graph.outputs = [same.get(int(i), int(i)) for i in graph.outputs]
    graph.operators = graph.operators[n_before:] + graph.operators[:n_before]


def _source(graph: Any, tensor: Any, weight: _Stored) -> int:
    """Append the constant that a float tensor is made of; return its index."""
    source = copy.copy(tensor)
    source.buffer, source.type = weight.buffer, weight.type
    source.quantization = weight.quantization
    graph.tensors.append(source)
    tensor.name = f"{text_of(tensor.name)}_float".encode()
    return len(graph.tensors) - 1
