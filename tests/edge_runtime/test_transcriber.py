from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_runtime.bundle import Bundle, Signature
from edge_runtime.engine import Engine
from edge_runtime.errors import AudioError, BundleError, SettingError
from edge_runtime.speech.endpoint import NEVER, EndpointSettings
from edge_runtime.transcriber import FLUSH_MS, Event, Transcriber, open_transcriber
from tests.sample_bundles import picture_manifest, speech_manifest, write_bundle

RATE_HZ = 8000
CHUNK_SAMPLES = 12 * 80


class LoudnessEngine(Engine):
    """Writes `a` for a loud logit step, `b` for a loud one after 8 loud ones.

    Its state counts loud steps, so a state that is lost, kept or mixed up shows.
    """

    def __init__(self, signature: Signature) -> None:
        super().__init__("loudness", "1", "sample.tflite", [signature], threads=1)
        self.n_calls = 0

    def _call(
        self, signature: Signature, inputs: tuple[NDArray[Any], ...]
    ) -> Sequence[NDArray[Any]]:
        features, state = inputs
        self.n_calls += 1
        count = float(state[0, 0])
        logits = np.zeros((1, 4, 5), np.float32)
        for k in range(4):
            loud = float(features[0, 3 * k : 3 * k + 3].mean()) > 0.0
            count += loud
            symbol = 0 if not loud else 3 if count <= 8 else 4
            logits[0, k, symbol] = 9.0
        return logits, np.full((1, 8), count, np.float32)

    def _release(self) -> None:
        pass


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundles") / "sample"
    return Bundle.open(write_bundle(folder, speech_manifest()))


@pytest.fixture
def transcriber(bundle: Bundle) -> Transcriber:
    return make_transcriber(bundle)


def make_transcriber(
    bundle: Bundle,
    rate_hz: int = RATE_HZ,
    first_chunk: int = 0,
    endpoints: EndpointSettings | None = None,
) -> Transcriber:
    clock = iter(range(1_000_000))
    engine = LoudnessEngine(bundle.models[0].signatures[0])
    return Transcriber(
        bundle,
        engine,
        rate_hz,
        clock=lambda: next(clock) / 1000,
        endpoints=endpoints,
        first_chunk=first_chunk,
    )


def bursts(rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
    """Return six bursts of noise of 0.1 s with 0.1 s of silence between them."""
    n = rate_hz // 10
    noise = np.random.default_rng(0).standard_normal((6, n)).astype(np.float32)
    return np.concatenate([noise, np.zeros((6, n), np.float32)], axis=1).ravel()


def transcribe(transcriber: Transcriber, parts: Sequence[NDArray[np.float32]]) -> str:
    for part in parts:
        transcriber.feed(part)
    return transcriber.finish().text


def test_the_text_grows_with_the_audio(transcriber: Transcriber) -> None:
    """Each partial event tells a longer text, the final one all of it."""
    partials = transcriber.feed(bursts())
    final = transcriber.finish()

    texts = [event.text for event in partials]
    assert sorted(set(texts), key=len) == texts
    assert {"partial"} == {event.kind for event in partials}
    assert ("final", 1.2) == (final.kind, final.audio_s)
    assert all(final.text.startswith(text) for text in texts)
    assert set("ab") == set(final.text)


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 16_000, 44_100])
@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_chunking_does_not_show(
    bundle: Bundle, rate_hz: int, data: st.DataObject
) -> None:
    """Samples cut anywhere, even into nothing, give the same text and end time."""
    samples = bursts(rate_hz)
    expected = make_transcriber(bundle, rate_hz)
    transcribe(expected, [samples])
    cuts = data.draw(st.lists(st.integers(0, len(samples)), max_size=30))
    found = make_transcriber(bundle, rate_hz)

    transcribe(found, np.split(samples, sorted(cuts)))

    assert expected.finish().text == found.finish().text
    assert expected.finish().audio_s == found.finish().audio_s


def test_one_sample_at_a_time_gives_the_same_events(bundle: Bundle) -> None:
    """The finest chunking writes the same partial texts at the same times."""
    samples = bursts()[: 3 * CHUNK_SAMPLES]
    expected = make_transcriber(bundle).feed(samples)
    fine = make_transcriber(bundle)

    found = [event for sample in samples for event in fine.feed(sample[None])]

    assert [event.text for event in expected] == [event.text for event in found]


def engine_calls(transcriber: Transcriber) -> int:
    engine = transcriber.engine
    assert isinstance(engine, LoudnessEngine)
    return engine.n_calls


@pytest.mark.parametrize(
    ("n_samples", "n_calls"),
    [
        (0, 0),
        (1, 0),
        (CHUNK_SAMPLES + 119, 0),
        (CHUNK_SAMPLES + 120, 1),
        (CHUNK_SAMPLES + 121, 1),
        (2 * CHUNK_SAMPLES + 119, 1),
        (2 * CHUNK_SAMPLES + 120, 2),
    ],
)
def test_a_step_runs_when_its_last_window_is_full(
    transcriber: Transcriber, n_samples: int, n_calls: int
) -> None:
    """A chunk of 12 frames needs 11 hops and a window, and no sample more."""
    transcriber.feed(np.zeros(n_samples, np.float32))

    assert n_calls == engine_calls(transcriber)


@pytest.mark.parametrize("n_samples", [0, 1, 5000, 10 * CHUNK_SAMPLES])
def test_finish_flushes_with_silence(transcriber: Transcriber, n_samples: int) -> None:
    """Steps go on until the last sample lies FLUSH_MS behind, and no step longer."""
    transcriber.feed(np.zeros(n_samples, np.float32))

    transcriber.finish()

    n_heard = engine_calls(transcriber) * CHUNK_SAMPLES + 120
    n_wanted = n_samples + FLUSH_MS * RATE_HZ // 1000
    assert n_wanted <= n_heard < n_wanted + CHUNK_SAMPLES


def test_finishing_twice_changes_nothing(transcriber: Transcriber) -> None:
    """The second finish runs nothing and returns the same event."""
    transcriber.feed(bursts())
    first = transcriber.finish()
    n_calls = engine_calls(transcriber)

    assert first is transcriber.finish()
    assert n_calls == engine_calls(transcriber)


def test_feeding_after_finish_is_refused(transcriber: Transcriber) -> None:
    """Audio after the end is an error that names the way out."""
    transcriber.finish()

    with pytest.raises(AudioError) as caught:
        transcriber.feed(np.zeros(1, np.float32))

    assert "transcriber: fed after finish(); call reset() first" == str(caught.value)


@pytest.mark.parametrize("finished", [True, False])
def test_reset_forgets_everything(transcriber: Transcriber, finished: bool) -> None:
    """After reset the same audio gives the same text as at first."""
    expected = transcribe(transcriber, [bursts()])
    transcriber.reset()
    transcriber.feed(bursts()[:3333])
    if finished:
        transcriber.finish()
    transcriber.reset()

    assert expected == transcribe(transcriber, [bursts()])
    assert 1.2 == transcriber.finish().audio_s


def pause(seconds: float, rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
    return np.zeros(int(seconds * rate_hz), np.float32)


def finals(transcriber: Transcriber, samples: NDArray[np.float32]) -> list[Event]:
    events = (*transcriber.feed(samples), transcriber.finish())
    return [event for event in events if event.kind == "final"]


def test_a_pause_ends_an_utterance(bundle: Bundle) -> None:
    """What comes behind it begins anew, and words keep their times."""
    alone = finals(make_transcriber(bundle), bursts())[0]
    both = np.concatenate([bursts(), pause(1.0), bursts(), pause(0.3)])

    first, second = finals(make_transcriber(bundle), both)

    assert alone.text == first.text
    assert second.text.startswith("aa")  # the state is that of a beginning
    assert 0.0 == first.start_s
    assert 1.2 < first.audio_s < 2.2
    assert first.audio_s == pytest.approx(second.start_s, abs=0.02)
    assert first.audio_s < second.words[0].start_s
    assert 3.7 == second.audio_s


def test_nothing_ends_an_utterance_that_is_never_to_end(bundle: Bundle) -> None:
    """Neither a pause, nor its length, nor that nothing is said at first."""
    both = np.concatenate([pause(6.0), bursts(), pause(30.0), bursts()])

    (only,) = finals(make_transcriber(bundle, endpoints=NEVER), both)

    assert 0.0 == only.start_s
    assert only.words[0].start_s < 8 < 36 < only.words[-1].end_s


def test_noise_that_goes_on_needs_a_longer_pause(bundle: Bundle) -> None:
    """Where it never falls still, blanks alone tell; a short gap does not."""
    noise = np.random.default_rng(1).normal(0.0, 0.01, RATE_HZ * 2).astype(np.float32)
    found = make_transcriber(bundle)

    found.feed(np.concatenate([bursts(), noise[: RATE_HZ // 2]]))
    still_open = found.feed(noise[: RATE_HZ // 5])

    assert not [event for event in still_open if event.kind == "final"]


def test_an_utterance_without_a_pause_is_cut(bundle: Bundle) -> None:
    """Memory is bounded: in the next gap behind 20 s of speech a new one begins."""
    speech = np.tile(np.concatenate([bursts(), pause(0.1)]), 20)  # 26 s

    found = finals(make_transcriber(bundle), speech)

    assert 2 == len(found)
    assert 20.0 <= found[0].audio_s < 28.5


def test_what_lies_before_a_pause_can_be_spared(bundle: Bundle) -> None:
    """From the step on that a final event tells, all is as it was without."""
    samples = np.concatenate([bursts(), pause(1.0), bursts(), pause(1.0), bursts()])
    first, *expected = finals(make_transcriber(bundle), samples)
    later = make_transcriber(bundle, first_chunk=first.n_chunks)

    found = finals(later, samples)

    told = [(e.text, e.start_s, e.audio_s, e.words, e.n_chunks) for e in expected]
    assert told == [(e.text, e.start_s, e.audio_s, e.words, e.n_chunks) for e in found]
    assert found[-1].n_chunks - first.n_chunks == engine_calls(later)


def test_compute_time_adds_up(transcriber: Transcriber) -> None:
    """Each event's time includes that of the events before it."""
    partials = transcriber.feed(bursts())
    spent = [event.compute_ms for event in [*partials, transcriber.finish()]]

    assert sorted(spent) == spent
    assert spent[0] > 0


def test_no_audio_gives_no_text(transcriber: Transcriber) -> None:
    """Finishing without a sample gives an empty final event."""
    final = transcriber.finish()

    assert ("final", "", 0.0) == (final.kind, final.text, final.audio_s)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 3), np.float32), "samples: shape is (2, 3), expected (samples,)"),
        (
            np.array([0.0, np.nan], np.float32),
            "samples: hold NaN or infinity, expected numbers in ±1",
        ),
        (
            np.array([0.0, -1e38], np.float32),
            "samples: reach 1e+38, expected ±1, and at most ±16; scale them to ±1"
            " first",
        ),
    ],
)
def test_odd_samples_are_refused(
    transcriber: Transcriber, samples: NDArray[np.float32], message: str
) -> None:
    """Samples of another shape or scale, or without a value, change nothing."""
    with pytest.raises(AudioError) as caught:
        transcriber.feed(samples)

    assert message == str(caught.value)
    assert 0.0 == transcriber.finish().audio_s


def test_low_rates_are_refused(bundle: Bundle) -> None:
    """5 kHz audio is refused before anything runs."""
    with pytest.raises(
        AudioError, match="sample rate 5000 Hz: expected 8000 to 192000"
    ):
        make_transcriber(bundle, 5000)


def test_a_picture_bundle_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    """A bundle of the other task is refused with the verb that takes it."""
    pictures = Bundle.open(write_bundle(tmp_path / "pictures", picture_manifest()))
    engine = LoudnessEngine(bundle.models[0].signatures[0])

    with pytest.raises(BundleError) as caught:
        Transcriber(pictures, engine, RATE_HZ)

    assert (
        f'{pictures.folder}: task is "picture", expected "speech"; use tiedge filter'
    ) == str(caught.value)


def test_an_unknown_engine_is_refused() -> None:
    """An engine that a device cannot have is refused with those that it can."""
    with pytest.raises(SettingError) as caught:
        open_transcriber("digits", RATE_HZ, engine="torch")

    assert (
        "engine: found torch, expected one of litert tflite-runtime executorch"
    ) == str(caught.value)
