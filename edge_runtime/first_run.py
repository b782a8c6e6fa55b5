"""What a model's first run costs, in a process that does nothing else."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_runtime.bundle import Bundle, ModelFile
from edge_runtime.child import answer, run_apart
from edge_runtime.engines import open_engine
from edge_runtime.loop import find_call
from edge_runtime.packed_bytes import measure_packed
from edge_runtime.sample_inputs import sample_inputs

STATUS = Path("/proc/self/status")
PEAK_FIELD = "VmHWM:"
BYTES_PER_KIB = 1024
MILLISECONDS_PER_SECOND = 1000


@dataclass(frozen=True)
class FirstRun:
    """Time and memory of a process that opens a model and runs it once."""

    load_ms: float
    """From asking for the engine, its libraries not yet loaded, to the first result."""

    peak_rss_bytes: int | None
    """Resident memory at its highest, Python, numpy and the engine's libraries
    included; None where the system does not tell."""

    packed_bytes: int | None
    """What the engine keeps for weights, as `measure_packed` has it."""


def measure_first_run(
    folder: Path,
    model: ModelFile,
    engine: str,
    signature: str,
    threads: int,
    weight_cache: Path | None = None,
) -> FirstRun:
    """Return what the first run of a bundle's model costs.

    A model file that makes its engine crash ends that process, not this one. Raises
    EngineError then, and for an expected failure with the same message.
    """
    words = (str(folder), model.format, model.precision, engine, signature)
    cache = [] if weight_cache is None else [str(weight_cache)]
    where = f"{model.path.name}: {engine}"
    return FirstRun(**run_apart(__name__, (*words, str(threads), *cache), where))


def run_once(words: Sequence[str]) -> dict[str, Any]:
    """Open and run what `words` say, in this process; return FirstRun's fields."""
    folder, model_format, precision, name, signature, threads, *cache = words
    model = Bundle.open(Path(folder)).model(model_format, precision)
    weight_cache = Path(cache[0]) if cache else None
    inputs = sample_inputs(find_call(model, signature), seed=0)
    started = time.perf_counter()
    with open_engine(name, model, int(threads), weight_cache) as engine:
        engine.run(signature, inputs)
        seconds = time.perf_counter() - started
        packed = engine.packed_bytes
    peak = own_peak_bytes()
    if packed is None:
        packed = measure_packed(name, model, int(threads))
    return asdict(FirstRun(seconds * MILLISECONDS_PER_SECOND, peak, packed))


def own_peak_bytes(status: Path = STATUS) -> int | None:
    """Return this process's resident memory at its highest; None if nothing tells."""
    # getrusage's figure is no use here: it starts from the parent's peak.
    try:
        lines = status.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    peaks = [line.split()[1] for line in lines if line.startswith(PEAK_FIELD)]
    return int(peaks[0]) * BYTES_PER_KIB if peaks else None


if __name__ == "__main__":
    answer(lambda: run_once(sys.argv[1:]))
