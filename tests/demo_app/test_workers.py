import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from demo_app.settings import Settings
from tests.demo_app.served import Served, png, serving

MEASURED_S = 1.5
ROW = b'{"bundle":"blur","engine":"litert","precision":"fp32","depth":1}'
QUESTION = "/picture?bundle=blur&precision=fp32"
PICTURE = png(np.zeros((64, 64, 3), np.uint8))


@pytest.fixture(scope="module")
def narrow(bundles: tuple[Path, ...]) -> Iterator[Served]:
    """A server that computes one thing at a time, slowly, and lets one other wait."""
    settings = Settings(
        port=0, bundles=bundles, max_computations=1, max_waiting=1, bench_s=MEASURED_S
    )
    with serving(settings) as running:
        yield running


def ask(served: Served, path: str, body: bytes) -> socket.socket:
    """Send a request, and leave its answer for later."""
    client = socket.create_connection(("127.0.0.1", served.port), timeout=20)
    client.sendall(
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    time.sleep(0.1)
    return client


def status(client: socket.socket) -> int:
    return int(client.recv(1 << 16).split()[1])


def test_request_waits_for_its_turn(narrow: Served) -> None:
    """What comes while another computation runs is answered after it."""
    with (
        ask(narrow, "/latency", ROW) as first,
        ask(narrow, QUESTION, PICTURE) as second,
    ):
        statuses = status(first), status(second)

    assert (200, 200) == statuses


def test_too_many_requests_are_refused(narrow: Served) -> None:
    """Beyond those that may wait, a request gets a 503 that says so, at once."""
    with (
        ask(narrow, "/latency", ROW) as first,
        ask(narrow, QUESTION, PICTURE) as second,
    ):
        start = time.monotonic()
        refused = httpx.post(f"{narrow.address}{QUESTION}", content=PICTURE)
        waited_s = time.monotonic() - start
        statuses = status(first), status(second)

    assert 503 == refused.status_code
    assert {
        "error": "busy: 1 pictures or measurements wait their turn, the most that may;"
        " try again in a moment"
    } == refused.json()
    assert MEASURED_S > waited_s
    assert (200, 200) == statuses


def test_client_that_leaves_gives_its_place_away(narrow: Served) -> None:
    """Who leaves while waiting, as a page does whose dial is turned, waits no more."""
    with ask(narrow, "/latency", ROW) as first:
        for _ in range(5):
            ask(narrow, QUESTION, PICTURE).close()
            time.sleep(0.05)
        with ask(narrow, QUESTION, PICTURE) as last:
            statuses = status(first), status(last)

    assert (200, 200) == statuses
