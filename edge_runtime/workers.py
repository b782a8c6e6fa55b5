"""Work on several things at once, each worker a process of its own.

A worker that native code crashes, or that the system ends, costs what it was working on
and nothing else. None outlives the program that started it, however that ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from threading import Thread, current_thread, main_thread
from types import FrameType
from typing import Any, Generic, NoReturn, TypeVar

from edge_runtime.child import safe_path

PATIENCE_S = 10.0
"""How long a worker may take to remove what it had begun to write."""

Task = TypeVar("Task")
Result = TypeVar("Result")
Opening = Callable[[], AbstractContextManager[Callable[[Task], Result]]]
"""Opens what a worker needs and gives its work; it is sent to the worker by pickle."""


@dataclass(frozen=True)
class Ended:
    """Stands for a result that a worker did not live to give."""

    reason: str
    """The signal or status that it ended by."""


class Worker(Generic[Task, Result]):
    """A process that does one task after another."""

    def __init__(self, opening: Opening[Task, Result]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.task: Task | None = None
        self._process: SpawnProcess = context.Process(
            target=_work, args=(theirs, opening), daemon=True
        )
        with _no_interrupt(), safe_path():
            self._process.start()
        theirs.close()

    def give(self, task: Task) -> None:
        """Let it do a task; `connection` is ready when that is done."""
        self.task = task
        with suppress(BrokenPipeError):  # `take` says so
            self.connection.send(task)

    def take(self) -> Result | Ended:
        """Return what came of its task."""
        try:
            result: Result = self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            return Ended(_reason(self._process.exitcode))
        return result

    def terminate(self) -> None:
        """Ask the process to end; what it was writing is removed."""
        self._process.terminate()

    def join(self) -> None:
        """Wait for its end, which is made sure."""
        self._process.join(PATIENCE_S)
        self._process.kill()
        self._process.join()
        self.connection.close()


def do_at_once(
    opening: Opening[Task, Result], tasks: Iterable[Task], n_workers: int
) -> Generator[tuple[Task, Result | Ended]]:
    """Yield each task with what came of it, as they end; close it to end all at once.

    Tasks are taken one by one, as workers are free for them.
    """
    waiting = iter(tasks)
    workers: list[Worker[Task, Result]] = []
    try:
        for task in waiting:
            workers.append(Worker(opening))
            workers[-1].give(task)
            if len(workers) == n_workers:
                break
        while workers:
            for worker in _ready(workers):
                assert worker.task is not None
                done, result = worker.task, worker.take()
                yield done, result
                following = next(waiting, None)
                if following is None or isinstance(result, Ended):
                    workers.remove(worker)
                    _end([worker])
                if following is not None:
                    if isinstance(result, Ended):
                        worker = Worker(opening)
                        workers.append(worker)
                    worker.give(following)
    finally:
        _end(workers)


def _ready(workers: list[Worker[Task, Result]]) -> list[Worker[Task, Result]]:
    ready = wait([worker.connection for worker in workers])
    return [worker for worker in workers if worker.connection in ready]


def _end(workers: list[Worker[Task, Result]]) -> None:
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join()


def _work(connection: Connection, opening: Opening[Any, Any]) -> None:
    """Do what comes until nothing more does: a worker's whole life."""
    signal.signal(signal.SIGTERM, _leave)
    Thread(target=_end_with_parent, daemon=True).start()
    with opening() as work, suppress(EOFError, BrokenPipeError):
        while True:
            connection.send(work(connection.recv()))


def _end_with_parent() -> None:
    """End this process when its parent was killed and could not do so itself."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Let a process started inside never see Ctrl-C: its parent does, and ends it."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _reason(status: int | None) -> str:
    if status is not None and status < 0:
        return signal.Signals(-status).name
    return f"status {status}"
