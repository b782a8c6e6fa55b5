"""Where an utterance ends: by blanks, loudness and length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DECIBEL = 10.0 / np.log(10.0)
"""Of one natural logarithm of power."""


@dataclass(frozen=True)
class EndpointSettings:
    """When an utterance is over; times are in seconds."""

    pause_s: float = 0.6
    """Without a symbol, the sound being quiet, behind a word."""
    loud_pause_s: float = 1.2
    """Without a symbol, however loud it is."""
    quiet_s: float = 0.3
    """How long it has to be quiet."""
    quiet_db: float = 12.0
    """Above the quietest of late, what still is quiet."""
    longest_s: float = 20.0
    """A longer utterance is cut at the next short pause."""
    longest_of_all_s: float = 28.0
    """A longer one is cut wherever it stands."""
    short_pause_s: float = 0.12
    forget_s: float = 5.0
    """Silence, without a word before, after which the network begins anew."""
    blank: float = 0.5
    """Probability from which on a step has no symbol."""
    rise_db_per_s: float = 1.0
    """How fast the quietest of late is forgotten."""


NEVER = EndpointSettings(
    pause_s=np.inf,
    loud_pause_s=np.inf,
    longest_s=np.inf,
    longest_of_all_s=np.inf,
    forget_s=np.inf,
)
"""One utterance for all of a recording; its decoder's memory grows with it."""


class Endpointer:
    """Watches steps of the network; its answer depends on what came before alone."""

    def __init__(self, step_s: float, settings: EndpointSettings) -> None:
        self._step_s = step_s
        self._how = settings
        self._floor_db = np.inf
        self.begin()

    def begin(self) -> None:
        """Begin the next utterance; how loud the room is stays known."""
        self._n_steps = 0
        self._n_blank = 0
        self._n_quiet = 0

    def feed(self, blanks: NDArray[np.float32], levels_db: NDArray[np.float32]) -> None:
        """Take the blank's probability and the loudness, (T,) each, of more steps."""
        how = self._how
        for blank, level_db in zip(blanks.tolist(), levels_db.tolist(), strict=True):
            rise = how.rise_db_per_s * self._step_s
            self._floor_db = min(self._floor_db + rise, level_db)
            is_quiet = level_db <= self._floor_db + how.quiet_db
            self._n_blank = self._n_blank + 1 if blank > how.blank else 0
            self._n_quiet = self._n_quiet + 1 if is_quiet else 0
            self._n_steps += 1

    def is_over(self, *, has_words: bool) -> bool:
        """Return whether the utterance ends here."""
        how, step_s = self._how, self._step_s
        pause_s, quiet_s = self._n_blank * step_s, self._n_quiet * step_s
        if not has_words:
            return min(pause_s, quiet_s) >= how.forget_s
        if pause_s >= how.pause_s and quiet_s >= how.quiet_s:
            return True
        length_s = self._n_steps * step_s
        return (
            pause_s >= how.loud_pause_s
            or (length_s >= how.longest_s and pause_s >= how.short_pause_s)
            or length_s >= how.longest_of_all_s
        )
