"""Rewrite `.tflite` files so that they lose sharing, or keep weights elsewhere."""

from collections.abc import Callable, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

Change = Callable[[Any], None]


def rewritten(data: bytes, *changes: Change) -> bytes:
    """Return the model after each change of its object form."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    for change in changes:
        change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def with_own_copies(data: bytes, chosen: Sequence[bool] | None = None) -> bytes:
    """Return the model with a buffer of its own for each (chosen) constant tensor."""

    def unshare(model: Any) -> None:
        tensors = [t for g in model.subgraphs for t in g.tensors]
        constant = [t for t in tensors if has_data(model, t)]
        for number, tensor in enumerate(constant):
            if chosen is None or chosen[number % len(chosen)]:
                add_constant(model, tensor, bytes(model.buffers[tensor.buffer].data))

    return rewritten(data, unshare)


def with_data_behind(data: bytes) -> bytes:
    """Return the model with its constants behind the flatbuffer, as large files are."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    contents = [None if b.data is None else bytes(b.data) for b in model.buffers]

    def move(start: int) -> bytes:
        def out(m: Any) -> None:
            place = start
            for buffer, content in zip(m.buffers, contents, strict=True):
                if content:
                    buffer.data, buffer.offset, buffer.size = None, place, len(content)
                    place += -(-len(content) // 16) * 16

        return rewritten(data, out)

    start = -(-len(move(1 << 20)) // 16) * 16
    tail = b"".join(c + bytes(-len(c) % 16) for c in contents if c)
    return move(start).ljust(start, b"\0") + tail


def has_data(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def add_constant(model: Any, tensor: Any, content: bytes) -> None:
    """Point a tensor at a new buffer."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1
