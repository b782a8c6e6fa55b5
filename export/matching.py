"""Decide whether a stored constant holds a weight of the source module."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.constants import View, codes

HALF_STEP = 0.5 * (1 + 1e-3)
"""A rounded value lies this many steps from the real one, with float32's own error."""
SATURATED_SHARE = 1 / 8
"""At most this share of a constant may lie beyond its range of codes, clipped."""
SLICE_ELEMENTS = 8
"""Fewer elements than this along a slice prove no order and no scale."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Match:
    """How a constant holds a weight."""

    form: str
    """The layout and precision, such as "int8 per channel, axes (0, 2, 3, 1)"."""
    error: float
    """Largest distance from the weight, in steps of the constant; 0 is exact."""


@dataclass(frozen=True)
class Decoded:
    """A constant as real numbers, axes of size 1 dropped."""

    values: Floats
    step: Floats
    """Distance between neighbouring numbers that the precision knows; 0 is exact.
    Shaped to broadcast against `values`."""
    lowest: NDArray[np.bool_]
    """Elements at the bottom of the range: the real number may lie below."""
    highest: NDArray[np.bool_]
    """Elements at the top of the range: the real number may lie above."""
    codes: NDArray[Any] | None
    """The stored integers where zero stands for zero, to be scaled freely."""
    axis: int | None
    """The axis that has a scale per slice."""
    precision: str


def decode(view: View, data: bytes) -> Decoded | None:
    """Return the real numbers of a constant, None where it can hold no weight.

    Integers without a scale (shapes, axes, indices) hold none, and bytes that are not
    one element after the other are not decoded.
    """
    if view.packing or not view.n_elements or view.dtype == "bool":
        return None
    stored = codes(view, data)
    if view.dtype.startswith(("float", "bfloat")):
        return _decode_float(view, stored)
    return None if view.quantization is None else _decode_integer(view, stored)


def match(decoded: Decoded, weight: NDArray[Any]) -> Match | None:
    """Return how the constant holds `weight`, or None where it does not.

    It does where some order of the axes brings every element of the weight within
    half a step of the constant: exactly for float32, by rounding for fp16, by the
    stored scale and zero point for integers. Three weaker forms count as well, for
    they hold the same information once: one axis in another order (sub-pixel
    channels); integers that are the weight under another positive scale per channel
    (what folding a scale leaves behind); for float32, the same numbers in any order.
    """
    if decoded.values.size != weight.size:
        return None
    plain = np.squeeze(np.asarray(weight, np.float32)).astype(np.float64)
    candidates = _layouts(decoded.values.shape, plain)
    for axes, candidate in candidates:
        error = _distance(decoded, candidate)
        if error is not None:
            return Match(f"{decoded.precision}{_named(axes)}", error)
    for axes, candidate in candidates:
        for note, error in _weaker(decoded, candidate):
            if error is not None:
                return Match(f"{decoded.precision}{_named(axes)}, {note}", error)
    if _same_numbers(decoded, plain):
        return Match(f"{decoded.precision}, elements in another order", 0.0)
    return None


def relation(decoded: Decoded, weight: NDArray[Any]) -> str | None:
    """Return what a constant that holds no weight was probably made of, or None."""
    if decoded.values.size != weight.size or weight.size < SLICE_ELEMENTS:
        return None
    plain = np.squeeze(np.asarray(weight, np.float32)).astype(np.float64)
    for _, candidate in _layouts(decoded.values.shape, plain):
        if _scaled_along(decoded, candidate) is not None:
            return "folded: a factor per channel times"
        off = np.linalg.norm(decoded.values - candidate)
        if off <= 0.1 * np.linalg.norm(candidate):
            return "converted: close to, but no rounding of,"
    return None


def _decode_float(view: View, stored: NDArray[Any]) -> Decoded:
    values = np.squeeze(stored).astype(np.float64)
    if view.dtype == "float16":
        step = np.spacing(np.abs(np.squeeze(stored))).astype(np.float64)
    elif view.dtype == "bfloat16":
        step = np.maximum(np.abs(values) * 2.0**-7, 2.0**-133)
    else:
        step = np.zeros(())
    never = np.zeros(values.shape, bool)
    return Decoded(values, step, never, never, None, None, view.dtype)


def _decode_integer(view: View, stored: NDArray[Any]) -> Decoded:
    assert view.quantization is not None
    q = view.quantization
    scale = _along(q.scale, q.axis, stored.ndim)
    zero = _along(q.zero_point, q.axis, stored.ndim)
    kept = tuple(axis for axis, size in enumerate(stored.shape) if size != 1)
    per_channel = len(q.scale) > 1
    wide = np.squeeze(stored).astype(np.float64)
    low, high = _code_range(view.dtype)
    return Decoded(
        values=np.squeeze((stored.astype(np.float64) - zero) * scale),
        step=np.broadcast_to(scale, stored.shape).reshape(wide.shape),
        lowest=wide <= low,
        highest=wide >= high,
        codes=None if any(q.zero_point) else wide,
        axis=kept.index(q.axis) if per_channel and q.axis in kept else None,
        precision=f"{view.dtype} per {'channel' if per_channel else 'tensor'}",
    )


def _code_range(dtype: str) -> tuple[int, int]:
    """Return the codes at which an element may be clipped; the lowest is symmetric."""
    bits = int("".join(c for c in dtype if c.isdigit()))
    if dtype.startswith("u"):
        return 0, (1 << bits) - 1
    return 1 - (1 << (bits - 1)), (1 << (bits - 1)) - 1


def _along(numbers: tuple[float, ...], axis: int, ndim: int) -> Floats:
    """Return the numbers shaped to broadcast along one axis."""
    vector = np.asarray(numbers, np.float64)
    if vector.size == 1:
        return vector.reshape(())
    return vector.reshape([-1 if i == axis else 1 for i in range(ndim)])


def _layouts(
    shape: tuple[int, ...], plain: Floats
) -> list[tuple[tuple[int, ...], Floats]]:
    """Return the weight in every order of its axes that has the constant's shape."""
    return [
        (axes, plain.transpose(axes))
        for axes in itertools.permutations(range(plain.ndim))
        if tuple(plain.shape[axis] for axis in axes) == shape
    ]


def _named(axes: tuple[int, ...]) -> str:
    return "" if axes == tuple(sorted(axes)) else f", axes {axes}"


def _distance(decoded: Decoded, candidate: Floats) -> float | None:
    """Return the largest distance in steps; None where it is more than rounding."""
    alike = candidate == decoded.values  # infinite numbers, too
    difference = np.subtract(
        candidate, decoded.values, out=np.zeros(alike.shape), where=~alike
    )
    if not decoded.step.ndim and not decoded.step:
        return None if np.any(difference) else 0.0
    step = np.broadcast_to(decoded.step, difference.shape)
    within = np.abs(difference) <= HALF_STEP * step + 1e-6 * np.abs(candidate)
    clipped = (decoded.highest & (difference > 0)) | (decoded.lowest & (difference < 0))
    if not np.all(within | clipped):
        return None
    if np.count_nonzero(~within) > SATURATED_SHARE * difference.size:
        return None
    steps = np.divide(
        np.abs(difference), step, out=np.zeros(difference.shape), where=step > 0
    )
    return float(steps.max(where=within, initial=0.0))


def _weaker(decoded: Decoded, candidate: Floats) -> list[tuple[str, float | None]]:
    forms = [("one factor per channel in the scale", _rescaled(decoded, candidate))]
    for axis in range(candidate.ndim):
        order = _slice_order(decoded.values, candidate, axis)
        if order is not None:
            moved = np.take(candidate, order, axis)
            forms.append((f"axis {axis} reordered", _distance(decoded, moved)))
    return forms


def _rescaled(decoded: Decoded, candidate: Floats) -> float | None:
    """Return 0.5 where some positive scale per channel rounds the weight to the codes.

    Each element bounds the scale s from both sides, |w/s − q| ≤ ½; the bounds of a
    channel must leave a scale between them.
    """
    if decoded.codes is None or decoded.axis is None:
        return None
    q = np.moveaxis(decoded.codes, decoded.axis, 0).reshape(
        decoded.codes.shape[decoded.axis], -1
    )
    w = np.moveaxis(candidate, decoded.axis, 0).reshape(q.shape)  # (C, elements)
    moving = q != 0
    if np.any(q * w < 0) or np.any(moving.sum(axis=1) < SLICE_ELEMENTS):
        return None
    least = np.abs(w) / (np.abs(q) + 0.5)
    most = np.abs(w) / np.where(moving, np.abs(q) - 0.5, 1.0)
    low = least.max(axis=1)
    high = np.where(moving, most, np.inf).min(axis=1)
    return 0.5 if np.all(low <= high * (1 + 1e-5)) else None


def _slice_order(values: Floats, candidate: Floats, axis: int) -> Any:
    """Return the order of the weight's slices that looks like the constant's."""
    n = candidate.shape[axis]
    ours = np.moveaxis(values, axis, 0).reshape(n, -1)  # (slices, elements)
    theirs = np.moveaxis(candidate, axis, 0).reshape(n, -1)  # (slices, elements)
    if n < 2 or ours.shape[1] < SLICE_ELEMENTS:
        return None
    distance = (theirs**2).sum(axis=1) - 2 * ours @ theirs.T  # (slices, slices)
    order = distance.argmin(axis=1)
    return order if len(set(order.tolist())) == n else None


def _same_numbers(decoded: Decoded, plain: Floats) -> bool:
    if decoded.step.ndim or decoded.step:
        return False
    numbers = np.sort(decoded.values, axis=None)
    distinct = np.unique(numbers).size
    return distinct >= SLICE_ELEMENTS and np.array_equal(
        numbers, np.sort(plain, axis=None)
    )


def _scaled_along(decoded: Decoded, candidate: Floats) -> int | None:
    """Return the axis along whose slices the constant is a multiple of the weight."""
    for axis in range(candidate.ndim):
        n = candidate.shape[axis]
        ours = np.moveaxis(decoded.values, axis, 0).reshape(n, -1)
        theirs = np.moveaxis(candidate, axis, 0).reshape(n, -1)
        if ours.shape[1] < SLICE_ELEMENTS:
            continue
        power = np.maximum((theirs**2).sum(axis=1), 1e-30)
        factor = (ours * theirs).sum(axis=1) / power
        rest = np.linalg.norm(ours - factor[:, None] * theirs)
        noise = 0.5 * np.linalg.norm(
            np.broadcast_to(decoded.step, decoded.values.shape)
        )
        if rest <= noise + 1e-4 * np.linalg.norm(ours) and np.any(ours):
            return axis
    return None
