"""Streaming change of sample rate by a windowed sinc, the same for any chunking."""

from __future__ import annotations

from math import gcd

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import AudioError

LOWEST_RATE_HZ = 8_000
HIGHEST_RATE_HZ = 192_000
ZERO_CROSSINGS = 24
"""Of the sinc on each side of its peak, at the lower of the two rates."""
KAISER_BETA = 9.0
"""Stop band about 90 dB down."""
PASS_BAND = 0.92
"""Cut-off, as a part of the lower rate's half."""
BLOCK_SAMPLES = 64
"""Output samples computed at once: one shape, so sums always run in one order."""
MAX_TABLE_PHASES = 1024
"""Rates with more distinct kernels than this compute them as they are needed."""


def check_rate(sample_rate_hz: int) -> None:
    """Raise AudioError for a rate outside the supported range."""
    if not LOWEST_RATE_HZ <= sample_rate_hz <= HIGHEST_RATE_HZ:
        reason = (
            f"speech below {LOWEST_RATE_HZ} Hz lacks consonants"
            if sample_rate_hz < LOWEST_RATE_HZ
            else "resample it first"
        )
        raise AudioError(
            f"sample rate {sample_rate_hz} Hz: expected {LOWEST_RATE_HZ} to"
            f" {HIGHEST_RATE_HZ} Hz; {reason}"
        )


class Resampler:
    """Turns samples at one rate, in any chunks, into samples at another.

    Output sample n stands for time n / to_hz; outside the signal stand zeros. The
    output is the same to the bit however the input is cut.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        check_rate(from_hz)
        divisor = gcd(from_hz, to_hz)
        self._up, self._down = to_hz // divisor, from_hz // divisor
        self._same = from_hz == to_hz
        # Everything below is counted in input samples.
        self._cutoff = PASS_BAND * min(1.0, to_hz / from_hz)
        self._reach = int(np.ceil(ZERO_CROSSINGS / min(1.0, to_hz / from_hz)))
        self._taps = np.arange(-self._reach + 1, self._reach + 1)
        self._table = (
            self._kernels(np.arange(self._up))
            if not self._same and self._up <= MAX_TABLE_PHASES
            else None
        )
        self._pending = np.zeros(self._reach, np.float32)
        self._pending_start = -self._reach
        self._n_in = 0
        self._n_out = 0

    def feed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the output samples, (S',), that `samples`, (S,), complete."""
        if self._same:
            return samples.astype(np.float32)
        self._n_in += len(samples)
        self._pending = np.concatenate([self._pending, samples.astype(np.float32)])
        blocks = []
        while self._last_input(self._n_out + BLOCK_SAMPLES - 1) < self._n_known():
            blocks.append(self._block())
        self._forget()
        return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)

    def finish(self) -> NDArray[np.float32]:
        """Return the rest, (S',), so that in all ceil(S · to_hz / from_hz) came out."""
        if self._same:
            return np.zeros(0, np.float32)
        n_all = -(-self._n_in * self._up // self._down)
        n_before = self._n_out
        reach = self._last_input(n_all + BLOCK_SAMPLES) + 1 - self._n_known()
        zeros = np.zeros(max(0, reach), np.float32)
        n_in = self._n_in
        rest = self.feed(zeros)[: n_all - n_before]
        self._n_in = n_in
        return rest

    def _n_known(self) -> int:
        return self._pending_start + len(self._pending)

    def _last_input(self, n: int) -> int:
        """Return the index of the last input sample that output `n` needs."""
        return n * self._down // self._up + self._reach

    def _block(self) -> NDArray[np.float32]:
        position = (self._n_out + np.arange(BLOCK_SAMPLES)) * self._down
        whole, phase = position // self._up, position % self._up
        first = whole - self._reach + 1 - self._pending_start
        windows = self._pending[first[:, None] + np.arange(len(self._taps))]
        kernels = self._kernels(phase) if self._table is None else self._table[phase]
        self._n_out += BLOCK_SAMPLES
        products = windows * kernels  # (BLOCK_SAMPLES, taps)
        return np.asarray(products.sum(axis=1), np.float32)

    def _forget(self) -> None:
        keep_from = self._n_out * self._down // self._up - self._reach + 1
        self._pending = self._pending[keep_from - self._pending_start :].copy()
        self._pending_start = keep_from

    def _kernels(self, phase: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the weights, (P, taps), of outputs `phase` / up after an input."""
        distance = self._taps - (phase / self._up)[:, None]  # (P, taps)
        window = np.i0(
            KAISER_BETA * np.sqrt(np.maximum(0.0, 1.0 - (distance / self._reach) ** 2))
        ) / np.i0(KAISER_BETA)
        kernels = self._cutoff * np.sinc(self._cutoff * distance) * window
        return np.asarray(kernels / kernels.sum(axis=1, keepdims=True), np.float32)


def resample(
    samples: NDArray[np.float32], from_hz: int, to_hz: int
) -> NDArray[np.float32]:
    """Return all of `samples`, (S,), at another rate, (ceil(S · to / from),)."""
    resampler = Resampler(from_hz, to_hz)
    return np.concatenate([resampler.feed(samples), resampler.finish()])
