"""Greedy CTC (Graves et al., ICML 2006): best symbols, repeats merged, no blanks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle_parts import PhonesSpec
from edge_runtime.speech.script import letters
from edge_runtime.speech.words import Word


class GreedyDecoder:
    """Grows a text from logits that arrive in blocks of any length."""

    def __init__(
        self, alphabet: Sequence[str], blank: int, phones: PhonesSpec | None = None
    ) -> None:
        self._script = letters(alphabet, blank, phones)
        self._alphabet = self._script.symbols
        self._blank = blank
        self._last = blank
        self._symbols: list[str] = []
        self._steps: list[int] = []
        self._chances: list[float] = []
        self._n_steps = 0

    def feed(self, logits: NDArray[np.float32]) -> None:
        """Take the logits, (T, V), of the next steps; ties go to the first symbol.

        Raises EngineError for logits that are not finite.
        """
        logits = self._script.own(logits)
        wide = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances = 1.0 / wide.sum(axis=1)  # of each step's best symbol
        for best, chance in zip(
            np.argmax(logits, axis=1).tolist(), chances.tolist(), strict=True
        ):
            if best != self._last and best != self._blank:
                self._symbols.append(self._alphabet[best])
                self._steps.append(self._n_steps)
                self._chances.append(chance)
            self._last = best
            self._n_steps += 1

    @property
    def text(self) -> str:
        """The text so far, words apart by one space, without spaces at its ends."""
        return " ".join("".join(self._symbols).split())

    def words(self, *, whole: bool) -> list[Word]:
        """Return the words so far, the last of which may be cut where not `whole`."""
        words: list[Word] = []
        places: list[int] = []
        for place, symbol in enumerate([*self._symbols, " "]):
            if symbol != " ":
                places.append(place)
            elif places:
                chances = [self._chances[letter] for letter in places]
                words.append(
                    Word(
                        "".join(self._symbols[letter] for letter in places),
                        self._steps[places[0]],
                        self._steps[places[-1]] + 1,
                        float(np.exp(np.mean(np.log(chances)))),
                    )
                )
                places = []
        return words

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
