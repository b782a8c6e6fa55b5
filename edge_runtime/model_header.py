"""What can be said about a model file before an engine reads it.

Engines take a model file as trusted code: a cut `.tflite` makes LiteRT's process
crash, because its weights lie behind the verified part. So sizes, identifiers and
the place of every weight are checked here. What this cannot see is a file of the
right size whose insides are wrong; the SHA-256 in bundle.json sees that.
"""

from __future__ import annotations

import struct
from typing import NoReturn

from edge_runtime.bundle import ModelFile
from edge_runtime.errors import EngineError

IDENTIFIERS = {"tflite": b"TFL3", "pte": b"ET12"}
"""Model format to the flatbuffer identifier at bytes 4 to 8."""

BUFFERS_FIELD = 4
"""Place of `buffers` in the tflite schema's Model."""

OFFSET_FIELD, SIZE_FIELD = 1, 2
"""Places of `offset` and `size` in the tflite schema's Buffer."""


def check_model_file(model: ModelFile) -> None:
    """Refuse a model file that is cut, or of another format than it says.

    Raises EngineError.
    """
    try:
        data = model.path.read_bytes()
    except OSError as error:
        raise EngineError(f"{model.path}: cannot be read: {error.strerror}") from error
    if len(data) != model.bytes:
        raise EngineError(
            f"{model.path}: found {len(data)} bytes, expected {model.bytes};"
            " copy the bundle again"
        )
    check_model_bytes(str(model.path), model.format, data)


def check_model_bytes(where: str, model_format: str, data: bytes) -> None:
    """Refuse bytes that are no whole model of `model_format`; raises EngineError."""
    expected = IDENTIFIERS[model_format]
    found = data[4:8]
    if found != expected:
        raise EngineError(
            f"{where}: starts with {found!r}, expected {expected!r};"
            f" this is no .{model_format} file"
        )
    if model_format == "tflite":
        _check_buffers(_Flatbuffer(where, data))


class _Flatbuffer:
    """Bounds-checked reads from a flatbuffer; raises EngineError outside of it."""

    def __init__(self, where: str, data: bytes) -> None:
        self.where = where
        self.data = data

    def number(self, kind: str, position: int) -> int:
        """Return the little-endian number of struct type `kind` at `position`."""
        try:
            number: int = struct.unpack_from("<" + kind, self.data, position)[0]
        except struct.error:
            self.refuse(position)
        return number

    def follow(self, position: int) -> int:
        """Return the position that the offset at `position` points to."""
        return position + self.number("I", position)

    def field(self, table: int, index: int) -> int | None:
        """Return the position of a table's field; None where it is left out."""
        layout = table - self.number("i", table)
        if layout < 0:
            self.refuse(layout)
        if 4 + 2 * index >= self.number("H", layout):
            return None
        place = self.number("H", layout + 4 + 2 * index)
        return table + place if place else None

    def refuse(self, position: int) -> NoReturn:
        """Raise EngineError: something lies at `position`, outside of the file."""
        raise EngineError(
            f"{self.where}: points to byte {position} of {len(self.data)};"
            " the file is cut or damaged, copy the bundle again"
        )


def _check_buffers(model: _Flatbuffer) -> None:
    """Refuse a model with a weight that ends behind the end of the file."""
    vector = model.field(model.follow(0), BUFFERS_FIELD)
    if vector is None:
        return
    start = model.follow(vector)
    for entry in range(model.number("I", start)):
        buffer = model.follow(start + 4 + 4 * entry)
        offset = model.field(buffer, OFFSET_FIELD)
        size = model.field(buffer, SIZE_FIELD)
        if offset is None or size is None:
            continue
        end = model.number("Q", offset) + model.number("Q", size)
        if end > len(model.data):
            model.refuse(end)
