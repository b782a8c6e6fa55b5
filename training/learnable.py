"""Which clips a speech network can learn from, and what is told of the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_runtime.front_end import MILLISECONDS_PER_SECOND, FrontEnd
from edge_runtime.speech.loudness import SHORTEST_S, SILENT
from training.speech import STRIDE_FRAMES, Utterance


class LeftOut:
    """Counts the clips that are left out, by reason."""

    def __init__(self) -> None:
        self._by_reason: dict[str, list[Utterance]] = {}

    def add(self, reason: str, utterance: Utterance) -> None:
        """Count a clip, which is `reason`."""
        self._by_reason.setdefault(reason, []).append(utterance)

    def told(self) -> list[str]:
        """Return what is to be said: a part of a sentence per reason."""
        return [
            f"{len(clips)} clips left out, {reason}, such as"
            f" {clips[0].place or clips[0].path}"
            for reason, clips in self._by_reason.items()
        ]


def why_not(
    clip: tuple[int, float, int],
    symbols: NDArray[np.int64],
    front_end: FrontEnd,
    longest_s: float,
) -> str | None:
    """Return why a clip teaches nothing; None for one that is to be learnt from.

    `clip` is its samples and their peak, in ±1, and the frames of its features;
    `symbols`, (U,), are what it says.
    """
    n_samples, peak, n_frames = clip
    if n_frames * front_end.hop_ms > longest_s * MILLISECONDS_PER_SECOND:
        return f"longer than {longest_s:g} s"
    if not len(symbols):  # what is no speech may be short and silent
        return None
    if n_samples < SHORTEST_S * front_end.sample_rate_hz:
        return f"shorter than {SHORTEST_S:g} s"
    if peak < SILENT:
        return "silent"
    if n_frames // STRIDE_FRAMES < ctc_length(symbols):
        return "too short for their texts"
    return None


def ctc_length(symbols: NDArray[np.int64]) -> int:
    """Return the fewest steps in which CTC can write symbols, (U,)."""
    return len(symbols) + int(np.count_nonzero(symbols[1:] == symbols[:-1]))
