"""How long one run takes, and what the first one costs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.bundle import Bundle, ModelFile, Signature
from edge_runtime.engines import FORMAT_OF_ENGINE, open_engine
from edge_runtime.errors import SettingError
from edge_runtime.first_run import FirstRun, measure_first_run
from edge_runtime.loop import calls
from edge_runtime.sample_inputs import sample_inputs

MILLISECONDS_PER_SECOND = 1000
N_WARMUP = 5
PUBLISHED_RUNS = 1024
PUBLISHED_SECONDS = 60.0
"""MLPerf's single-stream rule: a figure from fewer runs or less time is short."""

Clock = Callable[[], float]
"""Gives seconds; only differences count."""


@dataclass(frozen=True)
class LatencyReport:
    """Times of one call, repeated."""

    n_warmup: int
    n_runs: int
    seconds: float
    """Sum of all runs, without the warm-up."""

    min_ms: float
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float

    @property
    def is_short(self) -> bool:
        """Whether a published figure needs more runs, or more time."""
        return self.n_runs < PUBLISHED_RUNS or self.seconds < PUBLISHED_SECONDS


@dataclass(frozen=True)
class Case:
    """What is measured: one call of one model file on one engine."""

    bundle: Bundle
    engine: str
    model: ModelFile
    signature: Signature
    threads: int
    weight_cache: Path | None = None
    """Folder for packed weights, as for `open_engine`."""


@dataclass(frozen=True)
class Measurement:
    """One case and its figures."""

    case: Case
    engine_version: str
    latency: LatencyReport
    first: FirstRun

    @property
    def real_time_factor(self) -> float | None:
        """Time of a step by the time of the audio in it; None for pictures."""
        speech = self.case.bundle.speech
        if speech is None:
            return None
        step_s = speech.chunk_frames * speech.hop_samples / speech.sample_rate_hz
        return self.latency.p50_ms / MILLISECONDS_PER_SECOND / step_s


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all values do not exceed.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    return sorted_values[math.ceil(share * len(sorted_values)) - 1]


def measure(
    call: Callable[[], object],
    n_runs: int,
    n_warmup: int = N_WARMUP,
    min_seconds: float = 0.0,
    clock: Clock = time.perf_counter,
) -> LatencyReport:
    """Return the times of `call`: at least `n_runs` of them and `min_seconds` long.

    Raises SettingError for less than one run.
    """
    if n_runs < 1:
        raise SettingError(f"runs: found {n_runs}, expected 1 or more")
    for _ in range(n_warmup):
        call()
    times: list[float] = []
    seconds = 0.0
    while len(times) < n_runs or seconds < min_seconds:
        started = clock()
        call()
        times.append(clock() - started)
        seconds += times[-1]
    return _report(sorted(times), n_warmup)


def choose_cases(
    bundle: Bundle,
    engines: Sequence[str],
    precision: str | None,
    depth: int | None,
    threads: int,
    weight_cache: Path | None = None,
) -> list[Case]:
    """Return what there is to measure.

    A precision of None means every model file of an engine's format. A depth of None
    means every call.
    """
    return [
        Case(bundle, engine, model, signature, threads, weight_cache)
        for engine in engines
        for model in bundle.models
        if model.format == FORMAT_OF_ENGINE[engine]
        and precision in (None, model.precision)
        for signature in calls(model)
        if depth in (None, signature.depth)
    ]


def measure_case(
    case: Case, n_runs: int, min_seconds: float, seed: int = 0
) -> Measurement:
    """Return the case's figures; raises TiedgeError where it cannot be run.

    The first run comes first, in a process of its own: a model file that makes its
    engine crash is an EngineError.
    """
    name = case.signature.name
    first = measure_first_run(
        case.bundle.folder,
        case.model,
        case.engine,
        name,
        case.threads,
        case.weight_cache,
    )
    inputs = sample_inputs(case.signature, seed)
    with open_engine(
        case.engine, case.model, case.threads, case.weight_cache
    ) as engine:
        latency = measure(
            lambda: engine.run(name, inputs), n_runs, min_seconds=min_seconds
        )
        return Measurement(case, engine.version, latency, first)


def _report(times: Sequence[float], n_warmup: int) -> LatencyReport:
    """Return the report of times in seconds, sorted."""
    times_ms = [seconds * MILLISECONDS_PER_SECOND for seconds in times]
    return LatencyReport(
        n_warmup=n_warmup,
        n_runs=len(times),
        seconds=sum(times),
        min_ms=times_ms[0],
        mean_ms=sum(times_ms) / len(times_ms),
        p50_ms=percentile(times_ms, 0.5),
        p90_ms=percentile(times_ms, 0.9),
        p99_ms=percentile(times_ms, 0.99),
    )
