"""Greedy CTC (Graves et al., ICML 2006): best symbols, repeats merged, no blanks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class GreedyDecoder:
    """Grows a text from logits that arrive in blocks of any length."""

    def __init__(self, alphabet: Sequence[str], blank: int) -> None:
        self._alphabet = tuple(alphabet)
        self._blank = blank
        self._last = blank
        self._symbols: list[str] = []

    def feed(self, logits: NDArray[np.float32]) -> None:
        """Take the logits, (T, V), of the next steps; ties go to the first symbol."""
        for best in np.argmax(logits, axis=1).tolist():
            if best != self._last and best != self._blank:
                self._symbols.append(self._alphabet[best])
            self._last = best

    @property
    def text(self) -> str:
        """The text so far, words apart by one space, without spaces at its ends."""
        return " ".join("".join(self._symbols).split())

    def finish(self) -> str:
        """Return the text of the whole recording."""
        return self.text


def greedy_text(
    logits: NDArray[np.float32], alphabet: Sequence[str], blank: int
) -> str:
    """Return the text of all logits, (T, V), of an utterance.

    >>> logits = np.eye(3, dtype=np.float32)[[1, 1, 0, 1, 2, 2]]
    >>> greedy_text(logits, ["", "a", "b"], blank=0)
    'aab'
    """
    decoder = GreedyDecoder(alphabet, blank)
    decoder.feed(logits)
    return decoder.text
