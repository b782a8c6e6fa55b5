"""The proof that an exported file computes what its source module does."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle_parts import ModelFile, Parity
from edge_runtime.engines import FORMAT_OF_ENGINE, installed_engines, open_engine
from edge_runtime.errors import ParityError
from export.dial import module_outputs, run_modules
from export.plan import Arrays, Plan

RELATIVE_ERRORS = {"fp32": 1e-4, "fp16": 5e-3}
"""Largest allowed difference of a file, by the output's largest magnitude. A weight in
fp16 is off by up to 2^-11 = 4.9e-4 of itself; the outputs of twenty small modules were
off by 7.5e-4 at most, and seven times that is no rounding any more."""

SNR_FLOORS_DB = {"int8-weight": 30.0, "int4-weight": 10.0}
"""Least signal-to-noise ratio where only weights are integers. The same modules had at
least 38.6 dB with 8 bits and 14.4 dB with 4, the least where a kernel is mixed of a
bank. For int8, whose activations are integers too, the plan's floor counts."""


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

    Every entry point meets every held-out input, and so does every depth of a loop; a
    row tells of the output that is worst, so that a large one that is right cannot hide
    a small one that is wrong.
    Raises ParityError where an output is not finite, where a float file is off by its
    part of RELATIVE_ERRORS or more, or the signal-to-noise ratio of one with integers
    is below its floor; and where no engine for the format is installed.
    """
    engines = [e for e in installed_engines() if FORMAT_OF_ENGINE[e] == model.format]
    if not engines:
        known = [e for e, f in FORMAT_OF_ENGINE.items() if f == model.format]
        raise ParityError(
            f"{model.path.name}: no engine is installed that runs .{model.format}"
            f" files; install one of {' '.join(known)}"
        )
    proofs = _proofs(plan)
    return tuple(_prove(plan, model, engine, proofs) for engine in engines)


@dataclass(frozen=True)
class _Proof:
    """Inputs of one call, and what the module makes of them."""

    call: str
    inputs: Arrays
    expected: Arrays


def _proofs(plan: Plan) -> list[_Proof]:
    proofs = [
        _Proof(entry.name, inputs, module_outputs(entry, inputs))
        for entry in plan.entry_points
        for inputs in entry.held_out
    ]
    if plan.loop is not None:
        proofs += [
            _Proof(f"depth_{depth}", asked, expected)
            for asked in plan.asked
            for depth, expected in run_modules(
                plan.entry_points, plan.loop, asked
            ).items()
        ]
    return proofs


def _prove(plan: Plan, model: ModelFile, name: str, proofs: Sequence[_Proof]) -> Parity:
    differences: dict[tuple[str, str], Difference] = defaultdict(Difference)
    with open_engine(name, model) as engine:
        for proof in proofs:
            found = engine.run(proof.call, proof.inputs)
            for tensor, values in proof.expected.items():
                _check_finite("the module", proof.call, tensor, values)
                _check_finite(model.path.name, proof.call, tensor, found[tensor])
                differences[proof.call, tensor].add(values, found[tensor])
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


def _check_finite(where: str, call: str, tensor: str, found: NDArray[Any]) -> None:
    if not np.isfinite(found).all():
        raise ParityError(f"{where}: {call}: output {tensor!r} is not finite")


def _check_parity(plan: Plan, model: ModelFile, parity: Parity) -> None:
    where = f"{model.path.name} on {parity.engine}"
    if model.precision in RELATIVE_ERRORS:
        largest = RELATIVE_ERRORS[model.precision]
        if parity.relative_error >= largest:
            raise ParityError(
                f"{where}: relative error {parity.relative_error:.2g}, expected below"
                f" {largest:g}: it does not compute what the module does"
            )
        return
    floor_db = SNR_FLOORS_DB.get(model.precision, plan.int8_snr_floor_db)
    if parity.snr_db is not None and parity.snr_db < floor_db:
        static = model.quantization == "static"
        way_out = "give more calibration inputs, or choose int8-dynamic"
        raise ParityError(
            f"{where}: signal-to-noise ratio {parity.snr_db:.1f} dB, expected at least"
            f" {floor_db:g}: {model.precision} costs too much"
            f"{'; ' + way_out if static else ''}"
        )
