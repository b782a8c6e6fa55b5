"""Frames at an address of this machine: a page, a stream for any client, figures."""

from __future__ import annotations

import ipaddress
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, final
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import SettingError
from edge_runtime.live import jpeg
from edge_runtime.live.sink import Sink

HOST, PORT = "127.0.0.1", 8090
MOST_CLIENTS = 8
"""Of the stream, at a time."""
SEND_BYTES = 1 << 17
"""What the system may hold for a client that reads slowly: a frame or two."""
PATIENCE_S = 10.0
"""A client that takes nothing for so long is gone."""
BOUNDARY = "frame"

PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>tiedge live</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/live.css">
<main>
<img src="/stream.mjpeg" alt="Live picture">
<p id="figures">…</p>
</main>
<script src="/live.js"></script>
"""
STYLE = """\
body { margin: 0; background: #111; color: #ddd; font: 1rem system-ui, sans-serif }
main { display: grid; justify-items: center; gap: 1rem; padding: 1rem }
img { max-width: 100%; min-height: 4rem }
p { margin: 0; font-variant-numeric: tabular-nums }
"""
SCRIPT = """\
const line = document.getElementById("figures");
async function tell() {
    try {
        const answer = await fetch("/figures.json");
        line.textContent = (await answer.json()).text;
    } catch {
        line.textContent = "The run has ended.";
    }
}
setInterval(tell, 1000);
"""
FILES = {
    "/": ("text/html; charset=utf-8", PAGE),
    "/live.css": ("text/css", STYLE),
    "/live.js": ("text/javascript", SCRIPT),
}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer: pages from elsewhere may not show the picture."""


class _Board:
    """Where the newest frame hangs, for every client to see."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._data = b""
        self._number = 0
        self._is_over = False
        self.n_clients = 0

    def show(self, data: bytes) -> None:
        with self._changed:
            self._data = data
            self._number += 1
            self._changed.notify_all()

    def after(self, number: int) -> tuple[int, bytes] | None:
        """Wait for a frame newer than `number`; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > number or self._is_over)
            return None if self._is_over else (self._number, self._data)

    @property
    def newest(self) -> int:
        with self._changed:
            return self._number

    @contextmanager
    def client(self) -> Iterator[bool]:
        """Count a client inside the block; False if there are too many."""
        with self._changed:
            is_welcome = self.n_clients < MOST_CLIENTS
            self.n_clients += is_welcome
        try:
            yield is_welcome
        finally:
            with self._changed:
                self.n_clients -= is_welcome

    def close(self) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, figures: Callable[[], Any]) -> None:
        self.board = _Board()
        self.figures = figures
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)
        self.is_private = _is_loopback(host)

    def server_bind(self) -> None:
        """Bind without asking a name server for our own name."""
        TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE_S
    server_version, sys_version = "tiedge", ""

    def setup(self) -> None:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        super().setup()

    def do_GET(self) -> None:
        """Answer with the page, the stream, one frame or the figures."""
        path = self.path.partition("?")[0]
        if self.server.is_private and not self._means_this_machine():
            # Another site's name that leads here is a page trying to look in.
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "expected this machine's name")
        elif path in FILES:
            kind, text = FILES[path]
            self._answer(kind, text.encode())
        elif path == "/figures.json":
            self._answer("application/json", json.dumps(self.server.figures()).encode())
        elif path in {"/stream.mjpeg", "/frame.jpg"}:
            with self.server.board.client() as is_welcome:
                if not is_welcome:
                    self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many clients")
                elif path == "/frame.jpg":
                    self._send_one()
                else:
                    self._send_all()
        else:
            self._refuse(HTTPStatus.NOT_FOUND, f"expected {' '.join(FILES)}")

    def _send_one(self) -> None:
        frame = self.server.board.after(self.server.board.newest)
        if frame is None:
            self._refuse(HTTPStatus.GONE, "the run has ended")
        else:
            self._answer("image/jpeg", frame[1])

    def _send_all(self) -> None:
        """Send the newest frame whenever the client has taken the one before."""
        self._begin(f"multipart/x-mixed-replace; boundary={BOUNDARY}", None)
        number = self.server.board.newest
        while (frame := self.server.board.after(number)) is not None:
            number, data = frame
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            # A browser shows a part once the line after it has come.
            part = head.encode() + data + f"\r\n--{BOUNDARY}\r\n".encode()
            self.wfile.write(part)

    def _begin(self, kind: str, n_bytes: int | None, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if n_bytes is not None:
            self.send_header("Content-Length", str(n_bytes))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        if n_bytes is None:
            self.wfile.write(f"--{BOUNDARY}\r\n".encode())

    def _answer(self, kind: str, data: bytes, status: int = 200) -> None:
        self._begin(kind, len(data), status)
        self.wfile.write(data)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._answer("text/plain", f"{status.phrase}: {why}\n".encode(), status)

    def _means_this_machine(self) -> bool:
        try:
            name = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
        except ValueError:  # half a bracket
            return False
        return name == "localhost" or _is_loopback(name)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep no log: stderr is for the run's own line."""


@final
class MjpegServer(Sink):
    """Frames to everybody who asks at an address; each gets the newest there is."""

    def __init__(
        self, host: str, port: int, figures: Callable[[], Mapping[str, Any]]
    ) -> None:
        """Listen at once; `figures` gives what /figures.json answers.

        Port 0 takes any free one. Raises SettingError where it cannot listen.
        """
        try:
            self._server = _Server(host, port, figures)
        except (OSError, OverflowError, TypeError, UnicodeError) as error:
            raise SettingError(
                f"{host}:{port}: cannot be listened at:"
                f" {getattr(error, 'strerror', None) or error}; choose another --port"
            ) from error
        host, port = self._server.server_address[:2]  # type: ignore[assignment]
        super().__init__(
            f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def write(self, picture: NDArray[np.uint8], number: int) -> None:
        if self._server.board.n_clients:
            self._server.board.show(jpeg.encode(picture))

    def idle(self) -> None:
        """Nothing is due."""

    def close(self) -> None:
        self._server.board.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False
