"""A running demo server, as a client sees it."""

import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from demo_app.commands.serve import bound_socket, make_server, open_cache
from demo_app.settings import Settings

START_S = 30.0


@dataclass(frozen=True)
class Served:
    port: int
    settings: Settings

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def transcription(self, **greeting: Any) -> Iterator[ClientConnection]:
        """Open a websocket and greet with the given fields."""
        with self.websocket() as client:
            client.send(
                json.dumps({"bundle": "tones", "precision": "fp32", **greeting})
            )
            yield client

    def websocket(self) -> AbstractContextManager[ClientConnection]:
        return connect(f"ws://127.0.0.1:{self.port}/transcribe")

    def raw(self, request: bytes) -> bytes:
        """Send bytes as they are, and return the start of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as client:
            client.sendall(request)
            return client.recv(4096)


@contextmanager
def serving(settings: Settings) -> Iterator[Served]:
    """Serve in a thread, at a free port of the loopback address."""
    with bound_socket("127.0.0.1", 0) as listener:
        bound = replace(settings, port=listener.getsockname()[1])
        with open_cache(bound) as cache:
            server, _ = make_server(bound, cache)
            thread = threading.Thread(
                target=server.run, kwargs={"sockets": [listener]}, daemon=True
            )
            thread.start()
            deadline = time.monotonic() + START_S
            while not server.started and time.monotonic() < deadline:
                time.sleep(0.02)
            yield Served(bound.port, bound)
            server.should_exit = True
            thread.join(START_S)


def events_of(client: ClientConnection) -> list[dict[str, Any]]:
    """Return every event until the server closes."""
    events = []
    with suppress(ConnectionClosed):
        while True:
            events.append(json.loads(client.recv(timeout=20)))
    return events


def png(picture: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def smooth_picture(height_px: int, width_px: int) -> NDArray[np.uint8]:
    """Slow waves of colour, (Y, X, 3): what a blur restores well."""
    rows, columns = np.mgrid[:height_px, :width_px]
    channels = [
        128 + 100 * np.sin(rows / 31 + phase) * np.cos(columns / 43)
        for phase in range(3)
    ]
    return np.stack(channels, axis=2).astype(np.uint8)  # (Y, X, 3)
