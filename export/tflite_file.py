"""Read a `.tflite` file: its constants, and who reads each of them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edge_runtime.errors import BundleError, SharingError
from export.constants import (
    COPY_AGAIN,
    ITEM_BITS,
    Constant,
    Quantization,
    Use,
    View,
    check_view,
    printable,
    quoted,
)

IDENTIFIER = b"TFL3"
NAMELESS = "<placeholder signature>"
"""What LiteRT calls the entry point of a file without signatures."""

_OPERATORS = {v: k for k, v in vars(schema.BuiltinOperator).items() if type(v) is int}
_TYPES = {v: k.lower() for k, v in vars(schema.TensorType).items() if type(v) is int}
_FORWARDING = ("DEQUANTIZE", "TRANSPOSE", "RESHAPE", "CAST")
"""Operators on a constant whose readers are the constant's true readers."""
_DAMAGE = (
    struct.error,
    ValueError,
    IndexError,
    TypeError,
    AttributeError,
    KeyError,
    OverflowError,
    RecursionError,
    MemoryError,
)
"""What the generated bindings raise on bytes that are no model."""


@dataclass(frozen=True)
class Operator:
    """One operator of a graph; -1 among the tensors is an operand left out."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """One tensor of a graph."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    buffer: int
    quantization: Quantization | None
    packing: str
    """As a view's."""
    block: int
    """As a view's."""
    scales: tuple[int, ...]
    """Tensors of the graph that hold its scales and zero points."""


@dataclass(frozen=True)
class Graph:
    """One subgraph, under its signature's name where it has one."""

    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class TfliteFile:
    """A model's graphs and everything that it stores."""

    graphs: tuple[Graph, ...]
    constants: tuple[Constant, ...]
    signatures: tuple[str, ...]
    entry_points: Mapping[str, tuple[Mapping[str, Tensor], Mapping[str, Tensor]]]
    """Signature to its inputs and outputs by name."""
    external: tuple[str, ...]
    """Tensors whose bytes lie in another file."""


def read_tflite(data: bytes, where: str = "tflite file") -> TfliteFile:
    """Return the graphs and constants of a `.tflite` file.

    Raises BundleError, beginning with `where`, on bytes that are no sound model.
    """
    model = _parse(data, where)
    try:
        graphs = _graphs(model, where)
        constants = _constants(model, graphs, where)
        names = tuple(text_of(s.signatureKey) for s in model.signatureDefs or ())
        entry_points = _entry_points(model, graphs)
    except _DAMAGE as error:
        raise _damaged(where) from error
    return TfliteFile(graphs, constants, names, entry_points, _external(model))


Named = dict[str, Tensor]


def _entry_points(
    model: Any, graphs: Sequence[Graph]
) -> dict[str, tuple[Named, Named]]:
    """Return what can be called, with inputs and outputs."""
    found = {}
    for signature in model.signatureDefs or ():
        tensors = graphs[signature.subgraphIndex].tensors
        found[text_of(signature.signatureKey)] = (
            {text_of(e.name): tensors[e.tensorIndex] for e in _list(signature.inputs)},
            {text_of(e.name): tensors[e.tensorIndex] for e in _list(signature.outputs)},
        )
    if found:
        return found
    first = graphs[0]
    return {
        NAMELESS: (
            {first.tensors[i].name: first.tensors[i] for i in first.inputs},
            {first.tensors[i].name: first.tensors[i] for i in first.outputs},
        )
    }


def parse_model(data: bytes, where: str) -> Any:
    """Return the object form of a model to rewrite, every buffer inside it.

    Raises BundleError on bytes that are no sound model, SharingError where it keeps
    something outside of itself, which a rewrite would lose.
    """
    model = _parse(data, where)
    _check_self_contained(model, where)
    return model


def _parse(data: bytes, where: str) -> Any:
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        raise BundleError(
            f"{where}: is no .tflite file: bytes 4 to 7 are {data[4:8]!r}, expected"
            f" {IDENTIFIER!r}"
        )
    try:
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        _check(model, where)
        _inline(model, data, where)
    except _DAMAGE as error:
        raise _damaged(where) from error
    return model


def _damaged(where: str) -> BundleError:
    return BundleError(
        f"{where}: is damaged: its tables do not hang together; {COPY_AGAIN}"
    )


def _check(model: Any, where: str) -> None:
    if not model.subgraphs or not model.buffers:
        raise BundleError(f"{where}: holds no graph; export it again")
    astray = metadata_buffers(model) - set(range(len(model.buffers)))
    if astray:
        raise BundleError(
            f"{where}: its metadata reads buffer {min(astray)} of"
            f" {len(model.buffers)}; export it again"
        )
    for graph in model.subgraphs:
        for tensor in graph.tensors or ():
            if not 0 <= tensor.buffer < len(model.buffers):
                raise BundleError(
                    f"{where}: tensor {quoted(text_of(tensor.name))} reads buffer"
                    f" {tensor.buffer} of {len(model.buffers)}; export it again"
                )


def _check_self_contained(model: Any, where: str) -> None:
    external = _external(model)
    if external:
        raise SharingError(
            f"{where}: tensor {quoted(external[0])} lies in another file; export with"
            " the weights inside"
        )
    for graph in model.subgraphs:
        for operator in graph.operators or ():
            if operator.largeCustomOptionsOffset > 1:
                raise SharingError(
                    f"{where}: a custom operator keeps options behind the"
                    " flatbuffer, which no rewrite preserves; export without it"
                )


def _external(model: Any) -> tuple[str, ...]:
    return tuple(
        text_of(tensor.name)
        for graph in model.subgraphs
        for tensor in graph.tensors or ()
        if tensor.externalBuffer
    )


def _inline(model: Any, data: bytes, where: str) -> None:
    """Take buffers that lie behind the flatbuffer into it."""
    for index, buffer in enumerate(model.buffers):
        if buffer.offset <= 1:
            continue
        end = buffer.offset + buffer.size
        if end > len(data):
            raise BundleError(
                f"{where}: buffer {index} ends at byte {end} of {len(data)}; the"
                " file is cut short, copy it again"
            )
        buffer.data = np.frombuffer(data[buffer.offset : end], np.uint8)
        buffer.offset = buffer.size = 0


def content_of(buffer: Any) -> bytes | None:
    """Return a buffer's bytes; None where it has none, unlike an empty constant."""
    return None if buffer.data is None else np.asarray(buffer.data, np.uint8).tobytes()


def metadata_buffers(model: Any) -> set[int]:
    """Return the buffers that hold metadata."""
    named = {int(entry.buffer) for entry in model.metadata or ()}
    return named | {int(i) for i in _list(model.metadataBuffer)}


def _graphs(model: Any, where: str) -> tuple[Graph, ...]:
    names = {
        s.subgraphIndex: text_of(s.signatureKey) for s in model.signatureDefs or ()
    }
    operators = [_operator_name(code) for code in model.operatorCodes or ()]
    return tuple(
        _graph(graph, names.get(i, f"subgraph {i}"), operators, where)
        for i, graph in enumerate(model.subgraphs)
    )


def _graph(graph: Any, name: str, operators: Sequence[str], where: str) -> Graph:
    tensors = tuple(_tensor(tensor) for tensor in graph.tensors or ())
    nodes = tuple(
        Operator(
            operators[node.opcodeIndex], _indices(node.inputs), _indices(node.outputs)
        )
        for node in graph.operators or ()
    )
    for node in nodes:
        for index in (*node.inputs, *node.outputs):
            if not -1 <= index < len(tensors):
                raise BundleError(
                    f"{where}: an operator {node.name} of {quoted(name)} names tensor"
                    f" {index} of {len(tensors)}; export it again"
                )
    return Graph(name, tensors, nodes, _indices(graph.inputs), _indices(graph.outputs))


def _operator_name(code: Any) -> str:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if number == schema.BuiltinOperator.CUSTOM:
        return text_of(code.customCode)
    return str(_OPERATORS[number])


def _tensor(tensor: Any) -> Tensor:
    dtype = _TYPES[tensor.type]
    block, scales = _blocks(tensor.quantization)
    packing = "sparse" if tensor.sparsity is not None else ""
    if dtype not in ITEM_BITS:  # text, a handle on a table
        packing = "of no fixed size"
    return Tensor(
        text_of(tensor.name),
        dtype,
        _indices(tensor.shape),
        int(tensor.buffer),
        _quantization(tensor.quantization),
        packing,
        block,
        scales,
    )


def _blocks(parameters: Any) -> tuple[int, tuple[int, ...]]:
    """Return elements per scale of a blockwise quantization, and who holds those."""
    kind = schema.QuantizationDetails.BlockwiseQuantization
    if parameters is None or parameters.detailsType != kind:
        return 0, ()
    details = parameters.details
    # 0 is no tensor of weights' scales: tensors are numbered inputs first.
    return int(details.blockSize), tuple(
        index for index in (details.scales, details.zeroPoints) if index > 0
    )


def _quantization(parameters: Any) -> Quantization | None:
    if parameters is None or not len(_list(parameters.scale)):
        return None
    scale = tuple(float(s) for s in parameters.scale)
    zero = tuple(int(z) for z in _list(parameters.zeroPoint)) or (0,)
    return Quantization(scale, zero, int(parameters.quantizedDimension))


def _constants(model: Any, graphs: Sequence[Graph], where: str) -> tuple[Constant, ...]:
    views = _views(graphs)
    metadata = metadata_buffers(model)
    scales = {
        graph.tensors[index].buffer
        for graph in graphs
        for tensor in graph.tensors
        for index in tensor.scales
        if index < len(graph.tensors)
    }
    found = []
    for index, buffer in enumerate(model.buffers):
        content = content_of(buffer)
        if not content:
            continue
        seen = tuple(views.get(index, {}).values())
        for view in seen:
            check_view(where, view, len(content))
        role = "metadata" if index in metadata and not seen else ""
        if index in scales:
            role = "scales of a quantization"
        found.append(Constant(index, content, seen, role))
    return tuple(found)


def _views(graphs: Sequence[Graph]) -> dict[int, dict[Any, View]]:
    """Return, per buffer, each distinct way in which tensors read it."""
    found: dict[int, dict[Any, View]] = {}
    for graph in graphs:
        uses = _uses(graph)
        for index, tensor in enumerate(graph.tensors):
            key = (tensor.dtype, tensor.shape, tensor.quantization, tensor.block)
            views = found.setdefault(tensor.buffer, {})
            view = views.get(
                key,
                View(
                    tensor.name,
                    tensor.dtype,
                    tensor.shape,
                    tensor.quantization,
                    uses=(),
                    packing=tensor.packing,
                    block=tensor.block,
                ),
            )
            views[key] = replace(view, uses=view.uses + uses.get(index, ()))
    return found


def _uses(graph: Graph) -> dict[int, tuple[Use, ...]]:
    """Return the readers of each tensor, looking through forwarding operators."""
    direct: dict[int, list[tuple[int, int]]] = {}
    for n, node in enumerate(graph.operators):
        for operand, index in enumerate(node.inputs):
            direct.setdefault(index, []).append((n, operand))
    return {index: _readers(graph, direct, index) for index in direct if index >= 0}


def _readers(
    graph: Graph, direct: Mapping[int, list[tuple[int, int]]], index: int, hops: int = 4
) -> tuple[Use, ...]:
    found: list[Use] = []
    for n, operand in direct.get(index, ()):
        node = graph.operators[n]
        beyond: tuple[Use, ...] = ()
        if node.name in _FORWARDING and operand == 0 and hops and node.outputs:
            beyond = _readers(graph, direct, node.outputs[0], hops - 1)
        found.extend(beyond or (Use(graph.name, n, node.name, operand),))
    return tuple(found)


def _indices(vector: Any) -> tuple[int, ...]:
    return tuple(int(i) for i in _list(vector))


def _list(vector: Any) -> NDArray[Any] | list[Any]:
    return [] if vector is None else vector


def text_of(name: Any) -> str:
    """Return a name on one line, as `printable` makes it; empty where there is none."""
    if name is None:
        return ""
    return printable(name if isinstance(name, bytes) else str(name).encode())
