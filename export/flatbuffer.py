"""Read flatbuffer tables, every access checked against the end of the bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from edge_runtime.errors import BundleError
from export.constants import COPY_AGAIN, printable

_SIZES = {
    "b": 1,
    "B": 1,
    "h": 2,
    "H": 2,
    "i": 4,
    "I": 4,
    "f": 4,
    "q": 8,
    "Q": 8,
    "d": 8,
}


@dataclass(frozen=True)
class Table:
    """One table of a flatbuffer; fields are asked for by their slot, from 0.

    A field that was not written gives the default: 0, no text, no elements. Any
    position outside the bytes raises BundleError beginning with `where`.
    """

    data: memoryview
    position: int
    where: str

    @classmethod
    def root(cls, data: bytes | memoryview, where: str) -> Table:
        """Return the root table of a whole flatbuffer."""
        table = cls(memoryview(data), 0, where)
        return table._at(table._offset(0))

    def number(self, slot: int, kind: str = "i", default: int = 0) -> int:
        """Return an integer field; `kind` is its `struct` letter."""
        found = self._field(slot)
        return default if found is None else int(self._read(kind, found))

    def real(self, slot: int, kind: str = "f") -> float:
        """Return a real field; `kind` is its `struct` letter."""
        found = self._field(slot)
        return 0.0 if found is None else float(self._read(kind, found))

    def table(self, slot: int) -> Table | None:
        """Return the table that a field points to."""
        found = self._field(slot)
        return None if found is None else self._at(self._offset(found))

    def text(self, slot: int) -> str:
        """Return a text field on one line, as `printable` makes it."""
        return printable(self.octets(slot))

    def octets(self, slot: int) -> memoryview:
        """Return a vector of bytes."""
        start, n = self._vector(slot)
        self._within(start, n)
        return self.data[start : start + n]

    def numbers(self, slot: int, kind: str = "i") -> tuple[int, ...]:
        """Return a vector of integers; `kind` is their `struct` letter."""
        return tuple(int(n) for n in self._elements(slot, kind))

    def reals(self, slot: int) -> tuple[float, ...]:
        """Return a vector of float32."""
        return tuple(float(n) for n in self._elements(slot, "f"))

    def tables(self, slot: int) -> tuple[Table, ...]:
        """Return a vector of tables."""
        start, n = self._vector(slot)
        self._within(start, 4 * n)
        places = range(start, start + 4 * n, 4)
        return tuple(self._at(self._offset(place)) for place in places)

    def vector_start(self, slot: int) -> int:
        """Return the position of a vector's first element."""
        return self._vector(slot)[0]

    def union(self, slot: int) -> tuple[int, Table | None]:
        """Return a union: its type's number, and its table, from two slots."""
        return self.number(slot, "B"), self.table(slot + 1)

    def _at(self, position: int) -> Table:
        return Table(self.data, position, self.where)

    def _field(self, slot: int) -> int | None:
        vtable = self.position - int(self._read("i", self.position))
        if 4 + 2 * slot >= int(self._read("H", vtable)):
            return None
        offset = int(self._read("H", vtable + 4 + 2 * slot))
        return self.position + offset if offset else None

    def _vector(self, slot: int) -> tuple[int, int]:
        found = self._field(slot)
        if found is None:
            return 0, 0
        start = self._offset(found)
        return start + 4, int(self._read("I", start))

    def _elements(self, slot: int, kind: str) -> tuple[float, ...]:
        start, n = self._vector(slot)
        self._within(start, n * _SIZES[kind])
        return struct.unpack_from(f"<{n}{kind}", self.data, start)

    def _offset(self, position: int) -> int:
        return position + int(self._read("I", position))

    def _read(self, kind: str, position: int) -> float:
        self._within(position, _SIZES[kind])
        value: float = struct.unpack_from(f"<{kind}", self.data, position)[0]
        return value

    def _within(self, position: int, n_bytes: int) -> None:
        if position < 0 or position + n_bytes > len(self.data):
            raise BundleError(
                f"{self.where}: is damaged: byte {position + n_bytes} is asked for, it"
                f" has {len(self.data)}; {COPY_AGAIN}"
            )
