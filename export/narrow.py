"""Weights in fewer bits, to be turned into float again before they are used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.rounding import PEAK, fits_one_scale

BITS = {"int8-weight": 8, "int4-weight": 4}
"""Precision to the bits of an integer weight."""
WEIGHT_PRECISIONS = ("fp16", *BITS)
"""Precisions that change how weights are stored, and nothing of what is computed."""
FP16_LARGEST = 65504.0


@dataclass(frozen=True)
class Narrow:
    """A weight in fewer bits: float16, or integers from −(2ⁿ⁻¹ − 1) to 2ⁿ⁻¹ − 1."""

    codes: NDArray[Any]
    """float16 or, of however many bits, int8."""
    scale: NDArray[np.float32] | None
    """What the integers are multiplied with, one per channel or one; None for fp16."""


def narrow(values: NDArray[Any], precision: str, axis: int | None) -> Narrow | None:
    """Return a weight at one of WEIGHT_PRECISIONS, None where it keeps 32 bits.

    The channels of integers lie along `axis`; None gives the whole tensor one scale.
    All channels get the same one where 8 bits then hold each number exactly.
    32 bits keep single numbers and what fp16 cannot hold, and of integers all that is a
    vector: biases and factors are few, and their errors do not average out.
    """
    if values.dtype != np.float32 or values.size < 2 or not np.isfinite(values).all():
        return None
    if precision == "fp16":
        fits = np.abs(values).max() <= FP16_LARGEST
        return Narrow(values.astype(np.float16), None) if fits else None
    if sum(size > 1 for size in values.shape) < 2:
        return None
    others = tuple(a for a in range(values.ndim) if a != axis)
    largest = np.abs(values).max(axis=others, keepdims=True)
    top = 2 ** (BITS[precision] - 1) - 1
    if top == PEAK and fits_one_scale(torch.tensor(values)):
        largest[:] = largest.max()
    scale = np.where(largest > 0, largest / np.float32(top), 1.0).astype(np.float32)
    codes = np.clip(np.round(values / scale), -top, top).astype(np.int8)
    return Narrow(codes, scale.reshape(-1))
