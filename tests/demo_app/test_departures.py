"""Servers that end and clients that leave or err, seen from outside the process."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from demo_app.settings import MEBIBYTE
from edge_runtime.bundle import BUNDLES
from edge_runtime.engines import installed_engines
from edge_runtime.native.build import build
from tests.demo_app.served import png

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0
END_S = 6.0
"""Three seconds, and as much again for a machine that is busy."""

CANCELLED = "ERROR:    Cancel 1 running task(s), timeout graceful shutdown exceeded"
ENDING = b'{"error":"the demo is ending; start it again with tiedge serve"}'

STATUS = {signal.SIGINT: 0, signal.SIGTERM: 143}
"""Exit statuses, as shells know them; to interrupt a server is to end it."""

pytestmark = pytest.mark.skipif(
    not (BUNDLES / "denoise").is_dir(), reason="no ready-made bundle denoise"
)


@dataclass
class Server:
    process: subprocess.Popen[str]
    port: int
    log: Path

    def request(self, head: str, body: bytes, length: int | None = None) -> bytes:
        n_bytes = len(body) if length is None else length
        return (
            f"POST {head} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {n_bytes}\r\n\r\n"
        ).encode() + body

    def connect(self, request: bytes) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        client.sendall(request)
        return client

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def peak_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (peak,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return int(peak.split()[1]) << 10

    def ended_s(self, *signals: signal.Signals) -> float:
        """Return how long it takes to end, in seconds, after these signals."""
        start = time.monotonic()
        for number in signals:
            self.process.send_signal(number)
            time.sleep(0.5)
        self.process.wait(PATIENCE_S)
        return time.monotonic() - start


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """`tiedge serve` as a process, with the ready-made bundles."""
    log = tmp_path / "stderr"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "tiedge", "serve", "--port", "0"],
            cwd=ROOT,
            env=os.environ,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            yield Server(process, int(address.rpartition(":")[2]), log)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def large_picture() -> bytes:
    """Twelve million pixels, which take many seconds."""
    return png(np.zeros((3000, 4000, 3), np.uint8))


def picture(server: Server, body: bytes, engine: str = "litert") -> bytes:
    return server.request(f"/picture?depth=8&engine={engine}", body)


def latency(server: Server, _: bytes) -> bytes:
    row = {"bundle": "denoise", "engine": "litert", "precision": "fp32", "depth": 8}
    return server.request("/latency", json.dumps(row).encode())


def stalled(server: Server, body: bytes) -> bytes:
    return server.request("/picture", body[:3], len(body))


def answer(client: socket.socket) -> bytes:
    """Return all that is sent until the connection closes."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := client.recv(1 << 16):
            received += piece
    return received


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("engine", ["litert", "executorch"])
def test_server_ends_while_it_computes(
    server: Server, large_picture: bytes, engine: str, number: signal.Signals
) -> None:
    """A picture that is computed does not keep the server; one line tells of it."""
    if engine not in installed_engines():
        pytest.skip(f"{engine} is not installed")
    if engine == "executorch":
        build()  # the server would tell that it compiles it
    with server.connect(picture(server, large_picture, engine)) as client:
        time.sleep(2)

        ended_s = server.ended_s(number)

        received = answer(client)
    assert END_S > ended_s
    assert [CANCELLED] == server.lines()
    assert b" 500 " not in received
    assert STATUS[number] == server.process.returncode


@pytest.mark.parametrize("ask", [stalled, latency])
def test_server_ends_while_it_waits(
    server: Server, large_picture: bytes, ask: Callable[[Server, bytes], bytes]
) -> None:
    """Neither a stalled upload nor a measurement keeps the server."""
    with server.connect(ask(server, large_picture)) as client:
        time.sleep(0.3)

        ended_s = server.ended_s(signal.SIGINT)

        received = answer(client)
    assert END_S > ended_s
    assert server.lines() in ([], [CANCELLED])
    assert b" 500 " not in received
    assert 0 == server.process.returncode


def test_client_of_a_server_that_ends_is_told(
    server: Server, large_picture: bytes
) -> None:
    """Who still waits for an answer gets a 503 that says why."""
    with server.connect(stalled(server, large_picture)) as client:
        time.sleep(0.3)
        server.ended_s(signal.SIGINT)

        received = answer(client)

    assert received.startswith(b"HTTP/1.1 503 ")
    assert received.endswith(ENDING)


def test_second_interrupt_ends_it_at_once(server: Server, large_picture: bytes) -> None:
    """Who presses Ctrl-C again does not wait, and reads nothing."""
    with server.connect(picture(server, large_picture)):
        time.sleep(2)

        ended_s = server.ended_s(signal.SIGINT, signal.SIGINT)

    assert END_S > ended_s
    assert [] == server.lines()


def test_client_that_leaves_is_no_failure(server: Server, large_picture: bytes) -> None:
    """A client that goes in the midst of its upload leaves nothing in the log."""
    server.connect(stalled(server, large_picture)).close()
    server.connect(stalled(server, large_picture)).close()
    time.sleep(0.5)

    ended_s = server.ended_s(signal.SIGINT)

    assert END_S > ended_s
    assert [] == server.lines()


def test_text_that_is_no_utf_8_is_one_line(server: Server) -> None:
    """A websocket with bad UTF-8 is closed as the protocol says: 1007, and one line."""
    with connect(f"ws://127.0.0.1:{server.port}/transcribe") as client:
        client.send(b"\xff\xfe", text=True)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(PATIENCE_S)

    assert closed.value.rcvd is not None
    assert 1007 == closed.value.rcvd.code
    assert ["ERROR:    Invalid UTF-8 sequence received from client."] == server.lines()


def test_too_many_pixels_are_never_decoded(server: Server) -> None:
    """A small file of 79 million pixels is refused before it fills the memory."""
    file = io.BytesIO()
    Image.new("1", (8900, 8900)).save(file, "PNG")
    before = server.peak_bytes()
    with server.connect(picture(server, file.getvalue())) as client:
        received = b""
        while b"}" not in received:
            received += client.recv(1 << 16)

    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"8900 is 79210000 pixels, expected at most 24000000" in received
    assert before + 64 * MEBIBYTE > server.peak_bytes()
