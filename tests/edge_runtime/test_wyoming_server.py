"""`tiedge listen --wyoming` with clients that send what they should not."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tiedge
from tests.demo_app.hand_made_bundles import spoken_tones, tones_bundle

pytest.importorskip("wyoming", reason="wyoming is not installed")
RATE_HZ = 16_000
ROOT = Path(tiedge.__file__).parent
PATIENCE_S = 60.0
FORM = {"rate": RATE_HZ, "width": 2, "channels": 1}
MANY = 20
"""Clients, more than are served."""


LEAVES_AT_ONCE = struct.pack("ii", 1, 0)
"""Linger: closing resets the connection."""


class Server:
    """A server in a process of its own."""

    def __init__(self, bundle: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        address = f"127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "tiedge.py", "listen", "--bundle", bundle),
                *("--precision", "fp32", "--wyoming", address),
            ],
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=os.environ,
        )
        self.said()

    def said(self) -> str:
        """Return the next line on stderr."""
        assert self.process.stderr is not None
        return self.process.stderr.readline().decode().strip()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)

    def memory_kib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tones_bundle(tmp_path_factory.mktemp("bundles")))
    yield made
    made.process.terminate()
    made.process.communicate(timeout=PATIENCE_S)


def packed(kind: str, data: dict[str, Any], payload: bytes = b"") -> bytes:
    header = {"type": kind, "data": data, "payload_length": len(payload)}
    return json.dumps(header).encode() + b"\n" + payload


def answers(connection: socket.socket, until: str | None = None) -> list[Any]:
    """Return what the server sends, up to an event, or until it ends."""
    found = []
    with connection.makefile("rb") as file:
        while line := file.readline():
            header = json.loads(line)
            data = file.read(header.get("data_length", 0))
            found.append((header["type"], json.loads(data or b"{}")))
            if found[-1][0] == until:
                break
    return found


def transcript(server: Server) -> str:
    """Return the text of what a client says, as it should."""
    with server.connect() as connection:
        connection.sendall(packed("audio-start", FORM) + said() + STOP)
        return str(dict(answers(connection, "transcript"))["transcript"]["text"])


def said() -> bytes:
    sound = (spoken_tones(RATE_HZ) * 32767).astype("<i2").tobytes()
    return packed("audio-chunk", FORM, sound)


STOP = packed("audio-stop", {})


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", r"header: is no JSON, found b'GET / HTTP/1.1\r\n'"),
        (b"[1]\n", "header: is [1], expected an object of JSON"),
        (b"[" * 9000 + b"\n", "header: is no JSON, found b'[[["),
        (b"\xff\xfe\n", r"header: is no JSON, found b'\xff\xfe\n'"),
        (b"{}\n", 'header: "type" is None, expected a text'),
        (b"x" * (1 << 17), "header: is too long, expected a line of JSON"),
        (
            b'{"type": "describe", "data_length": 999999999999}\n',
            'header: "data_length" is 999999999999, expected at most 1048576 bytes',
        ),
        (
            b'{"type": "describe", "payload_length": "9"}\n',
            "header: \"payload_length\" is '9', expected at most 8388608 bytes",
        ),
        (
            b'{"type": "a", "data_length": -1}\n',
            'header: "data_length" is -1, expected',
        ),
        (b'{"type": "describe", "data": 3}\n', 'header: "data" is 3, expected an'),
        (b'{"type": "a", "data_length": 2}\n[]', "data: is [], expected an object of"),
    ],
)
def test_what_is_no_event_is_told_and_ends_the_connection(
    server: Server, sent: bytes, message: str
) -> None:
    """One line here, an error there; the server lives on."""
    with server.connect() as connection:
        connection.sendall(sent)
        ((kind, data),) = answers(connection)

    assert "error" == kind
    assert data["text"].startswith(message)
    assert server.said().startswith(f"tiedge listen: client: let go: {message}")
    assert "ab" == transcript(server)


def test_a_client_that_has_its_transcript_may_leave(server: Server) -> None:
    """At once, however it does: nothing is said of it."""
    with server.connect() as connection:
        connection.sendall(packed("audio-start", FORM) + said() + STOP)
        answers(connection, "transcript")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LEAVES_AT_ONCE)
    with server.connect() as connection:
        connection.sendall(b"nonsense\n")
        answers(connection)

    assert server.said().startswith("tiedge listen: client: let go: header: is no JSON")


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (STOP, "audio-stop: came before audio-start"),
        (said(), "audio-chunk: came before audio-start"),
        (
            packed("audio-start", FORM | {"rate": "16000"}),
            "audio-start: \"rate\" is '16000', expected 1 to 1000000",
        ),
        (
            packed("audio-start", FORM | {"rate": 10**30}),
            f'audio-start: "rate" is {10**30}, expected 1 to 1000000',
        ),
        (packed("audio-start", {}), 'audio-start: "rate" is None, expected 1 to'),
        (
            packed("audio-start", FORM | {"channels": True}),
            'audio-start: "channels" is True, expected 1 to 32',
        ),
        (
            packed("audio-start", FORM | {"width": 0}),
            'audio-start: "width" is 0, expected 1 to 4',
        ),
        (
            packed("audio-start", FORM)
            + packed("audio-chunk", FORM | {"channels": 33}, b"1"),
            'audio-chunk: "channels" is 33, expected 1 to 32',
        ),
        (
            packed("transcribe", {"language": ["x" * 99]}),
            "language ['xxxxxxxxxxxxxxxxxxxxxxxx",
        ),
    ],
)
def test_events_that_do_not_fit_are_told(
    server: Server, sent: bytes, message: str
) -> None:
    """The client may go on with another request."""
    with server.connect() as connection:
        connection.sendall(sent + packed("from-another-time", {}))
        connection.sendall(packed("audio-start", FORM) + said() + STOP)
        found = dict(answers(connection, "transcript"))

    assert found["error"]["text"].startswith(message)
    assert "ab" == found["transcript"]["text"]
    line = server.said()
    assert line.startswith(f"tiedge listen: client: {message}")
    assert len(line) < 200


def test_a_chunk_without_samples_is_nothing(server: Server) -> None:
    """Some clients send one at the end."""
    with server.connect() as connection:
        connection.sendall(packed("audio-start", FORM) + packed("audio-chunk", FORM))
        connection.sendall(said() + STOP)
        found = dict(answers(connection, "transcript"))

    assert "ab" == found["transcript"]["text"]


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (packed("audio-start", FORM) + said(), "left before audio-stop"),
        (packed("audio-start", FORM) + said()[:-9], "left within an event"),
        (b'{"type": "descr', "let go: header: is no JSON, found"),
    ],
)
def test_a_client_that_leaves_is_told(server: Server, sent: bytes, line: str) -> None:
    """In the middle of an utterance, of a chunk, of a header."""
    with server.connect() as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answers(connection)

    assert server.said().startswith(f"tiedge listen: client: {line}")
    assert "ab" == transcript(server)


def test_two_clients_have_texts_of_their_own(server: Server) -> None:
    """Though their sound comes at the same time."""
    texts: list[str] = []
    threads = [
        threading.Thread(target=lambda: texts.append(transcript(server)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)

    assert ["ab"] * 4 == texts


def test_clients_that_send_nothing_do_not_keep_others_out(server: Server) -> None:
    """Up to a bound, beyond which clients are told; then their places are free."""
    clients = [server.connect() for _ in range(MANY)]
    for client in clients[:2]:
        client.sendall(packed("describe", {}))
        assert "info" == answers(client, "info")[0][0]
    assert "more than 16 clients at once; try later" in server.said()
    for client in clients:
        client.close()
    for _ in range(MANY - 17):
        assert "more than 16 clients at once; try later" in server.said()

    time.sleep(0.5)
    assert "ab" == transcript(server)


def test_memory_is_bounded(server: Server) -> None:
    """Payloads that never end, and answers that are never read."""
    before_kib = server.memory_kib()
    clients = [server.connect() for _ in range(4)]
    header = b'{"type": "audio-chunk", "payload_length": 8000000}\n'
    for client in clients:
        client.settimeout(1.0)
        client.sendall(header + bytes(7_000_000))
    asker = server.connect()
    asker.settimeout(0.5)
    with pytest.raises(TimeoutError):
        while True:
            asker.sendall(packed("describe", {}) * 1000)

    assert server.memory_kib() - before_kib < 100_000
    assert "ab" == transcript(server)
    for client in (*clients, asker):
        client.close()
    assert server.process.poll() is None
