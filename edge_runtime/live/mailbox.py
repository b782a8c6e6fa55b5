"""One place between two stages: the newest frame waits there, never a queue."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """Holds one item for another thread; a newer one takes its place."""

    def __init__(self, *, keep_all: bool = False) -> None:
        """With `keep_all`, `put` waits for the place instead."""
        self._keep_all = keep_all
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._closed = False
        self._error: BaseException | None = None
        self.n_dropped = 0
        """Items that a newer one replaced."""

    def put(self, item: Item) -> bool:
        """Leave an item; False if nobody takes any more."""
        with self._changed:
            if self._keep_all:
                self._changed.wait_for(lambda: self._item is None or self._closed)
            if self._closed:
                return False
            self.n_dropped += self._item is not None
            self._item = item
            self._changed.notify_all()
            return True

    def take(self, timeout_s: float | None = None) -> Item | None:
        """Wait for the item and take it; None at the end, or if none came in time.

        Raises the error that the other side closed with, once nothing is left.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._item is not None or self._closed, timeout_s
            )
            item, self._item = self._item, None
            if item is None and self._error is not None:
                raise self._error
            self._changed.notify_all()
            return item

    def close(self, error: BaseException | None = None) -> None:
        """Let nothing more in; what lies here can still be taken."""
        with self._changed:
            if not self._closed:
                self._closed, self._error = True, error
            self._changed.notify_all()

    @property
    def is_over(self) -> bool:
        """Whether nothing lies here and nothing more will come, nor an error."""
        with self._changed:
            return self._closed and self._item is None and self._error is None
