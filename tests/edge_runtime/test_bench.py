"""Latency, load time and memory: the arithmetic by hand, the rest on real engines."""

import dataclasses
import importlib.metadata
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.bench import Case, choose_cases, measure, measure_case, percentile
from edge_runtime.commands import bench
from edge_runtime.engines import FORMAT_OF_ENGINE, installed_engines
from edge_runtime.errors import EngineError, SettingError
from edge_runtime.first_run import measure_first_run
from edge_runtime.sample_inputs import sample_inputs
from tests.tiny_models import TinyBundle

KEYS = {
    "bundle",
    "engine",
    "precision",
    "depth",
    "threads",
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "load_ms",
    "peak_rss_bytes",
    "packed_bytes",
    "device",
    "rows",
}
RUNS = "1 to 100000, and 1024 for a published figure; see tiedge bench --help"
SECONDS = "0 to 3600, and 60 for a published figure; see tiedge bench --help"
QUICK = ("--runs", "3", "--seconds", "0", "--precision", "fp32")
needs_litert = pytest.mark.skipif(
    "litert" not in installed_engines(), reason="litert is not installed"
)


def clock_of(durations_s: Sequence[float]) -> Callable[[], float]:
    """Return a clock by which one call after the other takes so long."""
    readings = [0.0]
    for duration in durations_s:
        readings += [readings[-1], readings[-1] + duration]
    return iter(readings[1:]).__next__


def test_percentiles_are_values_that_occurred() -> None:
    """Of 1 … 100 the p-th percentile is p, as the nearest-rank rule says."""
    values = [float(number) for number in range(1, 101)]

    assert [50, 90, 99, 100] == [percentile(values, p) for p in (0.5, 0.9, 0.99, 1.0)]
    assert 7.0 == percentile([7.0], 0.99)


def test_percentiles_equal_numpys() -> None:
    """On random times numpy's inverted-CDF percentile is the same."""
    values = sorted(np.random.default_rng(0).random(137).tolist())
    shares = (0.01, 0.5, 0.9, 0.99)
    expected = [
        float(np.quantile(values, share, method="inverted_cdf")) for share in shares
    ]

    assert expected == [percentile(values, share) for share in shares]


def test_times_are_reported_in_milliseconds() -> None:
    """Minimum, mean and percentiles of known times; the warm-up is not timed."""
    calls: list[int] = []
    clock = clock_of([0.004, 0.001, 0.002, 0.003])
    report = measure(lambda: calls.append(1), n_runs=4, n_warmup=2, clock=clock)

    assert 6 == len(calls)
    assert (2, 4) == (report.n_warmup, report.n_runs)
    found = [
        report.min_ms,
        report.mean_ms,
        report.p50_ms,
        report.p90_ms,
        report.p99_ms,
        report.seconds * 1000,
    ]
    assert [1, 2.5, 2, 4, 4, 10] == pytest.approx(found)


def test_runs_go_on_until_the_time_is_full() -> None:
    """Both the number of runs and the time are lower bounds."""
    report = measure(
        lambda: None, n_runs=2, n_warmup=0, min_seconds=5, clock=clock_of([1.0] * 9)
    )

    assert (5, 5.0) == (report.n_runs, report.seconds)


@pytest.mark.parametrize(
    ("n_runs", "seconds", "is_short"),
    [(1024, 60.0, False), (1023, 60.0, True), (1024, 59.9, True)],
)
def test_short_runs_say_so(n_runs: int, seconds: float, is_short: bool) -> None:
    """Fewer than 1024 runs or less than 60 s is a short run."""
    clock = clock_of([seconds / n_runs] * n_runs)
    report = measure(lambda: None, n_runs, n_warmup=0, clock=clock)

    report = dataclasses.replace(report, seconds=seconds)
    assert is_short == report.is_short


def test_no_runs_are_refused() -> None:
    """Zero runs have no median."""
    with pytest.raises(SettingError) as caught:
        measure(lambda: None, n_runs=0)

    assert "runs: found 0, expected 1 or more" == str(caught.value)


def test_inputs_lie_in_their_range(tiny_picture: TinyBundle) -> None:
    """Made-up inputs fit dtype, shape and range, and depend on the seed alone."""
    signature = tiny_picture.model("tflite").signatures[0]
    inputs = sample_inputs(signature, seed=3)
    picture = inputs["picture"]

    assert ["picture", "sigma"] == list(inputs)
    assert ((1, 16, 16, 3), np.float32) == (picture.shape, picture.dtype)
    assert -1 <= picture.min() < 0 and 1 < picture.max() <= 2
    assert (picture == sample_inputs(signature, seed=3)["picture"]).all()
    assert (picture != sample_inputs(signature, seed=4)["picture"]).any()


@pytest.mark.parametrize("engine", ["litert", "executorch"])
def test_every_figure_is_measured(engine: str, tiny_picture: TinyBundle) -> None:
    """A case has latencies, a load time, and the memory of a process of its own."""
    if engine not in installed_engines():
        pytest.skip(f"the {engine} engine is not installed")
    model = tiny_picture.model(FORMAT_OF_ENGINE[engine])
    case = Case(tiny_picture.bundle, engine, model, model.signatures[0], threads=1)
    measured = measure_case(case, n_runs=3, min_seconds=0)

    assert 0 < measured.latency.min_ms <= measured.latency.p50_ms
    assert measured.first.load_ms > measured.latency.min_ms
    assert measured.first.peak_rss_bytes is not None
    assert 10**7 < measured.first.peak_rss_bytes < 10**9
    assert measured.first.packed_bytes is not None
    assert 0 < measured.first.packed_bytes < 10**5
    assert measured.real_time_factor is None


@needs_litert
def test_failure_in_the_other_process_is_passed_on(
    tiny_picture: TinyBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the same failure here, though other things were said on stderr."""
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, os; atexit.register(os.write, 2, b'last words')"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    model = tiny_picture.model("tflite")
    with pytest.raises(EngineError) as caught:
        measure_first_run(tmp_path, model, "litert", "depth_1", 1)

    expected = f"{tmp_path}: holds no bundle.json, expected a bundle"
    assert expected == str(caught.value)


def test_crash_of_the_other_process_is_an_error(
    tiny_picture: TinyBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies is one line here, and this process lives on."""
    (tmp_path / "sitecustomize.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(EngineError) as caught:
        measure_first_run(
            tiny_picture.bundle.folder,
            tiny_picture.model("tflite"),
            "litert",
            "depth_1",
            1,
        )

    expected = "tiny.tflite: litert failed in a process of its own: killed by SIGABRT"
    assert expected == str(caught.value)


def test_cases_are_engines_by_files_by_depths(tiny_picture: TinyBundle) -> None:
    """Everything: two engines, each with its file, at two depths."""
    cases = choose_cases(
        tiny_picture.bundle, ["litert", "executorch"], None, None, threads=2
    )

    expected = [
        ("litert", "tflite", 1, 2),
        ("litert", "tflite", 2, 2),
        ("executorch", "pte", 1, 2),
        ("executorch", "pte", 2, 2),
    ]
    found = [
        (case.engine, case.model.format, case.signature.depth, case.threads)
        for case in cases
    ]
    assert expected == found


@needs_litert
def test_table_shows_conditions(
    tiny_picture: TinyBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table names device, engine, version, threads, input, runs and short runs."""
    status = bench.run([str(tiny_picture.bundle.folder), *QUICK])
    printed = capsys.readouterr().out
    head, names, row, note = printed.splitlines()

    version = importlib.metadata.version("ai-edge-litert")
    assert 0 == status
    assert head.startswith("sample-picture on ")
    assert "warm-up" in names and "p99 ms" in names and "peak memory" in names
    assert ["litert", version, "fp32", "2", "1", "1×16×16×3", "5", "3"] == (
        row.split()[:8]
    )
    assert "packed weights" in names and "not measured" not in row
    assert re.search(r" \d+\.\d\d MB +\d+\.\d KB$", row)
    assert "short run: published figures need --runs 1024 --seconds 60" == note


@needs_litert
def test_json_holds_the_keys(
    tiny_picture: TinyBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    """One object on stdout with the documented keys, and rows with the conditions."""
    bench.run([str(tiny_picture.bundle.folder), *QUICK, "--depth", "1", "--json"])
    result: dict[str, Any] = json.loads(capsys.readouterr().out)

    (row,) = result["rows"]
    assert result.keys() >= KEYS
    assert ("sample-picture", "litert", "fp32", 1, 1) == tuple(
        result[key] for key in ("bundle", "engine", "precision", "depth", "threads")
    )
    assert result["p50_ms"] == row["p50_ms"] > 0
    assert (3, 5, True) == (row["n_runs"], row["n_warmup"], row["short_run"])
    assert 0 < result["packed_bytes"] == row["packed_bytes"]
    assert row["weight_cache"] is False


@needs_litert
def test_a_weight_cache_is_used_on_demand(
    tiny_speech: TinyBundle, cache_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --weight-cache the packed weights are those of the file that is kept."""
    folder = str(tiny_speech.bundle.folder)
    bench.run([folder, *QUICK, "--weight-cache", "--json"])
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    (file,) = (cache_home / "weights").glob("*.packed")

    assert row["weight_cache"] is True
    assert file.stat().st_size == row["packed_bytes"]


@needs_litert
def test_all_walks_engines_and_depths(
    tiny_picture: TinyBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--all` gives a row per installed engine, file and depth, told as it goes."""
    quick = QUICK[: QUICK.index("--precision")]
    status = bench.run([str(tiny_picture.bundle.folder), *quick, "--all", "--json"])
    printed = capsys.readouterr()
    result = json.loads(printed.out)

    engines = [name for name in installed_engines() if name != "tflite-runtime"]
    expected = [(name, depth) for name in engines for depth in (1, 2)]
    assert expected == [(row["engine"], row["depth"]) for row in result["rows"]]
    name = tiny_picture.bundle.name
    assert [f"{name} {engine} fp32 depth {depth}" for engine, depth in expected] == [
        line.partition(": p50 ")[0] for line in printed.err.splitlines()
    ]
    assert ("litert", 2) == (result["engine"], result["depth"])
    assert 0 == status


@needs_litert
def test_speech_has_a_real_time_factor(
    tiny_speech: TinyBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    """One step's time is set against the 120 ms of audio in its 12 frames."""
    bench.run([str(tiny_speech.bundle.folder), *QUICK, "--json"])
    (row,) = json.loads(capsys.readouterr().out)["rows"]

    assert row["p50_ms"] / 120 == pytest.approx(row["real_time_factor"])
    assert row["depth"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--depth", "3"),
            "depth: found 3, tiny.tflite offers 1 2",
        ),
        (("--all",), "--precision: --all measures each; leave out one of them"),
        (
            ("--precision", "fp16"),
            "precision: found fp16, sample-picture offers fp32 on litert",
        ),
        (("--runs", "0"), f"argument --runs: found 0, expected {RUNS}"),
        (("--runs", "-5"), f"argument --runs: found -5, expected {RUNS}"),
        (("--runs", f"{10**12}"), f"argument --runs: found {10**12}, expected {RUNS}"),
        (("--seconds", "-1"), f"argument --seconds: found -1, expected {SECONDS}"),
        (("--seconds", "nan"), f"argument --seconds: found nan, expected {SECONDS}"),
        (("--seconds", "inf"), f"argument --seconds: found inf, expected {SECONDS}"),
    ],
)
def test_wrong_options_are_refused(
    tiny_picture: TinyBundle, words: tuple[str, ...], message: str
) -> None:
    """A depth, precision, time or run count that cannot be says what can."""
    with pytest.raises((SettingError, EngineError)) as caught:
        bench.run([str(tiny_picture.bundle.folder), *QUICK, *words])

    assert message == str(caught.value)
