"""The range that an activation gets in static int8, for either format."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.rounding import CUT_OFF

WIDEST_CUT = 4
"""A range keeps at least the extremes divided by this."""


def extremes(values: NDArray[Any]) -> tuple[float, float]:
    """Return the range of a tensor's values but for CUT_OFF of them on either side.

    Zeros do not count, or a ReLU that rarely opens would get a range of nothing,
    which no engine loads. The range keeps a part of the extremes all the same.
    """
    low, high = values.min(), values.max()
    some = values[values != 0.0]
    if some.size:
        n_outside = int(some.size * CUT_OFF)
        ordered = np.partition(some, (n_outside, some.size - 1 - n_outside))
        low = min(ordered[n_outside], low / WIDEST_CUT)
        high = max(ordered[some.size - 1 - n_outside], high / WIDEST_CUT)
    return float(low), float(high)
