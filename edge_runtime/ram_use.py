"""What a model takes of RAM beyond a process that has run another one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_runtime.bundle import Bundle, ModelFile
from edge_runtime.child import answer
from edge_runtime.engine import Engine
from edge_runtime.engines import FORMAT_OF_ENGINE, open_engine
from edge_runtime.first_run import BYTES_PER_KIB, STATUS
from edge_runtime.loop import calls
from edge_runtime.packed_bytes import measure_packed
from edge_runtime.sample_inputs import sample_inputs

RESIDENT_FIELD = "VmRSS:"


@dataclass(frozen=True)
class RamUse:
    """Resident memory of this process, None where the system does not tell."""

    base_rss_bytes: int | None
    """After another, small model has run: Python and the engine's libraries."""
    rss_bytes: int | None
    """Beyond that, while the model is loaded and has run; mapped files included."""
    packed_bytes: int | None
    """What the engine keeps for weights."""


def measure_here(words: Sequence[str]) -> dict[str, Any]:
    """Measure an engine, a small bundle, a bundle, a number of runs, and a cache.

    The words name them in this order, then a precision and one call, empty for all;
    the cache is empty for none, and otherwise was made before: making it would leave
    memory behind. Returns RamUse's fields.
    """
    name, base, folder, n_runs, cache, precision, call = words
    weight_cache = Path(cache) if cache else None
    model = _model(folder, name, precision)
    small = _model(base, name, "fp32")
    with open_engine(name, small) as engine:
        _run(engine, small, 1)
        before = _resident_bytes()
    with open_engine(name, model, 1, weight_cache) as engine:
        _run(engine, model, int(n_runs), call)
        after = _resident_bytes()
        packed = engine.packed_bytes
    if packed is None:
        packed = measure_packed(name, model)
    grown = None if before is None or after is None else after - before
    return asdict(RamUse(before, grown, packed))


def _model(folder: str, engine: str, precision: str) -> ModelFile:
    return Bundle.open(Path(folder)).model(FORMAT_OF_ENGINE[engine], precision)


def _run(engine: Engine, model: ModelFile, n_runs: int, name: str = "") -> None:
    for call in calls(model):
        inputs = sample_inputs(call, seed=0)
        for _ in range(n_runs if name in ("", call.name) else 0):
            engine.run(call.name, inputs)


def _resident_bytes() -> int | None:
    try:
        lines = STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(RESIDENT_FIELD)]
    return int(found[0]) * BYTES_PER_KIB if found else None


if __name__ == "__main__":
    answer(lambda: measure_here(sys.argv[1:]))
