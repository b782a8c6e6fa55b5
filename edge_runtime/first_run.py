"""What a model's first run costs, in a process that does nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_runtime.bundle import Bundle, ModelFile
from edge_runtime.engines import open_engine
from edge_runtime.errors import EngineError, TiedgeError
from edge_runtime.loop import find_call
from edge_runtime.sample_inputs import sample_inputs

STATUS = Path("/proc/self/status")
PEAK_FIELD = "VmHWM:"
BYTES_PER_KIB = 1024
MILLISECONDS_PER_SECOND = 1000
EXPECTED_FAILURE = 3
"""Exit status that says: stdout holds the error; native code has its say on stderr."""

FOLDER_OF_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class FirstRun:
    """Time and memory of a process that opens a model and runs it once."""

    load_ms: float
    """From asking for the engine, its libraries not yet loaded, to the first result."""

    peak_rss_bytes: int | None
    """Resident memory at its highest, Python, numpy and the engine's libraries
    included; None where the system does not tell."""


def measure_first_run(
    folder: Path, model: ModelFile, engine: str, signature: str, threads: int
) -> FirstRun:
    """Return what the first run of a bundle's model costs.

    A model file that makes its engine crash ends that process, not this one. Raises
    EngineError then, and for an expected failure with the same message.
    """
    words = (str(folder), model.format, model.precision, engine, signature)
    done = subprocess.run(
        [sys.executable, "-P", "-m", __name__, *words, str(threads)],
        capture_output=True,
        text=True,
        errors="backslashreplace",
        check=False,
        env=os.environ | {"PYTHONPATH": _search_path()},
    )
    if done.returncode == EXPECTED_FAILURE:
        raise EngineError(json.loads(done.stdout))
    if done.returncode != 0:
        raise EngineError(
            f"{model.path.name}: {engine} failed in a process of its own:"
            f" {_reason(done)}"
        )
    sys.stderr.write(done.stderr)
    return FirstRun(**json.loads(done.stdout))


def run_once(words: Sequence[str]) -> FirstRun:
    """Open and run what `words` say, in this process."""
    folder, model_format, precision, name, signature, threads = words
    model = Bundle.open(Path(folder)).model(model_format, precision)
    inputs = sample_inputs(find_call(model, signature), seed=0)
    started = time.perf_counter()
    with open_engine(name, model, int(threads)) as engine:
        engine.run(signature, inputs)
        seconds = time.perf_counter() - started
    return FirstRun(seconds * MILLISECONDS_PER_SECOND, _own_peak_bytes(STATUS))


def _own_peak_bytes(status: Path) -> int | None:
    # getrusage's figure is no use here: it starts from the parent's peak.
    try:
        lines = status.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    peaks = [line.split()[1] for line in lines if line.startswith(PEAK_FIELD)]
    return int(peaks[0]) * BYTES_PER_KIB if peaks else None


def _search_path() -> str:
    """Return a PYTHONPATH that finds this very package, installed or not."""
    others = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join(filter(None, [str(FOLDER_OF_PACKAGE), others]))


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"killed by {signal.Signals(-done.returncode).name}"
    lines = done.stderr.splitlines() or [f"status {done.returncode}"]
    return lines[-1]


if __name__ == "__main__":
    try:
        print(json.dumps(asdict(run_once(sys.argv[1:]))))
    except TiedgeError as error:
        print(json.dumps(str(error)))
        sys.exit(EXPECTED_FAILURE)
