"""Speech to text while it is being spoken: samples in, growing text out."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle import Bundle, SpeechSpec, StateSpec, find_bundle
from edge_runtime.decoder import Decoder, Decoding
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
from edge_runtime.speech.choice import DecodingChoice
from edge_runtime.speech.endpoint import DECIBEL, Endpointer, EndpointSettings
from edge_runtime.speech.grammar import Intent
from edge_runtime.speech.viterbi import GrammarDecoder
from edge_runtime.speech.words import Word
from edge_runtime.weight_cache import usual_folder

FLUSH_MS = 480
"""Silence behind the last sample: a network that never looks ahead writes a word down
some 200 to 400 ms after it was spoken. Training ends its examples the same way."""
SIGNATURE = "step"
DELAY_S = 0.0
"""How long after its sound the network writes a letter down."""


@dataclass(frozen=True)
class TimedWord:
    """A word, and when it was said, in seconds from the first sample on."""

    text: str
    start_s: float
    end_s: float
    confidence: float
    """0–1."""
    tag: str
    """What a grammar calls it; empty where there is none."""


@dataclass(frozen=True)
class Event:
    """The text of an utterance as it stands after some of the audio."""

    kind: Literal["partial", "final"]
    """Later events may change what is partial. Behind what is final, another utterance
    begins."""
    text: str
    """Of this utterance alone; none where partial text proved to be noise, or to fit no
    sentence of a grammar."""
    start_s: float
    """Where the utterance begins, in seconds from the first sample on."""
    audio_s: float
    """Seconds of audio that were heard."""
    compute_ms: float
    """Milliseconds spent on them in all: features, engine and decoding."""
    n_chunks: int
    """Steps of the network up to here."""
    words: tuple[TimedWord, ...] = ()
    """Of what is final."""
    intent: Intent | None = None
    """Of what is final, where there is a grammar."""
    rejected: bool = False
    """Whether what is final fits no sentence of the grammar; it has no text then."""


@dataclass
class _Utterance:
    """All that one utterance changes."""

    first_step: int
    tensors: dict[str, NDArray[np.float32]]
    decoder: Decoder
    text: str = ""


@dataclass
class _State:
    """All that one recording changes; made in `Transcriber.reset` alone."""

    resampler: Resampler
    frames: FrontEndStream
    utterance: _Utterance
    endpointer: Endpointer
    n_fed_samples: int = 0
    n_chunks: int = 0
    compute_s: float = 0.0
    final: Event | None = None


class Transcriber:
    """One stream of speech on one engine.

    A pause ends an utterance, and the next one begins with nothing of it left. Texts do
    not depend on how the samples are cut into `feed` calls; memory is constant.

    With `first_chunk`, the network and the decoder are spared what lies before that
    step: with the one that follows a final event, what comes is the same as without.
    """

    def __init__(
        self,
        bundle: Bundle,
        engine: Engine,
        sample_rate_hz: int,
        clock: Callable[[], float] = time.perf_counter,
        *,
        decoding: Decoding | None = None,
        endpoints: EndpointSettings | None = None,
        first_chunk: int = 0,
    ) -> None:
        check_rate(sample_rate_hz)
        self.bundle = bundle
        self.engine = engine
        self.sample_rate_hz = sample_rate_hz
        self._spec = require_speech(bundle)
        self._front_end = front_end_of(self._spec)
        self._clock = clock
        self._new_decoder = (decoding or Decoding()).maker(
            self._spec.alphabet,
            self._spec.blank,
            self._spec.vocabulary,
            self._spec.phones,
        )
        self._endpoints = endpoints or EndpointSettings()
        self._first_chunk = first_chunk
        self._opened = ExitStack()
        """What is closed with it, beside the engine."""
        self.reset()

    def reset(self) -> None:
        """Begin a new recording; nothing of the last one remains."""
        spec = self._spec
        self._state = _State(
            resampler=Resampler(self.sample_rate_hz, spec.sample_rate_hz),
            frames=FrontEndStream(self._front_end, spec.chunk_frames),
            utterance=self._begin(self._first_chunk * spec.logits_per_chunk),
            endpointer=Endpointer(self._step_s, self._endpoints),
        )

    def feed(self, samples: NDArray[np.float32]) -> tuple[Event, ...]:
        """Return an event for each step that changed the text or ended an utterance.

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
        """Return the last utterance, after FLUSH_MS of silence; again if called again.

        Its text is empty where the recording ended with a pause.
        """
        state = self._state
        if state.final is None:
            started = self._clock()
            rest = state.resampler.finish()
            n_flush = FLUSH_MS * self._spec.sample_rate_hz // MILLISECONDS_PER_SECOND
            n_zeros = state.frames.missing_samples(len(rest) + n_flush) - len(rest)
            flush = np.concatenate([rest, np.zeros(n_zeros, np.float32)])
            self._take(flush, started, may_end=False)
            audio_s = state.n_fed_samples / self.sample_rate_hz
            state.final = self._final(audio_s)
        return state.final

    @property
    def n_chunks(self) -> int:
        """Steps of the network so far."""
        return self._state.n_chunks

    def close(self) -> None:
        """Close the engine, and what else was opened for it."""
        self._opened.close()
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

    @property
    def _step_s(self) -> float:
        """Seconds between two steps of logits."""
        n_frames = self._spec.chunk_frames // self._spec.logits_per_chunk
        return n_frames * self._front_end.hop_ms / MILLISECONDS_PER_SECOND

    def _begin(self, first_step: int) -> _Utterance:
        return _Utterance(
            first_step,
            {state.input: _initial(state) for state in self.bundle.states},
            self._new_decoder(),
        )

    def _take(
        self, resampled: NDArray[np.float32], started: float, *, may_end: bool = True
    ) -> tuple[Event, ...]:
        """Run every step that `resampled` completes; `started` is the clock then."""
        state = self._state
        events = []
        for features in state.frames.feed(resampled):
            state.n_chunks += 1
            if state.n_chunks <= self._first_chunk:
                self._watch(features, None)
                continue
            before = state.utterance.text
            logits = self._step(features)
            state.utterance.decoder.feed(logits)
            text = state.utterance.text = state.utterance.decoder.text
            self._watch(features, logits)
            is_over = may_end and state.endpointer.is_over(has_words=bool(text))
            now = self._clock()
            state.compute_s += now - started
            started = now
            if is_over:
                if text:
                    events.append(self._final(self._heard_s()))
                state.utterance = self._begin(state.n_chunks * len(logits))
                state.endpointer.begin()
            elif text != before:
                events.append(self._event("partial", text, self._heard_s()))
        state.compute_s += self._clock() - started
        return tuple(events)

    def _step(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits, (T', V), of a chunk of features, (T, M)."""
        utterance = self._state.utterance
        outputs = self.engine.run(
            SIGNATURE, {"features": features[None], **utterance.tensors}
        )
        utterance.tensors = {
            tensor.input: outputs[tensor.output] for tensor in self.bundle.states
        }
        logits: NDArray[np.float32] = outputs["logits"][0]
        return logits

    def _watch(
        self, features: NDArray[np.float32], logits: NDArray[np.float32] | None
    ) -> None:
        """Tell the endpointer of a chunk; what was spared had no words."""
        spec = self._spec
        level = features.mean(axis=1) / spec.feature_scale + spec.feature_mean
        per_step = level.reshape(spec.logits_per_chunk, -1).mean(axis=1)
        blanks = np.ones(spec.logits_per_chunk, np.float32)
        if logits is not None:
            letters = logits[:, : len(spec.alphabet)]
            wide = np.exp(letters - letters.max(axis=1, keepdims=True))
            blanks = wide[:, spec.blank] / wide.sum(axis=1)
        self._state.endpointer.feed(blanks, per_step * DECIBEL)
        if logits is None:
            self._state.endpointer.begin()

    def _heard_s(self) -> float:
        """Seconds of audio up to the end of the last step's last window."""
        n_frames = self._state.n_chunks * self._spec.chunk_frames
        heard_s = self._front_end.samples_of(n_frames) / self._spec.sample_rate_hz
        return min(heard_s, self._state.n_fed_samples / self.sample_rate_hz)

    def _final(self, audio_s: float) -> Event:
        decoder = self._state.utterance.decoder
        started = self._clock()
        words = decoder.words(whole=True)
        intent, rejected = None, False
        if isinstance(decoder, GrammarDecoder) and decoder.grammar.intents:
            intent = decoder.intent()
            rejected = bool(words) and intent is None
        self._state.compute_s += self._clock() - started
        if rejected:
            words = []
        return replace(
            self._event("final", " ".join(word.text for word in words), audio_s),
            words=tuple(self._timed(word, audio_s) for word in words),
            intent=intent,
            rejected=rejected,
        )

    def _timed(self, word: Word, audio_s: float) -> TimedWord:
        first = self._state.utterance.first_step

        def seconds(step: int) -> float:
            later = (first + step) * self._step_s - DELAY_S
            return round(min(max(first * self._step_s, later), audio_s), 3)

        start_s, end_s = seconds(word.start), seconds(word.end)
        return TimedWord(word.text, start_s, end_s, round(word.confidence, 3), word.tag)

    def _event(
        self, kind: Literal["partial", "final"], text: str, audio_s: float
    ) -> Event:
        spent_ms = self._state.compute_s * MILLISECONDS_PER_SECOND
        start_s = min(self._state.utterance.first_step * self._step_s, audio_s)
        n_chunks = self._state.n_chunks
        return Event(
            kind, text, round(start_s, 3), audio_s, round(spent_ms, 3), n_chunks
        )


def open_transcriber(
    name_or_path: str,
    sample_rate_hz: int,
    engine: str = "litert",
    precision: str = "int8",
    threads: int = 1,
    choice: DecodingChoice | None = None,
) -> Transcriber:
    """Return a transcriber of a ready-made bundle or of the bundle at a path.

    Without a choice, texts are those of `tiedge transcribe`: by the ready-made language
    model where it suits the bundle. Close it, or use it in a `with`. Raises AudioError
    for a sample rate outside the supported range, BundleError if the bundle breaks its
    contract or is for pictures, SettingError if the engine is unknown or missing or the
    bundle has no such file for it, EngineError if it cannot run the file, and what
    `DecodingChoice.open` does.
    """
    check_rate(sample_rate_hz)
    choice = choice or DecodingChoice()
    with ExitStack() as opened:
        bundle, own = open_speech(name_or_path, engine, precision, threads)
        opened.enter_context(own)
        speech = require_speech(bundle)
        opening = choice.open(speech.alphabet, speech.vocabulary, engine, threads)
        decoding = opened.enter_context(opening)
        transcriber = Transcriber(bundle, own, sample_rate_hz, decoding=decoding)
        transcriber._opened = opened.pop_all()
    return transcriber


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
        verb = "write" if bundle.task == "language" else "filter"
        raise BundleError(
            f'{bundle.folder}: task is "{bundle.task}", expected "speech";'
            f" use tiedge {verb}"
        )
    return bundle.speech


def _initial(state: StateSpec) -> NDArray[np.float32]:
    return np.full(state.shape, state.reset, np.float32)
