"""Made-up inputs that fit an entry point."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle import Signature, TensorSpec


def sample_inputs(signature: Signature, seed: int) -> dict[str, NDArray[Any]]:
    """Return random inputs, uniform in each tensor's range (0–1 where it has none)."""
    random = np.random.default_rng(seed)
    return {spec.name: _sample(spec, random) for spec in signature.inputs}


def _sample(spec: TensorSpec, random: np.random.Generator) -> NDArray[Any]:
    low = 0.0 if spec.minimum is None else spec.minimum
    high = low + 1.0 if spec.maximum is None else spec.maximum
    return random.uniform(low, high, spec.shape).astype(spec.dtype)
