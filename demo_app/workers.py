"""Threads that compute: few of the heavy computations at a time, and few that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Lock
from typing import TypeVar, final

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

Answer = TypeVar("Answer")


@final
class Workers:
    """Threads for what would hold up the event loop; one object for one loop."""

    def __init__(self, max_computations: int, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._seats = asyncio.Semaphore(max_computations)
        self._n_waiting = 0
        self._lock = Lock()
        self._n_running = 0

    @property
    def are_busy(self) -> bool:
        """Whether a thread is at work, be it that nobody awaits it any more."""
        with self._lock:
            return self._n_running > 0

    async def at_once(self, function: Callable[[], Answer]) -> Answer:
        """Return what `function` returns; for what is light, or bounded elsewhere."""

        def counted() -> Answer:
            self._count(1)
            try:
                return function()
            finally:
                self._count(-1)

        return await run_in_threadpool(counted)

    async def in_turn(self, request: Request, function: Callable[[], Answer]) -> Answer:
        """Return what `function` returns, run when it is the request's turn.

        The request's body must have been read. Raises HTTPException (503) if too many
        wait already, ClientDisconnect if the client leaves before its turn.
        """
        await self._take_seat(request)
        try:
            return await self.at_once(function)
        finally:
            self._seats.release()

    async def _take_seat(self, request: Request) -> None:
        if self._seats.locked() and self._n_waiting >= self._max_waiting:
            raise HTTPException(
                503,
                f"busy: {self._n_waiting} pictures or measurements wait their turn,"
                " the most that may; try again in a moment",
            )
        seated = False
        self._n_waiting += 1
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_cancel_when_left, request, group.cancel_scope)
                await self._seats.acquire()
                seated = True
                group.cancel_scope.cancel()
        finally:
            self._n_waiting -= 1
        if not seated:
            raise ClientDisconnect

    def _count(self, change: int) -> None:
        with self._lock:
            self._n_running += change


async def _cancel_when_left(request: Request, scope: anyio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
