"""The memory that one bundle needs, measured in a process that does nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.bundle import Bundle, ModelFile
from edge_runtime.engines import open_engine
from edge_runtime.errors import EngineError, TiedgeError
from edge_runtime.sample_inputs import sample_inputs

STATUS = Path("/proc/self/status")
PEAK_FIELD = "VmHWM:"
BYTES_PER_KIB = 1024
EXPECTED_FAILURE = 3
"""Exit status that says: the last line on stderr is the error."""

FOLDER_OF_PACKAGE = Path(__file__).resolve().parent.parent


def peak_rss_bytes(
    model: ModelFile, engine: str, folder: Path, signature: str, threads: int
) -> int | None:
    """Return the peak resident memory of a process that opens and runs once.

    That is Python, numpy and the engine's libraries too. None where the system does
    not tell. Raises EngineError where the process fails, a crash included.
    """
    words = (str(folder), model.format, model.precision, engine, signature)
    done = subprocess.run(
        [sys.executable, "-m", __name__, *words, str(threads)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": _search_path()},
    )
    if done.returncode == EXPECTED_FAILURE:
        raise EngineError(done.stderr.splitlines()[-1])
    if done.returncode != 0:
        raise EngineError(
            f"{model.path.name}: {engine} failed in a process of its own:"
            f" {_reason(done)}"
        )
    sys.stderr.write(done.stderr)
    return int(done.stdout) or None


def run_once(words: Sequence[str]) -> int:
    """Open and run what `words` say; return this process's peak memory in bytes.

    0 stands for not known.
    """
    folder, model_format, precision, name, signature, threads = words
    model = Bundle.open(Path(folder)).model(model_format, precision)
    with open_engine(name, model, int(threads)) as engine:
        engine.run(signature, sample_inputs(model.signature(signature), seed=0))
    return _own_peak_bytes(STATUS)


def _own_peak_bytes(status: Path) -> int:
    # getrusage's figure is no use here: it starts from the parent's peak.
    try:
        lines = status.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    peaks = [line.split()[1] for line in lines if line.startswith(PEAK_FIELD)]
    return int(peaks[0]) * BYTES_PER_KIB if peaks else 0


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
        print(run_once(sys.argv[1:]))
    except TiedgeError as error:
        print(error, file=sys.stderr)
        sys.exit(EXPECTED_FAILURE)
