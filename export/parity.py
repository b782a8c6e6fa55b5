"""The proof that an exported file computes what its source module does."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edge_runtime.bundle_parts import ModelFile, Parity
from edge_runtime.engines import FORMAT_OF_ENGINE, installed_engines, open_engine
from edge_runtime.errors import ParityError
from export.plan import Arrays, EntryPoint, Plan

FP32_RELATIVE_ERROR = 1e-4
"""Largest allowed difference of an fp32 file, by the output's largest magnitude."""


@dataclass
class Difference:
    """Differences of one output of one entry point, added up over inputs."""

    largest: float = 0.0
    """By the largest magnitude of the expected output."""
    signal: float = 0.0
    noise: float = 0.0

    def add(self, expected: NDArray[Any], found: NDArray[Any]) -> None:
        difference = found.astype(np.float64) - expected.astype(np.float64)
        peak = float(np.abs(expected).max()) or 1.0
        self.largest = max(self.largest, float(np.abs(difference).max()) / peak)
        self.signal += float(np.sum(expected.astype(np.float64) ** 2))
        self.noise += float(np.sum(difference**2))

    @property
    def snr_db(self) -> float | None:
        if self.noise == 0.0:
            return None
        # An output of zeros is held against one, as `largest` holds it.
        return 10.0 * math.log10((self.signal or 1.0) / self.noise)


def prove_parity(plan: Plan, model: ModelFile) -> tuple[Parity, ...]:
    """Return how far each installed engine is from the module, on held-out inputs.

    Every entry point meets every held-out input; a row tells of the output that is
    worst, so that a large one that is right cannot hide a small one that is wrong.
    Raises ParityError where an output is not finite, where an fp32 file is off by
    FP32_RELATIVE_ERROR or more, or an int8 file's signal-to-noise ratio is below the
    plan's floor; and where no engine for the format is installed.
    """
    engines = [e for e in installed_engines() if FORMAT_OF_ENGINE[e] == model.format]
    if not engines:
        known = [e for e, f in FORMAT_OF_ENGINE.items() if f == model.format]
        raise ParityError(
            f"{model.path.name}: no engine is installed that runs .{model.format}"
            f" files; install one of {' '.join(known)}"
        )
    expected = [
        [module_outputs(entry, inputs) for inputs in entry.held_out]
        for entry in plan.entry_points
    ]
    return tuple(_prove(plan, model, engine, expected) for engine in engines)


def _prove(
    plan: Plan, model: ModelFile, name: str, expected: Sequence[Sequence[Arrays]]
) -> Parity:
    differences: dict[tuple[str, str], Difference] = defaultdict(Difference)
    with open_engine(name, model) as engine:
        for entry, wanted in zip(plan.entry_points, expected, strict=True):
            for inputs, outputs in zip(entry.held_out, wanted, strict=True):
                found = engine.run(entry.name, inputs)
                for tensor, values in outputs.items():
                    _check_finite("the module", entry, tensor, values)
                    _check_finite(model.path.name, entry, tensor, found[tensor])
                    differences[entry.name, tensor].add(values, found[tensor])
        parity = Parity(
            engine=name,
            engine_version=engine.version,
            n_inputs=min(len(entry.held_out) for entry in plan.entry_points),
            relative_error=max(d.largest for d in differences.values()),
            snr_db=min(
                (d.snr_db for d in differences.values() if d.snr_db is not None),
                default=None,
            ),
        )
    _check_parity(plan, model, parity)
    return parity


def _check_finite(
    where: str, entry: EntryPoint, tensor: str, found: NDArray[Any]
) -> None:
    if not np.isfinite(found).all():
        raise ParityError(f"{where}: {entry.name}: output {tensor!r} is not finite")


def _check_parity(plan: Plan, model: ModelFile, parity: Parity) -> None:
    where = f"{model.path.name} on {parity.engine}"
    if model.precision == "fp32":
        if parity.relative_error >= FP32_RELATIVE_ERROR:
            raise ParityError(
                f"{where}: relative error {parity.relative_error:.2g}, expected below"
                f" {FP32_RELATIVE_ERROR:g}: it does not compute what the module does"
            )
    elif parity.snr_db is not None and parity.snr_db < plan.int8_snr_floor_db:
        raise ParityError(
            f"{where}: signal-to-noise ratio {parity.snr_db:.1f} dB, expected at least"
            f" {plan.int8_snr_floor_db:g}: int8 costs too much"
        )


@torch.no_grad()
def module_outputs(entry: EntryPoint, inputs: Arrays) -> Arrays:
    """Return what the source module computes, by output name."""
    values = entry.module(*(torch.from_numpy(inputs[t.name]) for t in entry.inputs))
    return {
        tensor.name: np.asarray(value.numpy())
        for tensor, value in zip(entry.outputs, values, strict=True)
    }
