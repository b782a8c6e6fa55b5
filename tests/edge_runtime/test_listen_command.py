"""`tiedge listen`: PCM from standard input, and Wyoming's own client."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tiedge
from edge_runtime.speech.sources import BLOCK_S, SAMPLE_BYTES, Waiting
from tests.demo_app.hand_made_bundles import spoken_tones, tones_bundle

RATE_HZ = 16_000
ROOT = Path(tiedge.__file__).parent
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of a bundle that writes low tones as a, high ones as b."""
    return str(tones_bundle(tmp_path_factory.mktemp("bundles")))


def command(tones: str, *arguments: str) -> list[str]:
    common = ["--bundle", tones, "--precision", "fp32"]
    return [sys.executable, "tiedge.py", "listen", *common, *arguments]


def pcm(samples: NDArray[np.float32]) -> bytes:
    return (samples * 32767).astype("<i2").tobytes()


def twice() -> bytes:
    """Return "ab", a second of silence, and "ab" again."""
    said = spoken_tones(RATE_HZ)
    return pcm(np.concatenate([said, np.zeros(RATE_HZ, np.float32), said]))


def listen(tones: str, sound: bytes, *arguments: str) -> Any:
    return subprocess.run(
        command(tones, "--stdin", *arguments),
        input=sound,
        capture_output=True,
        cwd=ROOT,
        timeout=PATIENCE_S,
        check=False,
    )


def test_each_utterance_is_a_line(tones: str) -> None:
    """A pause ends it; the last one ends with the sound."""
    done = listen(tones, twice())

    assert (0, b"ab\nab\n", b"") == (done.returncode, done.stdout, done.stderr)


def wav_stream(samples: NDArray[np.float32], n_channels: int, rate_hz: int) -> bytes:
    """Return a WAV whose header has no length, as arecord and ffmpeg write to pipes."""
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(n_channels)
        file.setsampwidth(SAMPLE_BYTES)
        file.setframerate(rate_hz)
        file.writeframes(pcm(np.repeat(samples, n_channels)))
    data = bytearray(made.getvalue())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    return bytes(data)


@pytest.mark.parametrize(("n_channels", "rate_hz"), [(1, 16_000), (2, 44_100)])
def test_a_wav_stream_says_its_rate_itself(
    tones: str, n_channels: int, rate_hz: int
) -> None:
    """That is what arecord writes unless told otherwise."""
    sound = wav_stream(spoken_tones(rate_hz), n_channels, rate_hz)

    done = listen(tones, sound)

    assert (0, b"ab\n", b"") == (done.returncode, done.stdout, done.stderr)


def test_events_are_lines_of_json(tones: str) -> None:
    """Partial ones as well; the last is final, though nothing was said behind it."""
    silence = pcm(np.zeros(2 * RATE_HZ, np.float32))

    done = listen(tones, twice() + silence, "--json")

    events = [json.loads(line) for line in done.stdout.splitlines()]
    finals = [event for event in events if event["kind"] == "final"]
    assert ["ab", "ab", ""] == [event["text"] for event in finals]
    assert "a" == events[0]["text"]
    assert "partial" == events[0]["kind"]
    words = [word["text"] for event in finals for word in event["words"]]
    assert ["ab", "ab"] == words


def test_it_ends_after_the_seconds_that_are_asked_for(tones: str) -> None:
    """What was said until then is final."""
    done = listen(tones, twice(), "--seconds", "2.0")

    assert (0, 1) == (done.returncode, done.stdout.count(b"\n"))


@pytest.mark.parametrize(
    ("sound", "arguments", "message"),
    [
        (b"123", (), b"stdin: ends within a sample, expected 16-bit little-endian"),
        (b"RIFF", (), b"stdin: a WAV stream, but ends within its header; expected"),
        (b"RIFF\0\0\0\0AVI \0", (), b"stdin: a WAV stream, but not a WAVE file; exp"),
        (
            wav_stream(np.zeros(9, np.float32), 1, 8_000),
            ("--rate", "16000"),
            b"stdin: a WAV stream at 8000 Hz, expected --rate 16000; leave out --rate",
        ),
        (b"", ("--rate", "5000"), b"--rate: found 5000, expected 8000 to 192000"),
        (b"", ("--wyoming", "nowhere"), b"--wyoming: clients send the sound, and"),
    ],
)
def test_mistakes_are_one_line(
    tones: str, sound: bytes, arguments: tuple[str, ...], message: bytes
) -> None:
    """The line names what was found and what was expected."""
    done = listen(tones, sound, *arguments)

    assert 1 == done.returncode
    assert message in done.stderr
    assert 1 == done.stderr.count(b"\n")


def test_ctrl_c_ends_what_is_being_said(tones: str) -> None:
    """Its text is written; the status says that it was stopped."""
    process = subprocess.Popen(
        command(tones, "--stdin"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdin is not None
    process.stdin.write(twice()[: len(pcm(spoken_tones(RATE_HZ)))])
    process.stdin.flush()
    time.sleep(4.0)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE_S)

    assert b"ab\n" == out
    assert 130 == process.returncode


def test_sound_that_nobody_hears_is_counted() -> None:
    """The queue holds so much, never waits, and gives what it has in order."""
    waiting = Waiting(RATE_HZ, bound_s=5 * BLOCK_S)
    blocks = [np.full(round(BLOCK_S * RATE_HZ), n, np.float32) for n in range(8)]

    for block in blocks:
        waiting.put(block)

    assert waiting.lost_s == pytest.approx(3 * BLOCK_S)
    heard = iter(waiting)
    assert [0, 1, 2] == [int(next(heard)[0]) for _ in range(3)]
    waiting.put(blocks[7])
    waiting.end()
    assert [3, 4, 7] == [int(block[0]) for block in heard]


@pytest.fixture(scope="module")
def server(tones: str) -> Iterator[int]:
    """Yield the port of a server for Wyoming clients."""
    pytest.importorskip("wyoming", reason="wyoming is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    process = subprocess.Popen(
        command(tones, "--wyoming", f"127.0.0.1:{port}"),
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    assert f"serves Wyoming clients at tcp://127.0.0.1:{port}".encode() in line
    yield port
    process.terminate()
    process.communicate(timeout=PATIENCE_S)


def ask(port: int, *events: Any, until: str) -> list[tuple[str, dict[str, Any]]]:
    """Return what the server answers, up to an event of a type."""
    from wyoming.client import AsyncTcpClient

    async def talk() -> list[tuple[str, dict[str, Any]]]:
        found: list[tuple[str, dict[str, Any]]] = []
        async with AsyncTcpClient("127.0.0.1", port) as client:
            for event in events:
                await client.write_event(event.event())
            while not found or found[-1][0] != until:
                answer = await asyncio.wait_for(client.read_event(), PATIENCE_S)
                assert answer is not None, found
                found.append((answer.type, answer.data))
        return found

    return asyncio.run(talk())


def sent(sound: bytes, width: int = 2, channels: int = 1) -> list[Any]:
    from wyoming.audio import AudioChunk, AudioStart, AudioStop

    pieces = [sound[start : start + 4096] for start in range(0, len(sound), 4096)]
    return [
        AudioStart(RATE_HZ, width, channels),
        *(AudioChunk(RATE_HZ, width, channels, piece) for piece in pieces),
        AudioStop(),
    ]


def test_wyoming_s_own_client_is_told_what_there_is(server: int) -> None:
    """Name, language, and that texts come while one speaks."""
    from wyoming.info import Describe

    ((_, info),) = ask(server, Describe(), until="info")

    (program,) = info["asr"]
    assert "tiedge" == program["name"]
    assert program["supports_transcript_streaming"]
    assert [("tones", ["en"])] == [
        (m["name"], m["languages"]) for m in program["models"]
    ]


def test_wyoming_s_own_client_gets_the_text(server: int) -> None:
    """Utterance by utterance, and all of it at the end; again on a new connection."""
    for _ in range(2):
        found = ask(server, *sent(twice()), until="transcript-stop")

        assert [
            ("transcript-start", {"language": "en"}),
            ("transcript-chunk", {"text": "ab"}),
            ("transcript-chunk", {"text": " ab"}),
            ("transcript", {"text": "ab ab", "language": "en"}),
            ("transcript-stop", {}),
        ] == found


def test_wide_samples_of_two_channels_are_understood(server: int) -> None:
    """Channels are mixed."""
    one = (spoken_tones(RATE_HZ) * (2**31 - 1)).astype("<i4")
    sound = np.repeat(one[:, None], 2, axis=1).tobytes()

    found = dict(
        ask(server, *sent(sound, width=4, channels=2), until="transcript-stop")
    )

    assert "ab" == found["transcript"]["text"]


def test_a_client_s_mistakes_are_told(server: int) -> None:
    """The connection stays, and the next request is answered."""
    from wyoming.asr import Transcribe
    from wyoming.audio import AudioChunk, AudioStart

    early = AudioChunk(RATE_HZ, 2, 1, b"12")
    for events, message in (
        ([early], "audio-chunk: came before audio-start"),
        ([AudioStart(5000, 2, 1)], "sample rate 5000 Hz: expected 8000 to 192000 Hz"),
        ([Transcribe(language="fr")], "language 'fr': expected en"),
        (
            [AudioStart(RATE_HZ, 2, 1), AudioChunk(RATE_HZ, 2, 1, b"123")],
            "audio-chunk: ends within a sample",
        ),
        (
            [AudioStart(RATE_HZ, 2, 1), AudioChunk(8000, 2, 1, b"12")],
            "audio-chunk: is at 8000 Hz, expected 16000 Hz as audio-start has it",
        ),
    ):
        *_, (kind, data) = ask(server, *events, until="error")

        assert message in data["text"], kind
    assert (
        "ab ab"
        == dict(ask(server, *sent(twice()), until="transcript-stop"))["transcript"][
            "text"
        ]
    )


def test_a_port_that_is_taken_is_told(tones: str, server: int) -> None:
    """One line, with another way."""
    done = subprocess.run(
        command(tones, "--wyoming", f"127.0.0.1:{server}"),
        capture_output=True,
        cwd=ROOT,
        timeout=PATIENCE_S,
        env=os.environ,
        check=False,
    )

    assert 1 == done.returncode
    assert f"--wyoming 127.0.0.1:{server}: cannot be taken:".encode() in done.stderr
    assert 1 == done.stderr.count(b"\n")
