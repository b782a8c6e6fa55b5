import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from edge_runtime.bundle import Bundle
from edge_runtime.engines import open_engine
from edge_runtime.transcriber import Transcriber
from tests.demo_app.hand_made_bundles import spoken_tones
from tests.demo_app.served import Served, events_of

RATE_HZ = 16000
SOUND = spoken_tones(RATE_HZ)


def transcribe(
    served: Served, pieces: list[bytes], **greeting: Any
) -> list[dict[str, Any]]:
    """Return all events of one transcription."""
    with served.transcription(**{"sample_rate_hz": RATE_HZ} | greeting) as client:
        try:
            for piece in pieces:
                client.send(piece)
            client.send("end")
        except ConnectionClosed:
            pass  # refused early; the reason waits to be read
        return events_of(client)


def error(served: Served, pieces: list[bytes], **greeting: Any) -> str:
    *_, last = transcribe(served, pieces, **greeting)
    assert last["kind"] == "error"
    found: str = last["message"]
    return found


def cut(data: bytes, n_bytes: int) -> list[bytes]:
    return [data[start : start + n_bytes] for start in range(0, len(data), n_bytes)]


def tones_greeting(rest: str) -> str:
    """Return a greeting for the served bundle, with more keys."""
    known = '"sample_rate_hz": 16000, "bundle": "tones", "precision": "fp32"'
    return f"{{{known}, {rest}}}"


def without_time(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**event, "compute_ms": None} for event in events]


def test_events_are_the_runtime_s(served: Served) -> None:
    """What is sent is what the runtime's transcriber says, but for the time it took."""
    bundle = Bundle.open(served.settings.bundles[1])
    transcriber = Transcriber(bundle, open_engine("litert", bundle.models[0]), RATE_HZ)
    events = (*transcriber.feed(SOUND), transcriber.finish())
    transcriber.close()

    ready, *found = transcribe(served, cut(SOUND.tobytes(), 4000))

    expected = [json.loads(json.dumps(asdict(event))) for event in events]
    assert {"kind": "ready"} == ready
    assert without_time(expected) == without_time(found)
    assert "ab" == found[-1]["text"]


@pytest.mark.parametrize("piece_bytes", [100, 396, 65536])
def test_pieces_do_not_show(served: Served, piece_bytes: int) -> None:
    """The transcript is the same however the sound is cut."""
    sound = spoken_tones(8000).tobytes()

    *_, final = transcribe(served, cut(sound, piece_bytes), sample_rate_hz=8000)

    assert ("final", "ab") == (final["kind"], final["text"])


def test_16_bit_samples(served: Served) -> None:
    """Whole numbers of 16 bits are understood as well as floats."""
    data = np.round(SOUND * 32767).astype("<i2").tobytes()

    *_, final = transcribe(served, cut(data, 4000), samples="int16")

    assert "ab" == final["text"]


def test_text_grows_while_sound_comes_in(served: Served) -> None:
    """A partial event arrives before the sound has ended."""
    with served.transcription(sample_rate_hz=RATE_HZ) as client:
        for piece in cut(SOUND[: len(SOUND) // 2].tobytes(), 4000):
            client.send(piece)
        assert {"kind": "ready"} == json.loads(client.recv(timeout=10))
        partial = json.loads(client.recv(timeout=10))

    assert ("partial", "a") == (partial["kind"], partial["text"])


def test_two_at_once_do_not_mix(served: Served) -> None:
    """Two transcriptions share an engine, not their state."""
    half = len(SOUND) // 2
    with (
        served.transcription(sample_rate_hz=RATE_HZ) as first,
        served.transcription(sample_rate_hz=RATE_HZ) as second,
    ):
        pieces = zip(
            cut(SOUND[:half].tobytes(), 4000),
            cut(SOUND[half:].tobytes(), 4000),
            strict=False,
        )
        for of_first, of_second in pieces:
            first.send(of_first)
            second.send(of_second)
        first.send("end")
        second.send("end")
        texts = [events_of(client)[-1]["text"] for client in (first, second)]

    assert ["a", "b"] == texts


@pytest.mark.parametrize("rate_hz", [5000, 0, -8000, 400_000])
def test_rate_outside_the_range(served: Served, rate_hz: int) -> None:
    """5 kHz holds too little of speech; the refusal states the range."""
    found = error(served, [], sample_rate_hz=rate_hz)

    assert found.startswith(f"sample rate {rate_hz} Hz: expected 8000 to 192000")


def test_empty_recording(served: Served) -> None:
    """The end without any sound is an error rather than an empty transcript."""
    found = error(served, [])

    assert "recording: no samples, expected some sound; record again" == found


def test_silence_is_an_empty_transcript(served: Served) -> None:
    """Sound in which nobody speaks ends well, with no text."""
    *_, final = transcribe(served, [np.zeros(8000, np.float32).tobytes()])

    assert ("final", "") == (final["kind"], final["text"])


@pytest.mark.parametrize(
    ("piece", "kind", "expected"),
    [
        (
            b"\xff\xd8\xff\xe0 this is a photo.",
            "float32",
            "recording: a message of 21 bytes is no whole number of float32 samples",
        ),
        (
            np.full(8, 1e20, "<f4").tobytes(),
            "float32",
            "recording: these bytes are no float32 sound: found samples beyond ±8,"
            " expected ±1",
        ),
        (
            np.full(8, np.nan, "<f4").tobytes(),
            "float32",
            "recording: these bytes are no float32 sound: found samples beyond ±8,"
            " expected ±1",
        ),
        (
            b"abc",
            "int16",
            "recording: a message of 3 bytes is no whole number of int16 samples",
        ),
    ],
    ids=["photo", "huge", "nan", "odd"],
)
def test_bytes_that_are_no_sound(
    served: Served, piece: bytes, kind: str, expected: str
) -> None:
    """Bytes that cannot be samples end the transcription with the reason."""
    found = error(served, [piece], samples=kind)

    assert expected == found


def test_text_amid_sound(served: Served) -> None:
    """The only text that may follow the greeting is the end."""
    with served.transcription(sample_rate_hz=RATE_HZ) as client:
        client.send("stop")
        *_, last = events_of(client)

    assert (
        "recording: found the text 'stop', expected float32 samples or \"end\""
    ) == last["message"]


def test_message_beyond_the_limit(served: Served) -> None:
    """A message that is too long closes the connection; 1009 is "too big"."""
    with served.transcription(sample_rate_hz=RATE_HZ) as client:
        client.send(b"\0" * (served.settings.max_message_bytes + 4))
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                client.recv(timeout=10)

    assert closed.value.rcvd is not None
    assert 1009 == closed.value.rcvd.code


def test_client_that_falls_silent(served: Served) -> None:
    """Without messages the server gives the engine back and says why."""
    with served.transcription(sample_rate_hz=RATE_HZ) as client:
        *_, last = events_of(client)

    assert (
        'transcribe: no message for 1 s, expected sound or "end"; connect again'
    ) == last["message"]


def test_words_that_are_expected_are_all_that_is_written(served: Served) -> None:
    """Where the network hears two letters, the nearest of the words stands."""
    *_, last = transcribe(served, cut(SOUND.tobytes(), 4000), words=["B", "bb"])

    assert ("final", {"b", "bb"} >= {last["text"]}) == (last["kind"], True)


def test_a_grammar_tells_what_is_asked_for(served: Served) -> None:
    """In the final event."""
    grammar = "#JSGF V1.0; public <order> = ab {what};"

    *_, last = transcribe(served, cut(SOUND.tobytes(), 4000), grammar=grammar)

    assert {"name": "order", "slots": {"what": "ab"}} == last["intent"]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            b"RIFF",
            "greeting: found binary data, expected JSON text such as"
            ' {"sample_rate_hz": 16000}',
        ),
        (
            "{}",
            "greeting: sample_rate_hz: Field required, found {}",
        ),
        (
            '{"sample_rate_hz": "16000"}',
            "greeting: sample_rate_hz: Input should be a valid integer, found '16000'",
        ),
        (
            '{"sample_rate_hz": 16000, "speed": 2}',
            "greeting: speed: Extra inputs are not permitted, found 2",
        ),
        (
            '{"sample_rate_hz": 16000, "samples": "int8"}',
            "greeting: samples: Input should be 'float32' or 'int16', found 'int8'",
        ),
        (
            '{"sample_rate_hz": 16000, "bundle": "x"}',
            'no bundle "x" is served, expected one of blur tones',
        ),
        (
            tones_greeting('"words": ["a"], "grammar": "coffee"'),
            "greeting: words, grammar and language_model exclude each other, expected"
            " one of them at most",
        ),
        (tones_greeting('"words": [" "]'), "greeting: words hold no word"),
        (
            tones_greeting('"words": ["é"]'),
            "greeting: words: word 'é': found 'é', expected letters of \"'ab\"",
        ),
        (
            tones_greeting('"grammar": "tea"'),
            "grammar, line 1: found 'tea', expected #JSGF V1.0;",
        ),
        (
            tones_greeting('"language_model": "x"'),
            'no bundle "x" is served, expected one of blur tones',
        ),
        (
            '{"sample_rate_hz": 16000, "bundle": "blur", "precision": "fp32"}',
            'blur: task is "picture", expected "speech"; use tiedge filter',
        ),
    ],
)
def test_wrong_greeting(served: Served, message: str | bytes, expected: str) -> None:
    """Each mistake in the greeting is named, with what would be right."""
    with served.websocket() as client:
        client.send(message)
        *_, last = events_of(client)

    assert expected == last["message"]


def test_greeting_that_is_no_json(served: Served) -> None:
    """Text that is no JSON is named so."""
    with served.websocket() as client:
        client.send("hello")
        *_, last = events_of(client)

    assert last["message"].startswith("greeting: message: Invalid JSON")


def test_client_that_leaves_frees_the_engine(served: Served) -> None:
    """After many clients that hang up, the engine still serves the next one."""
    for _ in range(3 * served.settings.max_engines):
        with served.transcription(sample_rate_hz=RATE_HZ) as client:
            client.send(SOUND[:1000].tobytes())

    *_, final = transcribe(served, cut(SOUND.tobytes(), 4000))

    assert "ab" == final["text"]
