"""Many photographs at once, each worker a process with an engine of its own.

Decoders and encoders hold stderr while they work, and Python's lock: threads would
wait for each other. A picture that makes native code crash ends one worker alone.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from threading import current_thread, main_thread
from types import FrameType
from typing import Any, NoReturn

from edge_runtime.child import safe_path
from edge_runtime.errors import PictureError, SettingError
from edge_runtime.image_filter import ImageFilter, open_filter
from edge_runtime.photo.plan import Job
from edge_runtime.photo.restore import Pace, Setting, restore_file

PATIENCE_SECONDS = 10.0
"""How long a worker may take to remove what it had begun to write."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Opening:
    """What `open_filter` is given."""

    bundle: str
    engine: str
    precision: str
    threads: int

    def open(self) -> ImageFilter:
        """Return the filter; raises what `open_filter` does."""
        return open_filter(self.bundle, self.engine, self.precision, self.threads)


class Worker:
    """A process that filters one picture after another."""

    def __init__(self, opening: Opening, setting: Setting) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.job: Job | None = None
        self._process: SpawnProcess = context.Process(
            target=_work, args=(theirs, opening, setting), daemon=True
        )
        with _no_interrupt(), safe_path():
            self._process.start()
        theirs.close()

    def give(self, job: Job) -> None:
        """Let it filter a picture; `connection` is ready when that is done."""
        self.job = job
        with suppress(BrokenPipeError):  # `take` says so
            self.connection.send(job)

    def take(self) -> tuple[Row, bool]:
        """Return what came of its picture, and whether it can take another."""
        assert self.job is not None
        try:
            row: Row = self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            return {
                "source": str(self.job.source),
                "error": f"{self.job.source}: its process was ended"
                f" ({_reason(self._process.exitcode)}); try --jobs 1",
            }, False
        return row, True

    def end(self) -> None:
        """End the process; what it was writing is removed."""
        self._process.terminate()
        self._process.join(PATIENCE_SECONDS)
        self._process.kill()
        self._process.join()
        self.connection.close()


def filter_at_once(
    opening: Opening, setting: Setting, jobs: Iterable[Job], n_workers: int
) -> Generator[tuple[Job, Row]]:
    """Yield each job with what came of it, as they end; `restore_file` has the rows.

    A row of a picture that failed holds `source` and `error`.
    """
    waiting = iter(jobs)
    workers: list[Worker] = []
    try:
        for job in waiting:
            workers.append(Worker(opening, setting))
            workers[-1].give(job)
            if len(workers) == n_workers:
                break
        while workers:
            for worker in _ready(workers):
                done = worker.job
                assert done is not None
                row, is_alive = worker.take()
                yield done, row
                following = next(waiting, None)
                if following is None or not is_alive:
                    workers.remove(worker)
                    worker.end()
                if following is not None:
                    if not is_alive:
                        worker = Worker(opening, setting)
                        workers.append(worker)
                    worker.give(following)
    finally:
        for worker in workers:
            worker.end()


def filter_in_turn(
    image_filter: ImageFilter,
    setting: Setting,
    jobs: Iterable[Job],
    pace: Pace | None = None,
) -> Generator[tuple[Job, Row]]:
    """Yield what `filter_at_once` does, all done by this very process."""
    for job in jobs:
        yield job, _row(image_filter, job, setting, pace)


def _ready(workers: list[Worker]) -> list[Worker]:
    ready = wait([worker.connection for worker in workers])
    return [worker for worker in workers if worker.connection in ready]


def _work(connection: Connection, opening: Opening, setting: Setting) -> None:
    """Filter what comes until nothing more does: a worker's whole life."""
    signal.signal(signal.SIGTERM, _leave)
    with opening.open() as image_filter, suppress(EOFError, BrokenPipeError):
        while True:
            job = connection.recv()
            connection.send(_row(image_filter, job, setting, None))


def _row(
    image_filter: ImageFilter, job: Job, setting: Setting, pace: Pace | None
) -> Row:
    try:
        return restore_file(image_filter, job, setting, pace)
    except (PictureError, SettingError) as error:  # unreadable, or unwritable
        return {"source": str(job.source), "error": str(error)}


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
