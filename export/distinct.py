"""How many different numbers a stored weight holds."""

from __future__ import annotations

import numpy as np

from export.constants import ITEM_BITS, View, codes

DISTINCT_LEGEND = (
    "values: different numbers in the weight; in one channel of it, the most of any,"
    " where each has its own scale"
)


def distinct_values(view: View, data: bytes) -> int | None:
    """Return how many different numbers a constant stores, as `view` reads it.

    Where slices have scales of their own, one code means another number in each: then
    it is the most of any one slice. None where the bytes are not one element
    after the other.
    """
    if view.dtype not in ITEM_BITS or not 0 < view.n_bytes == len(data):
        return None
    stored = codes(view, data)[None]
    scaled = view.quantization
    if scaled is not None and len(set(scaled.scale)) > 1:
        stored = np.moveaxis(stored[0], scaled.axis, 0)
    rising = np.sort(stored.reshape(len(stored), -1), axis=1)  # (slices, elements)
    return 1 + int((rising[:, 1:] != rising[:, :-1]).sum(axis=1).max())
