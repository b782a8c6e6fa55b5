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
_DEQUANTIZE_CHANNELS = "quantized_decomposed::dequantize_per_channel"
_FORWARDING = (
    _DEQUANTIZE,
    _DEQUANTIZE_CHANNELS,
    "aten::permute_copy",
    "aten::squeeze_copy",
    "aten::t_copy",
    "aten::transpose_copy",
    "aten::unsqueeze_copy",
    "aten::view_copy",
    "dim_order_ops::_to_dim_order_copy",
    "executorch_prim::et_view",
)
"""Kernels that only convert or reorder their first operand, into their last."""
_XNNPACK = "XnnpackBackend"

Read = tuple[Use, Quantization | None]
Content = Callable[[int], bytes]
"""Returns what the file stores for a value, by its number; nothing for a computed
one."""


@dataclass(frozen=True)
class _Forward:
    """A kernel or payload that hands a value on, converted or reordered."""

    instruction: int
    source: int
    result: int
    read: Read


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
    scales: set[int] = field(default_factory=set)
    """Numbers of values that hold the scales or zero points of others."""
    forwards: list[_Forward] = field(default_factory=list)
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
    content: Content,
    where: str,
) -> Calls:
    """Return the calls of a method; `blobs` are its delegates' payloads.

    Nodes are numbered along the method, kernels first, then those inside payloads. What
    only converts or reorders a value is looked through. Raises BundleError on a damaged
    method.
    """
    calls = Calls()
    instructions = list(_instructions(plan))
    for node, (kind, call) in enumerate(instructions):
        if kind == _KERNEL_CALL:
            _enter_kernel(calls, plan, call, node, content, where)
    first_node = len(instructions)
    for node, (kind, call) in enumerate(instructions):
        if kind == _DELEGATE_CALL:
            first_node = _enter_delegate(
                calls, plan, call, node, blobs, named, first_node, where
            )
    _look_through(calls)
    return calls


def _look_through(calls: Calls) -> None:
    """Give a value that is handed on the readers of what it becomes."""
    for forward in sorted(calls.forwards, key=lambda f: f.instruction, reverse=True):
        use, quantization = forward.read
        beyond = [
            (reader, quantization or scale)
            for reader, scale in calls.reads.get(forward.result, ())
        ]
        known = calls.reads.get(forward.source, [])
        found = dict.fromkeys([*known, *(beyond or [(use, quantization)])])
        calls.reads[forward.source] = list(found)


def _instructions(plan: Table) -> Iterator[tuple[int, Table]]:
    for chain in plan.tables(5):
        for instruction in chain.tables(2):
            kind, call = instruction.union(0)
            if call is not None:
                yield kind, call


def _enter_kernel(
    calls: Calls, plan: Table, call: Table, node: int, content: Content, where: str
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
    quantization = _scale_of(plan, name, arguments, content)
    if name == _DEQUANTIZE_CHANNELS:
        calls.scales.update(arguments[1:3])
    for operand, value in enumerate(arguments):
        use = Use(plan.text(0), node, name, operand)
        if operand == 0 and name in _FORWARDING:
            read = (use, quantization)
            calls.forwards.append(_Forward(node, value, arguments[-1], read))
        elif name not in _FORWARDING or value != arguments[-1]:
            calls.reads.setdefault(value, []).append((use, None))


def _scale_of(
    plan: Table, name: str, arguments: tuple[int, ...], content: Content
) -> Quantization | None:
    """Return the scale by which a kernel turns its first operand into real numbers."""
    if name == _DEQUANTIZE_CHANNELS and len(arguments) > 3:
        return _scales_of(plan, arguments, content)
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
    plan: Table, arguments: tuple[int, ...], content: Content
) -> Quantization | None:
    values = plan.tables(2)
    if not 0 <= arguments[3] < len(values):
        return None
    kind, axis = values[arguments[3]].union(0)
    scales, zeros = (content(value) for value in arguments[1:3])
    if kind != _INT or axis is None or not scales:
        return None
    return Quantization(
        struct.unpack(f"<{len(scales) // 4}f", scales[: len(scales) // 4 * 4]),
        struct.unpack(f"<{len(zeros) // 8}q", zeros[: len(zeros) // 8 * 8]) or (0,),
        axis.number(0, "q"),
    )


def _enter_delegate(
    calls: Calls,
    plan: Table,
    call: Table,
    node: int,
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
    for place, (result, use) in payload.forwards:
        if max(place, result) < len(arguments):
            source, made = arguments[place], arguments[result]
            calls.forwards.append(_Forward(node, source, made, (use, None)))
    return first_node + payload.n_nodes
