"""Processes that work on several things at once, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from edge_runtime.workers import Ended, do_at_once

ROOT = Path(__file__).parents[2]
"""Has the folder of the tests; where they run on a wheel, the program is elsewhere."""
PATIENCE_S = 60.0

PARENT = """
import sys
from contextlib import closing
from edge_runtime.workers import do_at_once
from tests.edge_runtime.test_workers import slow
if __name__ == "__main__":
    with closing(do_at_once(slow, iter(sys.argv[1:]), 2)) as ended:
        for task, result in ended:
            print(task, flush=True)
"""


@contextmanager
def plain() -> Iterator[Callable[[int], int]]:
    """Square a number; a negative one ends the process."""

    def work(number: int) -> int:
        if number < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return number * number

    yield work


@contextmanager
def slow() -> Iterator[Callable[[str], None]]:
    """Write the process's number into a file, and sleep."""

    def work(path: str) -> None:
        Path(path).with_suffix(".part").write_text(str(os.getpid()))
        Path(path).with_suffix(".part").rename(path)
        time.sleep(PATIENCE_S * 10)

    yield work


def test_every_task_has_its_result() -> None:
    """In whatever order they end."""
    with closing(do_at_once(plain, range(7), 2)) as ended:
        assert {number: number * number for number in range(7)} == dict(ended)


def test_a_process_that_ends_costs_its_task_alone() -> None:
    """Another one does the rest."""
    with closing(do_at_once(plain, [1, -1, -2, 2, 3], 2)) as ended:
        found = dict(ended)

    killed = Ended("SIGKILL")
    assert {1: 1, -1: killed, -2: killed, 2: 4, 3: 9} == found


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_workers_end_with_the_program(tmp_path: Path, number: str) -> None:
    """At once, though they are busy, and even where it can do nothing about it."""
    paths = [tmp_path / "a", tmp_path / "b"]
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *paths],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )
    until = time.monotonic() + PATIENCE_S
    while not all(path.exists() for path in paths):
        assert time.monotonic() < until
        time.sleep(0.05)
    workers = [int(path.read_text()) for path in paths]
    assert all(map(is_alive, workers))

    parent.send_signal(signal.Signals[number])
    parent.communicate(timeout=PATIENCE_S)

    until = time.monotonic() + PATIENCE_S
    while any(map(is_alive, workers)):
        assert time.monotonic() < until
        time.sleep(0.05)
