"""Rewrite a `.tflite` file: constants once, tensors renamed, outputs written to."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from edge_runtime.errors import SharingError
from export.tflite_file import (
    IDENTIFIER,
    content_of,
    metadata_buffers,
    parse_model,
    text_of,
)

LAST_OLD_CODE = schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES
"""What stands in the old field of a code that it is too narrow for."""

DATA_ALIGNMENT_BYTES = 16
"""The schema asks for it; the bindings' own packer does not keep it."""


def deduplicate(data: bytes, where: str = "tflite file") -> bytes:
    """Return the model with byte-identical constants stored once.

    Constants that lie behind the flatbuffer are taken into it, those that nothing
    reads are dropped, and every constant starts on a 16-byte boundary. Outputs stay
    the same to the bit. Applied twice it changes nothing.
    """
    model = parse_model(data, where)
    first: dict[bytes, int] = {}
    target = {0: 0}
    kept = [model.buffers[0]]
    for index in _referenced(model):
        content = content_of(model.buffers[index])
        if index == 0:
            continue
        if content is None:
            target[index] = 0
        elif content in first:
            target[index] = first[content]
        else:
            target[index] = first[content] = len(kept)
            kept.append(model.buffers[index])
    _point_at(model, target)
    model.buffers = kept
    return pack_model(model)


def rename_signature_tensors(
    data: bytes,
    names: Mapping[str, Mapping[str, str]],
    where: str = "tflite file",
) -> bytes:
    """Return the model with inputs and outputs of its signatures renamed.

    `names` maps signature → old name → new name. Raises SharingError on a signature
    or name that the model lacks, or where two would get one name.
    """
    model = parse_model(data, where)
    signatures = {text_of(s.signatureKey): s for s in model.signatureDefs or ()}
    for signature, renamed in names.items():
        if signature not in signatures:
            raise SharingError(
                f"{where}: has no signature {signature!r}, only {sorted(signatures)}"
            )
        _rename(signatures[signature], renamed, f"{where}: signature {signature!r}")
    return pack_model(model)


def _rename(signature: Any, renamed: Mapping[str, str], where: str) -> None:
    entries = [*(signature.inputs or ()), *(signature.outputs or ())]
    present = {text_of(entry.name) for entry in entries}
    unknown = sorted(set(renamed) - present)
    if unknown:
        raise SharingError(
            f"{where}: has no tensor {unknown[0]!r}, only {sorted(present)}"
        )
    for side in (signature.inputs or (), signature.outputs or ()):
        taken = [renamed.get(text_of(e.name), text_of(e.name)) for e in side]
        if len(set(taken)) < len(taken):
            raise SharingError(f"{where}: two tensors would be named alike: {taken}")
        for entry, name in zip(side, taken, strict=True):
            entry.name = name.encode()


def copy_passthroughs(data: bytes, where: str = "tflite file") -> bytes:
    """Return the model with a copy behind every input that is an output as well.

    A converter hands an output that equals an input on as that input's tensor. LiteRT's
    CompiledModel then leaves the output's buffer as it was (2.3.0: measured).
    """
    model = parse_model(data, where)
    for number, graph in enumerate(model.subgraphs):
        entries = [
            entry
            for signature in model.signatureDefs or ()
            if signature.subgraphIndex == number
            for entry in signature.outputs
        ]
        for index in set(graph.inputs) & set(graph.outputs):
            made = _append_copy(model, graph, index)
            graph.outputs = [made if i == index else i for i in graph.outputs]
            for entry in entries:
                if entry.tensorIndex == index:
                    entry.tensorIndex = made
    return pack_model(model)


def restore_outputs(data: bytes, where: str = "tflite file") -> bytes:
    """Return the model whose graphs give what its signatures name.

    Where an output is an input of an integer operator, too, ai-edge-quantizer (0.10.0)
    has the graph give the integers, and the signature still names the output: no
    engine loads that.
    """
    model = parse_model(data, where)
    for signature in model.signatureDefs or ():
        graph = model.subgraphs[signature.subgraphIndex]
        graph.outputs = [entry.tensorIndex for entry in signature.outputs]
    return pack_model(model)


def _append_copy(model: Any, graph: Any, index: int) -> int:
    """Append an operator that copies a tensor; return the copy's index."""
    tensor = copy.copy(graph.tensors[index])
    tensor.name = f"{text_of(tensor.name)}_copy".encode()
    graph.tensors.append(tensor)
    made = len(graph.tensors) - 1
    reshape = schema.BuiltinOperator.RESHAPE
    node = append_operator(model, graph, reshape, [index], [made])
    node.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
    node.builtinOptions = schema.ReshapeOptionsT()
    node.builtinOptions.newShape = list(tensor.shape)
    return made


def append_operator(
    model: Any, graph: Any, code: int, inputs: list[int], outputs: list[int]
) -> Any:
    """Append an operator without options to a graph, and return it."""
    node = schema.OperatorT()
    node.opcodeIndex = _index_of(model, code)
    node.inputs, node.outputs = inputs, outputs
    graph.operators.append(node)
    return node


def _index_of(model: Any, wanted: int) -> int:
    """Return the place of an operator's code in the model, which has it then."""
    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode == wanted:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = wanted
    code.deprecatedBuiltinCode = min(wanted, LAST_OLD_CODE)
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _referenced(model: Any) -> list[int]:
    """Return the buffers that tensors and metadata name, in file order."""
    used = {int(t.buffer) for g in model.subgraphs for t in g.tensors or ()}
    return sorted(used | metadata_buffers(model))


def _point_at(model: Any, target: Mapping[int, int]) -> None:
    for graph in model.subgraphs:
        for tensor in graph.tensors or ():
            tensor.buffer = target[tensor.buffer]
    for entry in model.metadata or ():
        entry.buffer = target[entry.buffer]
    if model.metadataBuffer is not None:
        model.metadataBuffer = [target[int(i)] for i in model.metadataBuffer]


def pack_model(model: Any) -> bytes:
    """Return a model's bytes, every constant on a 16-byte boundary."""
    builder = flatbuffers.Builder(1 << 16)
    plain = model.buffers
    model.buffers = [SimpleNamespace(Pack=_packer(content_of(b))) for b in plain]
    builder.Finish(model.Pack(builder), IDENTIFIER)
    model.buffers = plain
    return bytes(builder.Output())


def _packer(content: bytes | None) -> Any:
    """Return what writes one buffer table with its bytes on a 16-byte boundary."""

    def pack(builder: Any) -> Any:
        data = None if content is None else _aligned_vector(builder, content)
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)

    return pack


def _aligned_vector(builder: Any, content: bytes) -> Any:
    builder.StartVector(1, len(content), DATA_ALIGNMENT_BYTES)
    builder.head -= len(content)
    head = builder.Head()
    builder.Bytes[head : head + len(content)] = content
    return builder.EndVector()
