"""Read the payload that a `.pte` file hands to XNNPACK: its nodes and constants."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from edge_runtime.errors import BundleError
from export.constants import Quantization, Use, View
from export.flatbuffer import Table

_HEADER_MAGIC = b"XH00"
_HEADER = struct.Struct("<4s4sHIIIQ")
"""Zeros, magic, its length, then start and size of the graph and of the constants."""
_GRAPH_MAGICS = (b"XN00", b"XN01")
_IN_FILE = 2**64 - 1
"""Offset of a constant that is found by its key among the file's named data."""
_NODES: dict[int, tuple[str, tuple[int, ...]]] = {
    1: ("XNNAdd", (0, 1)),
    2: ("XNNFullyConnected", (0, 1, 2)),
    3: ("XNNSoftmax", (0,)),
    4: ("XNNSigmoid", (0,)),
    5: ("XNNStaticTranspose", (2,)),
    6: ("XNNClamp", (0,)),
    7: ("XNNConv2d", (15, 16, 17)),
    8: ("XNNDiv", (0, 1)),
    9: ("XNNStaticResizeBilinear2D", (2,)),
    10: ("XNNStaticConstantPad", (3,)),
    11: ("XNNAvgPooling2d", (10,)),
    12: ("XNNMinimum", (0, 1)),
    13: ("XNNDepthwiseConv2d", (15, 16, 17)),
    14: ("XNNMaxPooling2d", (10,)),
    15: ("XNNMultiply", (0, 1)),
    16: ("XNNSubtract", (0, 1)),
    17: ("XNNFloor", (0,)),
    18: ("XNNConvert", (0,)),
    19: ("XNNGlobalAvgPooling2d", (0,)),
    20: ("XNNStaticReshape", (2,)),
    21: ("XNNArgMaxPooling2d", (6,)),
    22: ("XNNSquareRoot", (0,)),
    23: ("XNNCeiling", (0,)),
    24: ("XNNHardswish", (0,)),
    25: ("XNNLeakyReLU", (1,)),
    26: ("XNNMaximum", (0, 1)),
    27: ("XNNNegate", (0,)),
    28: ("XNNSquare", (0,)),
    29: ("XNNELU", (1,)),
    30: ("XNNAbs", (0,)),
    31: ("XNNPReLU", (0, 1)),
    32: ("XNNConcatenate2", (1, 2)),
    33: ("XNNConcatenate3", (1, 2, 3)),
    34: ("XNNConcatenate4", (1, 2, 3, 4)),
    35: ("XNNStaticSlice", (3,)),
    36: ("XNNScaledDotProductAttention", (0, 1, 2, 3, 4)),
    37: ("XNNBatchMatrixMultiply", (0, 1)),
    38: ("XNNConcatenate5", (1, 2, 3, 4, 7)),
    39: ("XNNConvTranspose2d", (15, 16, 17)),
    40: ("XNNReciprocalSquareRoot", (0,)),
    41: ("XNNLog", (0,)),
    42: ("XNNGelu", (0,)),
    43: ("XNNTanh", (0,)),
    44: ("XNNExp", (0,)),
    45: ("XNNSin", (0,)),
    46: ("XNNCopy", (0,)),
    47: ("XNNCos", (0,)),
}
"""Number of a node's type to its name and the slots of its operands, in order."""
_FORWARDING = {"XNNStaticReshape": 2, "XNNStaticTranspose": 2, "XNNCopy": 0}
"""Nodes that only reorder a value, with the slot of what they read; the slot behind it
names what they make."""
_EXTERNAL_OUTPUT = 2
"""Flag of a value that the call hands back."""
_DTYPES = {
    1: "float32",
    2: "float16",
    3: "int8",
    4: "uint8",
    5: "int32",
    6: "int8",
    7: "int32",
    8: "uint4",
    10: "uint4",
    12: "int32",
    14: "bfloat16",
}
"""Number of a value's type to how its constants are stored."""
_FOUR_BITS_ZERO = 8
"""4-bit codes are stored with 8 added."""
_PLAIN_VALUE = 1
_PER_CHANNEL, _PER_TENSOR, _PER_GROUP = 1, 2, 4


@dataclass(frozen=True)
class StoredData:
    """Where a payload's constant lies: in itself, or in the file under a key."""

    key: str
    """Empty for bytes inside the payload."""
    data: bytes
    external: bool = False
    """Whether no file data has the key: the bytes lie in another file."""


@dataclass(frozen=True)
class Payload:
    """What one XNNPACK payload reads."""

    views: tuple[tuple[StoredData, View], ...]
    scales: tuple[StoredData, ...]
    """Constants that hold the scales of others."""
    inputs: Mapping[int, tuple[tuple[Use, ...], Quantization | None]]
    """For each argument of the call, the nodes that read it, and as what."""
    forwards: tuple[tuple[int, tuple[int, Use]], ...]
    """Arguments that others hand back, only reordered: which, and by which node."""
    n_nodes: int
    external: tuple[str, ...]
    """Keys of constants that lie in another file."""


def read_payload(
    blob: memoryview,
    named: Mapping[str, bytes],
    graph: str,
    first_node: int,
    where: str,
) -> Payload:
    """Return the constants of an XNNPACK payload and the nodes that read them.

    `named` is the file's named data; `graph` and `first_node` number the nodes within
    the method. Raises BundleError on a damaged payload.
    """
    body, constants = _sections(blob, where)
    root = Table.root(body, where)
    fetch = _fetcher(root, constants, named, where)
    uses, handed_back = _uses(root, graph, first_node)
    forwards: list[tuple[int, tuple[int, Use]]] = []
    views: list[tuple[StoredData, View]] = []
    scales: list[StoredData] = []
    inputs: dict[int, tuple[tuple[Use, ...], Quantization | None]] = {}
    external: dict[str, None] = {}
    for entry in root.tables(2):
        kind, value = entry.union(0)
        base = value if kind == _PLAIN_VALUE or value is None else value.table(0)
        if base is None:
            continue
        readers = uses.get(base.number(6, "I"), ())
        quantization, scale_index = _quantization(
            None if kind == _PLAIN_VALUE else value, fetch
        )
        if scale_index:
            scales.append(fetch(scale_index))
        index = base.number(3, "I")
        stored = fetch(index) if index else None
        if stored is not None and stored.external:
            external[stored.key] = None
            continue
        if stored is not None:
            view = _view(base, quantization, readers, where)
            block = 0 if kind == _PLAIN_VALUE else _block(value)
            views.append((stored, replace(view, block=block)))
            continue
        if readers:
            inputs[base.number(4, "I")] = (readers, quantization)
        found = handed_back.get(base.number(6, "I"), {})
        forwards.extend((base.number(4, "I"), result) for result in found.items())
    n_nodes = len(root.tables(1))
    inside = tuple(stored for stored in scales if not stored.external)
    return Payload(
        tuple(views), inside, inputs, tuple(forwards), n_nodes, tuple(external)
    )


def _sections(blob: memoryview, where: str) -> tuple[memoryview, memoryview]:
    """Return the graph's flatbuffer and the constants behind it."""
    if len(blob) < _HEADER.size or blob[4:8] != _HEADER_MAGIC:
        raise BundleError(
            f"{where}: its XNNPACK payload begins with {bytes(blob[4:8])!r}, expected"
            f" {_HEADER_MAGIC!r}; export it with executorch 1.5"
        )
    _, _, _, start, size, data_start, data_size = _HEADER.unpack_from(blob)
    if start + size > len(blob) or data_start + data_size > len(blob):
        raise BundleError(f"{where}: its XNNPACK payload is cut short; copy it again")
    body = blob[start : start + size]
    if bytes(body[4:8]) not in _GRAPH_MAGICS:
        raise BundleError(
            f"{where}: its XNNPACK graph is of format {bytes(body[4:8])!r}, expected"
            f" one of {_GRAPH_MAGICS}; update tiedge"
        )
    return body, blob[data_start : data_start + data_size]


def _fetcher(
    root: Table, constants: memoryview, named: Mapping[str, bytes], where: str
) -> Callable[[int], StoredData]:
    entries = root.tables(8)

    def fetch(index: int) -> StoredData:
        if index >= len(entries):
            raise BundleError(
                f"{where}: reads constant {index} of {len(entries)}; export it again"
            )
        entry = entries[index]
        offset, size = entry.number(0, "Q", _IN_FILE), entry.number(1, "Q")
        key = entry.text(2)
        if key:
            if key not in named:
                return StoredData(key, b"", external=True)
            return StoredData(key, named[key])
        if offset + size > len(constants):
            raise BundleError(
                f"{where}: constant {index} ends at byte {offset + size} of"
                f" {len(constants)}; copy it again"
            )
        return StoredData("", bytes(constants[offset : offset + size]))

    return fetch


def _uses(
    root: Table, graph: str, first_node: int
) -> tuple[dict[int, tuple[Use, ...]], dict[int, dict[int, Use]]]:
    """Return which nodes read each value, looking through those that only reorder.

    Beside it: values that the call hands back, reordered, as which of its arguments.
    """
    found: dict[int, dict[Use, None]] = defaultdict(dict)
    handed_back: dict[int, dict[int, Use]] = defaultdict(dict)
    results = _results(root)
    nodes = list(enumerate(root.tables(1), first_node))
    for n, node in reversed(nodes):
        kind, table = node.union(0)
        name, slots = _NODES.get(kind, (f"XNNPACK node {kind}", ()))
        if table is None:
            continue
        for operand, slot in enumerate(slots):
            value, use = table.number(slot, "I"), Use(graph, n, name, operand)
            if _FORWARDING.get(name) != slot:
                found[value][use] = None
                continue
            made = table.number(slot + 1, "I")
            back = dict.fromkeys([*handed_back.get(made, ()), *results.get(made, ())])
            handed_back[value] |= dict.fromkeys(back, use)
            found[value] |= found.get(made, {}) or ({} if back else {use: None})
    return {v: tuple(reversed(uses)) for v, uses in found.items()}, handed_back


def _results(root: Table) -> dict[int, tuple[int, ...]]:
    """Return the arguments of the call that hand a value back."""
    found: dict[int, tuple[int, ...]] = {}
    for entry in root.tables(2):
        kind, value = entry.union(0)
        base = value if kind == _PLAIN_VALUE or value is None else value.table(0)
        if base is not None and base.number(5, "I") & _EXTERNAL_OUTPUT:
            found[base.number(6, "I")] = (base.number(4, "I"),)
    return found


def _view(
    base: Table, quantization: Quantization | None, uses: tuple[Use, ...], where: str
) -> View:
    kind = base.number(0, "h")
    if kind not in _DTYPES:
        raise BundleError(
            f"{where}: an XNNPACK constant is of unknown type {kind}; update tiedge"
        )
    dtype, shape = _DTYPES[kind], base.numbers(2, "I")
    name = f"value {base.number(6, 'I')}"
    if quantization is not None:
        quantization = _fitted(quantization, dtype, shape)
    return View(name, dtype, shape, quantization, uses)


def _fitted(
    quantization: Quantization, dtype: str, shape: tuple[int, ...]
) -> Quantization:
    """Return it with the axis that has a slice per scale, and 4-bit codes' zero."""
    n, axis = len(quantization.scale), quantization.axis
    if n > 1 and (axis >= len(shape) or shape[axis] != n):
        axis = shape.index(n) if n in shape else axis
    zero = (_FOUR_BITS_ZERO,) if dtype == "uint4" else quantization.zero_point
    return replace(quantization, axis=axis, zero_point=zero)


def _block(value: Table | None) -> int:
    """Return how many elements share a scale; 0 where a slice has one."""
    kind, parameters = (0, None) if value is None else value.union(1)
    if kind != _PER_GROUP or parameters is None:
        return 0
    return parameters.number(2)


def _quantization(
    value: Table | None, fetch: Callable[[int], StoredData]
) -> tuple[Quantization | None, int]:
    """Return a value's quantization and the constant that holds its scales, or 0."""
    if value is None:
        return None, 0
    kind, parameters = value.union(1)
    if parameters is None:
        return None, 0
    if kind == _PER_TENSOR:
        return Quantization((parameters.real(0),), (parameters.number(1),)), 0
    if kind == _PER_CHANNEL:
        index = parameters.number(2, "I")
        scale = parameters.reals(0)
        if index:
            data = fetch(index).data
            scale = struct.unpack(f"<{len(data) // 4}f", data[: len(data) // 4 * 4])
        return Quantization(scale, (0,), parameters.number(1)), index
    if kind == _PER_GROUP:
        return None, parameters.number(4, "I")
    return None, 0
