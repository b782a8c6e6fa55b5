"""Speech to text while it is being spoken: samples in, growing text out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle import Bundle, SpeechSpec, StateSpec, find_bundle
from edge_runtime.decoder import Decoder, make_decoder
from edge_runtime.engine import Engine
from edge_runtime.engines import open_engine
from edge_runtime.errors import AudioError, BundleError
from edge_runtime.front_end import (
    MILLISECONDS_PER_SECOND,
    FrontEnd,
    FrontEndStream,
    check_samples,
)
from edge_runtime.model_choice import choose_model
from edge_runtime.resample import Resampler, check_rate
from edge_runtime.weight_cache import usual_folder

FLUSH_MS = 480
"""Silence behind the last sample: a network that never looks ahead writes a word down
some 200 to 400 ms after it was spoken. Training ends its examples the same way."""
SIGNATURE = "step"


@dataclass(frozen=True)
class Event:
    """The text as it stands after some of the audio."""

    kind: Literal["partial", "final"]
    text: str
    """All of it, from the first sample on."""
    audio_s: float
    """Seconds of audio that the text stands for."""
    compute_ms: float
    """Milliseconds spent on that audio in all: features, engine and decoding."""


@dataclass
class _State:
    """All that one utterance changes; made in `Transcriber.reset` alone."""

    resampler: Resampler
    frames: FrontEndStream
    tensors: dict[str, NDArray[np.float32]]
    decoder: Decoder
    n_fed_samples: int = 0
    n_steps: int = 0
    compute_s: float = 0.0
    final: Event | None = None


class Transcriber:
    """One stream of speech on one engine.

    The text does not depend on how the samples are cut into `feed` calls. Memory is
    constant but for the text.
    """

    def __init__(
        self,
        bundle: Bundle,
        engine: Engine,
        sample_rate_hz: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        check_rate(sample_rate_hz)
        self.bundle = bundle
        self.engine = engine
        self.sample_rate_hz = sample_rate_hz
        self._spec = require_speech(bundle)
        self._front_end = front_end_of(self._spec)
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Begin a new utterance; nothing of the last one remains."""
        self._state = _State(
            resampler=Resampler(self.sample_rate_hz, self._spec.sample_rate_hz),
            frames=FrontEndStream(self._front_end, self._spec.chunk_frames),
            tensors={state.input: _initial(state) for state in self.bundle.states},
            decoder=make_decoder(
                self._spec.alphabet, self._spec.blank, self._spec.vocabulary
            ),
        )

    def feed(self, samples: NDArray[np.float32]) -> tuple[Event, ...]:
        """Return one partial event per step that changed the text.

        `samples` is (S,) in ±1 at `sample_rate_hz`; S may be 0. Raises AudioError for
        another shape, values that `check_samples` refuses, and after `finish`.
        """
        if self._state.final is not None:
            raise AudioError("transcriber: fed after finish(); call reset() first")
        if samples.ndim != 1:
            raise AudioError(f"samples: shape is {samples.shape}, expected (samples,)")
        check_samples("samples", samples)
        started = self._clock()
        self._state.n_fed_samples += len(samples)
        resampled = self._state.resampler.feed(samples)
        return self._take(resampled, started)

    def finish(self) -> Event:
        """Return the final event, after FLUSH_MS of silence; again if called again."""
        state = self._state
        if state.final is None:
            started = self._clock()
            rest = state.resampler.finish()
            n_flush = FLUSH_MS * self._spec.sample_rate_hz // MILLISECONDS_PER_SECOND
            n_zeros = state.frames.missing_samples(len(rest) + n_flush) - len(rest)
            self._take(np.concatenate([rest, np.zeros(n_zeros, np.float32)]), started)
            audio_s = state.n_fed_samples / self.sample_rate_hz
            state.final = self._event("final", state.decoder.finish(), audio_s)
        return state.final

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take(
        self, resampled: NDArray[np.float32], started: float
    ) -> tuple[Event, ...]:
        """Run every step that `resampled` completes; `started` is the clock then."""
        state = self._state
        events = []
        for features in state.frames.feed(resampled):
            before = state.decoder.text
            self._step(features)
            now = self._clock()
            state.compute_s += now - started
            started = now
            if state.decoder.text != before:
                text = state.decoder.text
                events.append(self._event("partial", text, self._heard_s()))
        state.compute_s += self._clock() - started
        return tuple(events)

    def _step(self, features: NDArray[np.float32]) -> None:
        state = self._state
        outputs = self.engine.run(
            SIGNATURE, {"features": features[None], **state.tensors}
        )  # features: (1, T, M)
        state.tensors = {
            tensor.input: outputs[tensor.output] for tensor in self.bundle.states
        }
        state.decoder.feed(outputs["logits"][0])  # (T', V)
        state.n_steps += 1

    def _heard_s(self) -> float:
        """Seconds of audio up to the end of the last step's last window."""
        n_frames = self._state.n_steps * self._spec.chunk_frames
        heard_s = self._front_end.samples_of(n_frames) / self._spec.sample_rate_hz
        return min(heard_s, self._state.n_fed_samples / self.sample_rate_hz)

    def _event(
        self, kind: Literal["partial", "final"], text: str, audio_s: float
    ) -> Event:
        spent_ms = self._state.compute_s * MILLISECONDS_PER_SECOND
        return Event(kind, text, audio_s, spent_ms)


def open_transcriber(
    name_or_path: str,
    sample_rate_hz: int,
    engine: str = "litert",
    precision: str = "int8",
    threads: int = 1,
) -> Transcriber:
    """Return a transcriber of a ready-made bundle or of the bundle at a path.

    Close it, or use it in a `with`. Raises AudioError for a sample rate outside the
    supported range, BundleError if the bundle breaks its contract or is for pictures,
    SettingError if the engine is unknown or missing or the bundle has no such file for
    it, EngineError if it cannot run the file.
    """
    check_rate(sample_rate_hz)
    bundle, opened = open_speech(name_or_path, engine, precision, threads)
    return Transcriber(bundle, opened, sample_rate_hz)


def open_speech(
    name_or_path: str, engine: str, precision: str, threads: int
) -> tuple[Bundle, Engine]:
    """Return a bundle and its engine, for transcribers of several rates.

    Its weights, which a recurrent network uses many times, are packed once where that
    is possible (`weight_cache`). The caller closes the engine. Raises as
    `open_transcriber` does.
    """
    bundle = find_bundle(name_or_path)
    require_speech(bundle)
    model = choose_model(bundle, engine, precision)
    return bundle, open_engine(engine, model, threads, usual_folder(engine))


def front_end_of(speech: SpeechSpec) -> FrontEnd:
    """Return the front end with a bundle's constants."""
    return FrontEnd(
        sample_rate_hz=speech.sample_rate_hz,
        window_samples=speech.window_samples,
        hop_samples=speech.hop_samples,
        fft_samples=speech.fft_samples,
        n_mels=speech.n_mels,
        low_hz=speech.low_hz,
        high_hz=speech.high_hz,
        feature_mean=speech.feature_mean,
        feature_scale=speech.feature_scale,
    )


def require_speech(bundle: Bundle) -> SpeechSpec:
    """Return the bundle's speech constants; raises BundleError if it has none."""
    if bundle.speech is None:
        raise BundleError(
            f'{bundle.folder}: task is "{bundle.task}", expected "speech";'
            " use tiedge filter"
        )
    return bundle.speech


def _initial(state: StateSpec) -> NDArray[np.float32]:
    return np.full(state.shape, state.reset, np.float32)
