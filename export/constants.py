"""What an exported file stores: constants, how each is read, and by which nodes."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import BundleError

NAME_LETTERS = 60
"""Longer names are cut in messages."""
MAX_AXES = 8
"""No operator of either format takes a tensor of more."""
COPY_AGAIN = "copy it again, or export it again"
"""The way out of a damaged file."""

ITEM_BITS = {
    "bool": 8,
    "int2": 2,
    "int4": 4,
    "uint4": 4,
    "int8": 8,
    "uint8": 8,
    "int16": 16,
    "uint16": 16,
    "float16": 16,
    "bfloat16": 16,
    "int32": 32,
    "uint32": 32,
    "float32": 32,
    "int64": 64,
    "uint64": 64,
    "float64": 64,
}
"""Bits of one element, as both formats pack them."""


@dataclass(frozen=True)
class Quantization:
    """Which real number a stored integer stands for: scale · (code − zero_point)."""

    scale: tuple[float, ...]
    """One for the tensor, or one per slice along `axis`."""
    zero_point: tuple[int, ...]
    """One, or as many as `scale`."""
    axis: int = 0


@dataclass(frozen=True)
class Use:
    """One node that reads a constant."""

    graph: str
    """The signature or method that the node belongs to."""
    node: int
    """Which node of the graph, counted from 0 in execution order."""
    operator: str
    operand: int
    """The operand's position, counted from 0."""


@dataclass(frozen=True)
class View:
    """One way in which tensors read the bytes of a constant."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    quantization: Quantization | None
    uses: tuple[Use, ...]
    packing: str = ""
    """Why the bytes are not one element after the other, such as "sparse"; else
    empty. They are not decoded then."""
    block: int = 0
    """So many elements along a slice share a scale; 0 where a slice has one scale."""

    @property
    def stored_as(self) -> str:
        """The precision in words, such as "int4 in blocks of 32"."""
        words = [self.dtype]
        if self.block:
            words.append(f"in blocks of {self.block}")
        elif self.quantization is not None:
            several = len(self.quantization.scale) > 1
            words.append("per channel" if several else "per tensor")
        return " ".join([*words, *([self.packing] if self.packing else [])])

    @property
    def n_elements(self) -> int:
        """How many elements the shape holds."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """How many bytes the elements take, packed."""
        return (self.n_elements * ITEM_BITS[self.dtype] + 7) // 8


@dataclass(frozen=True)
class Constant:
    """A run of bytes that the file stores, with every way it is read."""

    index: int
    """The constant's number in the file."""
    data: bytes = field(repr=False)
    views: tuple[View, ...]
    role: str = ""
    """Why the bytes are no weight by nature, such as "metadata"; else empty."""
    payload_of: str = ""
    """The backend whose payload the bytes are, which only it can read; else empty."""

    @property
    def name(self) -> str:
        """The name of the first tensor that reads it."""
        return self.views[0].name if self.views else f"constant {self.index}"

    @cached_property
    def sha256(self) -> str:
        """The hash of the stored bytes, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def uses(self) -> tuple[Use, ...]:
        """Every node that reads it, through any view."""
        return tuple(use for view in self.views for use in view.uses)

    @property
    def n_nodes(self) -> int:
        """How many nodes read it."""
        return count_nodes(self.uses)


def count_nodes(uses: tuple[Use, ...]) -> int:
    """Return how many nodes the uses name; a node that reads twice counts once."""
    return len({(use.graph, use.node) for use in uses})


def printable(raw: bytes | bytearray | memoryview) -> str:
    """Return a file's text on one line; what cannot be printed becomes U+FFFD."""
    text = bytes(raw).decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def quoted(name: str) -> str:
    """Return a name for a message, cut where a damaged file makes it endless."""
    cut = name if len(name) <= NAME_LETTERS else name[:NAME_LETTERS] + "…"
    return repr(cut)


def check_view(where: str, view: View, n_bytes: int) -> None:
    """Raise BundleError where shape, dtype or quantization disagree with the bytes."""
    check_shape(where, view)
    if view.packing:
        return
    if view.n_bytes != n_bytes:
        raise BundleError(
            f"{where}: tensor {quoted(view.name)} of {view.dtype} {view.shape} takes"
            f" {view.n_bytes} bytes, the file stores {n_bytes}; export it again"
        )
    if view.quantization is not None:
        _check_quantization(where, view, view.quantization)


def check_shape(where: str, view: View) -> None:
    """Raise BundleError where no tensor can have the shape."""
    if len(view.shape) > MAX_AXES or min(view.shape, default=0) < 0:
        raise BundleError(
            f"{where}: tensor {quoted(view.name)} has {len(view.shape)} axes, the least"
            f" of size {min(view.shape)}; expected at most {MAX_AXES}, none below 0;"
            f" {COPY_AGAIN}"
        )


def _check_quantization(where: str, view: View, quantization: Quantization) -> None:
    n_scales, n_zeros = len(quantization.scale), len(quantization.zero_point)
    slices = (
        view.shape[quantization.axis] if 0 <= quantization.axis < len(view.shape) else 1
    )
    if n_scales not in (1, slices) or n_zeros not in (1, n_scales):
        raise BundleError(
            f"{where}: tensor {quoted(view.name)} {view.shape} has {n_scales} scales"
            f" and {n_zeros} zero points for {slices} slices along axis"
            f" {quantization.axis}; export it again"
        )
    if not all(math.isfinite(scale) and scale >= 0 for scale in quantization.scale):
        raise BundleError(
            f"{where}: tensor {quoted(view.name)} has a scale that is no positive"
            " number; export it again"
        )


def codes(view: View, data: bytes) -> NDArray[Any]:
    """Return the stored numbers in the view's shape, 4-bit ones unpacked to int8.

    bfloat16 comes back as float32. Of two 4-bit numbers in a byte the low half is
    the first.
    """
    if view.dtype in ("int4", "uint4", "int2"):
        return _unpack(view, data)
    if view.dtype == "bfloat16":
        raw = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return raw.view(np.float32).reshape(view.shape)
    stored = np.dtype(view.dtype).newbyteorder("<")
    return np.frombuffer(data, stored).reshape(view.shape)


def _unpack(view: View, data: bytes) -> NDArray[Any]:
    bits = ITEM_BITS[view.dtype]
    packed = np.frombuffer(data, np.uint8)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    parts = (packed[:, None] >> shifts) & np.uint8((1 << bits) - 1)
    numbers = parts.reshape(-1)[: view.n_elements].astype(np.int8)
    if view.dtype != "uint4":
        numbers = np.where(numbers >= 1 << (bits - 1), numbers - (1 << bits), numbers)
    return numbers.astype(np.int8).reshape(view.shape)
