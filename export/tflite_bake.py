"""Make constants of a `.tflite` file's inputs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from export.matching import HALF_STEP
from export.plan import Arrays
from export.tflite_file import content_of, parse_model, text_of
from export.tflite_rewrite import append_operator, pack_model

RESHAPE = schema.BuiltinOperator.RESHAPE
TRANSPOSE = schema.BuiltinOperator.TRANSPOSE
INTEGERS = {schema.TensorType.INT8: np.int8}


def bake(
    data: bytes, values: Mapping[str, Arrays], where: str = "tflite file"
) -> bytes:
    """Return the model with inputs as constants, given by entry point and input.

    An input whose value the file holds as an integer weight already reads that weight
    through a DEQUANTIZE. What only lays a constant out anew, without moving a number,
    is done here instead of at every run.
    """
    model = parse_model(data, where)
    for signature in model.signatureDefs or ():
        given = values.get(text_of(signature.signatureKey), {})
        graph = model.subgraphs[signature.subgraphIndex]
        baked = {
            int(entry.tensorIndex): given[text_of(entry.name)]
            for entry in signature.inputs
            if text_of(entry.name) in given
        }
        signature.inputs = [e for e in signature.inputs if e.tensorIndex not in baked]
        graph.inputs = [i for i in graph.inputs if i not in baked]
        for index, value in baked.items():
            _fill(model, graph, index, value)
        _fold_layout(model, graph, set(baked))
    return pack_model(model)


def _fill(model: Any, graph: Any, index: int, value: NDArray[Any]) -> None:
    """Make a tensor a constant, or what is read from one that is stored already."""
    stored = _stored_as_integers(model, value)
    if stored is None:
        buffer = schema.BufferT()
        content = np.ascontiguousarray(value)
        buffer.data = np.frombuffer(content.tobytes(), np.uint8)
        model.buffers.append(buffer)
        graph.tensors[index].buffer = len(model.buffers) - 1
        return
    graph.tensors.append(copy.copy(stored))
    source = len(graph.tensors) - 1
    append_operator(model, graph, schema.BuiltinOperator.DEQUANTIZE, [source], [index])
    graph.operators.insert(0, graph.operators.pop())  # in front of all readers


def _stored_as_integers(model: Any, value: NDArray[Any]) -> Any:
    """Return a constant of integers that stands for a value; None if there is none."""
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.type not in INTEGERS or tensor.shape is None:
                continue
            found = (
                _decoded(model, tensor) if [*tensor.shape] == [*value.shape] else None
            )
            if found is not None and np.all(
                np.abs(found[0] - value) <= HALF_STEP * found[1]
            ):
                return tensor
    return None


def _decoded(model: Any, tensor: Any) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return a quantized constant's numbers and steps; None for any other tensor."""
    content = content_of(model.buffers[tensor.buffer])
    quantization = tensor.quantization
    if not content or quantization is None or quantization.scale is None:
        return None
    integers = np.frombuffer(content, INTEGERS[tensor.type]).reshape(tensor.shape)
    shape = [1] * integers.ndim
    if len(quantization.scale) > 1:
        shape[quantization.quantizedDimension] = -1
    scale = np.asarray(quantization.scale, np.float64).reshape(shape)
    zero = np.asarray(quantization.zeroPoint, np.float64).reshape(shape)
    return (integers - zero) * scale, scale


def _fold_layout(model: Any, graph: Any, baked: set[int]) -> None:
    """Drop operators that only give a baked constant another shape."""
    constant = {i for i in baked if graph.tensors[i].buffer}
    kept = []
    for node in graph.operators:
        if node.inputs is not None and int(node.inputs[0]) in constant:
            before = graph.tensors[node.inputs[0]]
            code = model.operatorCodes[node.opcodeIndex].builtinCode
            if _moves_nothing(code, before):
                graph.tensors[node.outputs[0]].buffer = before.buffer
                constant.add(int(node.outputs[0]))
                continue
        kept.append(node)
    graph.operators = kept
    _drop_unread(graph, constant)


def _moves_nothing(code: int, tensor: Any) -> bool:
    """Return whether an operator on a tensor leaves its numbers in their order."""
    if code == TRANSPOSE:
        return sum(int(size) > 1 for size in tensor.shape) < 2
    return bool(code == RESHAPE)


def _drop_unread(graph: Any, tensors: set[int]) -> None:
    """Take the content of constants that nothing reads any more."""
    read = {int(i) for node in graph.operators for i in node.inputs}
    read |= {int(i) for i in graph.outputs}
    for index, tensor in enumerate(graph.tensors):
        if index not in read and (index in tensors or _is_shape(tensor)):
            tensor.buffer = 0


def _is_shape(tensor: Any) -> bool:
    return bool(tensor.type == schema.TensorType.INT32 and tensor.buffer)
