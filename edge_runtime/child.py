"""Work in a process of its own: its memory is its own, and so is its crash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_runtime.errors import EngineError, TiedgeError

EXPECTED_FAILURE = 3
"""Exit status that says: stdout holds the error; native code has its say on stderr."""

SAFE_PATH = "PYTHONSAFEPATH"
"""Variable that says -P to Python."""

FOLDER_OF_PACKAGE = Path(__file__).resolve().parent.parent


def run_apart(
    module: str, words: Sequence[str], where: str, timeout_s: float | None = None
) -> Any:
    """Return what `python -m MODULE WORDS`, which ends by `answer`, has to say.

    Raises EngineError, beginning with `where`, if that process crashes or takes longer
    than `timeout_s`, and for an expected failure with the same message.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", module, *words],
            capture_output=True,
            text=True,
            errors="backslashreplace",
            check=False,
            env=os.environ | {"PYTHONPATH": _search_path()},
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"{where} took longer than {timeout_s:g} s in a process of its own"
        ) from error
    if done.returncode == EXPECTED_FAILURE:
        raise EngineError(json.loads(done.stdout))
    if done.returncode != 0:
        raise EngineError(f"{where} failed in a process of its own: {_reason(done)}")
    sys.stderr.write(done.stderr)
    return json.loads(done.stdout)


@contextmanager
def safe_path() -> Iterator[None]:
    """Let Python processes started inside import nothing from the current folder.

    That is what -P does for `run_apart`; the words of multiprocessing are its own.
    """
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE_PATH]
        else:
            os.environ[SAFE_PATH] = before


def answer(work: Callable[[], Any]) -> None:
    """Print what `work` returns, or its expected failure, for `run_apart` to read."""
    try:
        print(json.dumps(work()))
    except TiedgeError as error:
        print(json.dumps(str(error)))
        sys.exit(EXPECTED_FAILURE)


def _search_path() -> str:
    """Return a PYTHONPATH that finds this very package, installed or not."""
    others = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join(filter(None, [str(FOLDER_OF_PACKAGE), others]))


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"killed by {signal.Signals(-done.returncode).name}"
    lines = done.stderr.splitlines() or [f"status {done.returncode}"]
    return lines[-1]
