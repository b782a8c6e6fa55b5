"""Logits: what a network says of each symbol in each step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import EngineError


def check_logits(logits: NDArray[np.float32], n_symbols: int) -> None:
    """Raise EngineError for logits that are not (T, n_symbols), or not finite."""
    if logits.ndim != 2 or logits.shape[1] != n_symbols:
        raise EngineError(
            f"logits: shape is {logits.shape}, expected (steps, {n_symbols})"
        )
    is_finite = np.isfinite(logits)
    if not is_finite.all():
        raise EngineError(
            f"logits: found {logits[~is_finite][0]}, expected finite numbers; the model"
            " is damaged, or overflows: try another --precision or --engine"
        )


def log_probabilities(
    logits: NDArray[np.float32], n_symbols: int
) -> NDArray[np.float64]:
    """Return the natural logarithm of each symbol's probability, (T, V).

    Raises EngineError as `check_logits` does.
    """
    check_logits(logits, n_symbols)
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(axis=1, keepdims=True))
    return wide
