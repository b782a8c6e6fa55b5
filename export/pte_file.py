"""Read a `.pte` file without torch: its constants, and who reads each of them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from edge_runtime.errors import BundleError
from export.constants import COPY_AGAIN, Constant, View, check_shape, check_view, quoted
from export.flatbuffer import Table
from export.pte_calls import Calls, Content, Read, read_calls
from export.xnnpack import Payload, StoredData

IDENTIFIER = b"ET12"
SCALES = "scales of a quantization"
_HEADER = struct.Struct("<4sIQQ")
"""Magic, its length, size of the program, start of the segments."""
_HEADER_MAGIC = b"eh00"
SCALES = "scales of a quantization"
_TENSOR = 5
"""Number of `Tensor` among the kinds of value."""
_IN_SEGMENT = 1
_EXTERNAL = 1
"""Number of the place outside of the file, of a tensor's bytes."""
_DTYPES = {
    0: "uint8",
    1: "int8",
    2: "int16",
    3: "int32",
    4: "int64",
    5: "float16",
    6: "float32",
    7: "float64",
    11: "bool",
    15: "bfloat16",
    27: "uint16",
    28: "uint32",
    29: "uint64",
}

_NO_TENSOR = "no tensor"

Segments = tuple[memoryview, ...]
Argument = tuple[str, tuple[int, ...]]
"""Type, which is `no tensor` for a number or a text, and shape."""


@dataclass(frozen=True)
class PteFile:
    """A program's methods and everything that it stores."""

    methods: tuple[str, ...]
    delegates: tuple[str, ...]
    """The backends that it needs, each once."""
    constants: tuple[Constant, ...]
    external: tuple[str, ...]
    """Tensors, or keys of a payload's constants, whose bytes lie in another file."""
    operators: Mapping[str, Calls]
    """Method to what it calls."""
    entry_points: Mapping[str, tuple[tuple[Argument, ...], tuple[Argument, ...]]]
    """Method to its inputs and outputs."""


@dataclass
class _Stock:
    """Constants in the order in which they were found, by where they lie."""

    where: str
    data: dict[object, bytes] = field(default_factory=dict)
    views: dict[object, dict[object, View]] = field(default_factory=dict)
    roles: dict[object, str] = field(default_factory=dict)
    backends: dict[object, str] = field(default_factory=dict)
    external: dict[str, None] = field(default_factory=dict)
    """Names of what lies in another file, each once."""

    def add(self, place: object, data: bytes, view: View | None = None) -> None:
        """Note bytes, and a view of them where something reads them."""
        self.data.setdefault(place, data)
        views = self.views.setdefault(place, {})
        if view is None:
            return
        check_view(self.where, view, len(data))
        key = (view.dtype, view.shape, view.quantization)
        known = views.get(key)
        views[key] = (
            view if known is None else replace(known, uses=known.uses + view.uses)
        )

    def constants(self) -> tuple[Constant, ...]:
        """Return all of them."""
        return tuple(
            Constant(
                index,
                data,
                tuple(self.views[place].values()),
                self.roles.get(place, ""),
                self.backends.get(place, ""),
            )
            for index, (place, data) in enumerate(self.data.items())
        )


def read_pte(data: bytes, where: str = "pte file") -> PteFile:
    """Return the methods and constants of a `.pte` file.

    Constants of portable kernels are read from the constant segment, those of XNNPACK
    from its payloads and the named data. Raises BundleError, beginning with `where`,
    on bytes that are no sound program.
    """
    program, segments = _open(data, where)
    named = {
        entry.text(0): _segment(segments, entry.number(1, "I"), where)
        for entry in program.tables(7)
    }
    stock = _Stock(where)
    methods: dict[str, Calls] = {}
    backends: list[str] = []
    entry_points = {}
    for plan in program.tables(1):
        blobs = tuple(_payload(program, d, segments, where) for d in plan.tables(7))
        content = _content(program, plan, segments, where)
        calls = read_calls(plan, blobs, named, content, where)
        methods[plan.text(0)] = calls
        taken, given = (_arguments(plan, slot, where) for slot in (3, 4))
        entry_points[plan.text(0)] = (taken, given)
        backends.extend(calls.backends)
        _add_tensors(program, plan, calls, segments, stock)
        for first_node, payload in calls.payloads:
            _add_payload(payload, (plan.text(0), first_node), stock)
        for backend, blob in calls.foreign:
            stock.add((backend, blob), blob)
            stock.backends[backend, blob] = backend
    _add_unread(program, named, segments, stock)
    return PteFile(
        tuple(methods),
        tuple(dict.fromkeys(backends)),
        stock.constants(),
        tuple(stock.external),
        methods,
        entry_points,
    )


def _arguments(plan: Table, slot: int, where: str) -> tuple[Argument, ...]:
    """Return type and shape of the values that a method takes, or gives."""
    values = plan.tables(2)
    found: list[Argument] = []
    for index in plan.numbers(slot):
        if not 0 <= index < len(values):
            raise BundleError(
                f"{where}: is damaged: {plan.text(0)} takes or gives value {index} of"
                f" {len(values)}; {COPY_AGAIN}"
            )
        kind, tensor = values[index].union(0)
        if kind != _TENSOR or tensor is None:
            found.append((_NO_TENSOR, ()))
        else:
            dtype = _DTYPES.get(tensor.number(0, "b"), _NO_TENSOR)
            found.append((dtype, tensor.numbers(2)))
    return tuple(found)


def _open(data: bytes, where: str) -> tuple[Table, Segments]:
    """Return the program's root table and its segments."""
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        raise BundleError(
            f"{where}: is no .pte file: bytes 4 to 7 are {data[4:8]!r}, expected"
            f" {IDENTIFIER!r}"
        )
    size, base = len(data), 0
    if len(data) >= 8 + _HEADER.size and data[8:12] == _HEADER_MAGIC:
        _, _, size, base = _HEADER.unpack_from(data, 8)
    if size > len(data) or base > len(data):
        raise BundleError(
            f"{where}: is cut short: it has {len(data)} bytes, its header speaks of"
            f" {max(size, base)}; copy it again"
        )
    whole = memoryview(data)
    program = Table.root(whole[:size], where)
    segments = []
    for entry in program.tables(4):
        start = base + entry.number(0, "Q")
        end = start + entry.number(1, "Q")
        if end > len(data):
            raise BundleError(
                f"{where}: is cut short: a segment ends at byte {end} of {len(data)};"
                " copy it again"
            )
        segments.append(whole[start:end])
    return program, tuple(segments)


def _segment(segments: Segments, index: int, where: str) -> bytes:
    if index >= len(segments):
        raise BundleError(
            f"{where}: names segment {index} of {len(segments)}; export it again"
        )
    return bytes(segments[index])


def _content(program: Table, plan: Table, segments: Segments, where: str) -> Content:
    """Return what gives the bytes that a value's tensor has in the file."""
    values = plan.tables(2)

    def content(number: int) -> bytes:
        kind, tensor = (
            values[number].union(0) if 0 <= number < len(values) else (0, None)
        )
        if kind != _TENSOR or tensor is None or not tensor.number(5, "I"):
            return b""
        (view,) = _tensor_views(tensor, number, (), where)
        check_shape(where, view)
        return _tensor_bytes(program, tensor, segments, where)[1][: view.n_bytes]

    return content


def _add_tensors(
    program: Table,
    plan: Table,
    calls: Calls,
    segments: Segments,
    stock: _Stock,
) -> None:
    """Note the constant tensors of a method, and those with a first value."""
    for number, value in enumerate(plan.tables(2)):
        kind, tensor = value.union(0)
        if kind != _TENSOR or tensor is None:
            continue
        extra = tensor.table(9)
        if extra is not None and extra.number(2, "b") == _EXTERNAL:
            stock.external[extra.text(1) or f"tensor {number}"] = None
            continue
        if not tensor.number(5, "I"):
            continue
        place, content = _tensor_bytes(program, tensor, segments, stock.where)
        if number in calls.scales:
            stock.roles[place] = SCALES
        reads = calls.reads.get(number, ())
        for view in _tensor_views(tensor, number, reads, stock.where):
            check_shape(stock.where, view)
            if len(content) < view.n_bytes:
                raise BundleError(
                    f"{stock.where}: tensor {quoted(view.name)} takes {view.n_bytes}"
                    f" bytes, the file holds {len(content)}; copy it again"
                )
            stock.add(place, content[: view.n_bytes], view)


def _tensor_views(
    tensor: Table, number: int, reads: Sequence[Read], where: str
) -> tuple[View, ...]:
    """Return the tensor once per scale that it is read by."""
    kind = tensor.number(0, "b")
    if kind not in _DTYPES:
        raise BundleError(f"{where}: a tensor is of unknown type {kind}; update tiedge")
    sizes, order = tensor.numbers(2), tuple(tensor.octets(3))
    if sorted(order) == list(range(len(sizes))):
        sizes = tuple(sizes[axis] for axis in order)
    extra = tensor.table(9)
    name = (extra.text(1) if extra is not None else "") or f"tensor {number}"
    scales = dict.fromkeys(scale for _, scale in reads) or {None: None}
    return tuple(
        View(
            name, _DTYPES[kind], sizes, scale, tuple(u for u, s in reads if s == scale)
        )
        for scale in scales
    )


def _tensor_bytes(
    program: Table, tensor: Table, segments: Segments, where: str
) -> tuple[object, bytes]:
    """Return where a tensor's bytes lie, and all bytes from there."""
    buffer = tensor.number(5, "I")
    group = _offsets(program, tensor)
    offsets = group.numbers(1, "Q") if group is not None else ()
    if group is not None and buffer < len(offsets):
        number = group.number(0, "I")
        content = _segment(segments, number, where)
        return ("segment", number, offsets[buffer]), content[offsets[buffer] :]
    inline = program.tables(2)
    if buffer < len(inline):
        return ("inline", buffer), bytes(inline[buffer].octets(0))
    raise BundleError(
        f"{where}: a tensor reads constant {buffer}, which the file does not hold;"
        " export it again"
    )


def _offsets(program: Table, tensor: Table) -> Table | None:
    """Return the table of offsets that a tensor's number points into."""
    if tensor.table(6) is None:
        return program.table(5)
    extra = tensor.table(9)
    index = 0 if extra is None else extra.number(0, "Q")
    groups = program.tables(6)
    return groups[index] if index < len(groups) else None


def _payload(
    program: Table, delegate: Table, segments: Segments, where: str
) -> memoryview:
    reference = delegate.table(1)
    if reference is None:
        raise BundleError(f"{where}: a delegate has no payload; export it again")
    index = reference.number(1, "I")
    if reference.number(0, "b") == _IN_SEGMENT:
        return memoryview(_segment(segments, index, where))
    inline = program.tables(3)
    if index >= len(inline):
        raise BundleError(
            f"{where}: names payload {index} of {len(inline)}; export it again"
        )
    return inline[index].octets(0)


def _add_payload(payload: Payload, owner: tuple[str, int], stock: _Stock) -> None:
    for stored, view in payload.views:
        stock.add(_place(stored, owner), stored.data, view)
    for stored in payload.scales:
        stock.add(_place(stored, owner), stored.data)
        stock.roles[_place(stored, owner)] = SCALES
    stock.external.update(dict.fromkeys(payload.external))


def _place(stored: StoredData, owner: tuple[str, int]) -> object:
    """Return where a constant lies; without a key it is its payload's own."""
    return ("named", stored.key) if stored.key else (owner, stored.data)


def _add_unread(
    program: Table, named: Mapping[str, bytes], segments: Segments, stock: _Stock
) -> None:
    """Note what the file stores and no method reads."""
    for key, content in named.items():
        stock.add(("named", key), content)
    group = program.table(5)
    if group is None:
        return
    number, offsets = group.number(0, "I"), sorted(set(group.numbers(1, "Q")[1:]))
    content = _segment(segments, number, stock.where)
    ends = [*offsets[1:], len(content)]
    for start, end in zip(offsets, ends, strict=bool(offsets)):
        if ("segment", number, start) not in stock.data:
            stock.add(("segment", number, start), content[start:end])
