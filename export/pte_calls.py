"""Tell who reads each value of a `.pte` method, and as which numbers."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from edge_runtime.errors import BundleError
from export.constants import Quantization, Use
from export.flatbuffer import Table
from export.xnnpack import Payload, read_payload

_KERNEL_CALL, _DELEGATE_CALL = 1, 2
_INT, _DOUBLE = 2, 4
"""Numbers of `Int` and `Double` among the kinds of value."""
_DEQUANTIZE = "quantized_decomposed::dequantize_per_tensor"
PER_CHANNEL = "quantized_decomposed::dequantize_per_channel"
PER_CHANNEL_SCALES = (1, 2)
"""Its operands that are scales and zero points."""
_FORWARDING = (PER_CHANNEL, "dim_order_ops::_to_dim_order_copy")
"""Kernels on a constant whose readers are the constant's true readers."""
_XNNPACK = "XnnpackBackend"

Read = tuple[Use, Quantization | None]


@dataclass(frozen=True)
class Calls:
    """What a method calls, seen from the values that are read."""

    reads: dict[int, list[Read]] = field(default_factory=dict)
    """Value number to its readers, each with the scale that it reads by."""
    payloads: list[tuple[int, Payload]] = field(default_factory=list)
    """First node and content of each XNNPACK payload."""
    foreign: list[tuple[str, bytes]] = field(default_factory=list)
    """Backend and payload of every other delegate."""
    backends: list[str] = field(default_factory=list)
    kernels: list[str] = field(default_factory=list)
    """Operators that no delegate takes, in order."""

    @property
    def n_operators(self) -> int:
        """How many operators it runs; a payload that cannot be read counts as one."""
        inside = sum(payload.n_nodes for _, payload in self.payloads)
        return len(self.kernels) + inside + len(self.foreign)


def read_calls(
    plan: Table,
    blobs: tuple[memoryview, ...],
    named: Mapping[str, bytes],
    content_of: Callable[[int], bytes],
    where: str,
) -> Calls:
    """Return the calls of a method; `blobs` are its delegates' payloads.

    `content_of` gives the bytes of a constant tensor, none for any other value.

    Nodes are numbered along the method, kernels first, then those inside payloads.
    Raises BundleError on a damaged method.
    """
    calls = Calls()
    n_calls = 0
    for node, (kind, call) in enumerate(_instructions(plan)):
        n_calls = node + 1
        if kind == _KERNEL_CALL:
            _enter_kernel(calls, plan, call, node, content_of, where)
    first_node = n_calls
    for kind, call in _instructions(plan):
        if kind == _DELEGATE_CALL:
            first_node = _enter_delegate(
                calls, plan, call, blobs, named, first_node, where
            )
    for node, (kind, call) in reversed(list(enumerate(_instructions(plan)))):
        if kind == _KERNEL_CALL:
            _forward(calls, call.numbers(1), node)
    return calls


def _forward(calls: Calls, arguments: tuple[int, ...], node: int) -> None:
    """Give the readers of what a kernel only converts to what it reads."""
    if not arguments:
        return
    reads = calls.reads.get(arguments[0], [])
    for number, (use, quantization) in enumerate(reads):
        if (use.node, use.operand) == (node, 0) and use.operator in _FORWARDING:
            beyond = calls.reads.get(arguments[-1], ())
            found = [(r, quantization) for r, _ in beyond if r.node != node]
            reads[number : number + 1] = found or [(use, quantization)]
            return


def _instructions(plan: Table) -> Iterator[tuple[int, Table]]:
    for chain in plan.tables(5):
        for instruction in chain.tables(2):
            kind, call = instruction.union(0)
            if call is not None:
                yield kind, call


def _enter_kernel(
    calls: Calls,
    plan: Table,
    call: Table,
    node: int,
    content_of: Callable[[int], bytes],
    where: str,
) -> None:
    operators = plan.tables(6)
    index = call.number(0)
    if not 0 <= index < len(operators):
        raise BundleError(
            f"{where}: calls kernel {index} of {len(operators)}; export it again"
        )
    name, arguments = operators[index].text(0), call.numbers(1)
    overload = operators[index].text(1)
    calls.kernels.append(f"{name}.{overload}" if overload else name)
    if name == PER_CHANNEL:
        quantization = _scales_of(plan, arguments, content_of)
    else:
        quantization = _scale_of(plan, name, arguments)
    for operand, value in enumerate(arguments):
        use = Use(plan.text(0), node, name, operand)
        calls.reads.setdefault(value, []).append(
            (use, quantization if operand == 0 else None)
        )


def _scale_of(
    plan: Table, name: str, arguments: tuple[int, ...]
) -> Quantization | None:
    """Return the scale by which a kernel turns its first operand into real numbers."""
    if name != _DEQUANTIZE or len(arguments) < 3:
        return None
    values = plan.tables(2)
    numbers = [values[i].union(0) for i in arguments[1:3] if 0 <= i < len(values)]
    if [kind for kind, _ in numbers] != [_DOUBLE, _INT]:
        return None
    (_, scale), (_, zero) = numbers
    if scale is None or zero is None:
        return None
    return Quantization((scale.real(0, "d"),), (zero.number(0, "q"),))


def _scales_of(
    plan: Table, arguments: tuple[int, ...], content_of: Callable[[int], bytes]
) -> Quantization | None:
    """Return the scales by which a kernel turns channels into real numbers."""
    if len(arguments) < 4 or not 0 <= arguments[3] < len(plan.tables(2)):
        return None
    kind, axis = plan.tables(2)[arguments[3]].union(0)
    scales, zeros = content_of(arguments[1]), content_of(arguments[2])
    if kind != _INT or axis is None or not scales:
        return None
    return Quantization(
        tuple(x for (x,) in struct.iter_unpack("<f", scales[: len(scales) // 4 * 4])),
        tuple(x for (x,) in struct.iter_unpack("<q", zeros[: len(zeros) // 8 * 8])),
        axis.number(0, "q"),
    )


def _enter_delegate(
    calls: Calls,
    plan: Table,
    call: Table,
    blobs: tuple[memoryview, ...],
    named: Mapping[str, bytes],
    first_node: int,
    where: str,
) -> int:
    """Note one delegate's constants and operands; return the next node's number."""
    index = call.number(0)
    if not 0 <= index < len(blobs):
        raise BundleError(
            f"{where}: calls delegate {index} of {len(blobs)}; export it again"
        )
    backend = plan.tables(7)[index].text(0)
    calls.backends.append(backend)
    arguments = call.numbers(1)
    if backend != _XNNPACK:
        calls.foreign.append((backend, bytes(blobs[index])))
        for operand, value in enumerate(arguments):
            use = Use(plan.text(0), first_node, backend, operand)
            calls.reads.setdefault(value, []).append((use, None))
        return first_node + 1
    payload = read_payload(blobs[index], named, plan.text(0), first_node, where)
    calls.payloads.append((first_node, payload))
    for place, (uses, quantization) in payload.inputs.items():
        if place < len(arguments):
            reads = calls.reads.setdefault(arguments[place], [])
            reads.extend((use, quantization) for use in uses)
    return first_node + payload.n_nodes
