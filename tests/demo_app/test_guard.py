import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from demo_app.guard import SECURITY_HEADERS, Guard
from tests.demo_app.served import Served

PORT = 8000
MAX_BODY_BYTES = 100


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Says how many bytes it was sent; accepts every websocket."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        return
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


GUARD = Guard(
    application,
    port=PORT,
    allowed_hosts=["edge.local", "Proxy.example:443"],
    max_body_bytes=MAX_BODY_BYTES,
)


def answers(headers: list[tuple[str, str]], kind: str = "http") -> list[Message]:
    """Return what the guarded application sends to a client with these headers."""
    scope = {
        "type": kind,
        "scheme": "ws" if kind == "websocket" else "http",
        "method": "GET",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    first = {"type": "websocket.connect"}
    if kind == "http":
        first = {"type": "http.request", "body": b""}
    return asyncio.run(_exchange(scope, iter([first])))


async def _exchange(
    scope: dict[str, Any], messages: Iterator[Message]
) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    await GUARD(scope, receive, send)
    return sent


def status(headers: list[tuple[str, str]]) -> int:
    return answers(headers)[0]["status"]


def error(headers: list[tuple[str, str]]) -> str:
    return json.loads(answers(headers)[1]["body"])["error"]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8000",
        "127.8.9.10:8000",
        "localhost:8000",
        "LOCALHOST:8000",
        "[::1]:8000",
        "edge.local:8000",
        "proxy.example:443",
    ],
)
def test_own_names_are_served(host: str) -> None:
    """A loopback name with our port, or an allowed name, is let in."""
    found = status([("host", host)])

    assert 200 == found


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8000",
        "127.0.0.1:8001",
        "127.0.0.1",
        "localhost.evil.example:8000",
        "127.0.0.1.evil.example:8000",
        "192.168.0.7:8000",
        "edge.local:81",
        "proxy.example",
        "user@127.0.0.1:8000",
        "127.0.0.1:8000/path",
        "127.0.0.1:port",
        "[::1:8000",
        "",
    ],
)
def test_foreign_host_is_refused(host: str) -> None:
    """A name that is not ours, as after DNS rebinding, or another port gets a 403."""
    found = status([("host", host)])

    assert 403 == found


@pytest.mark.parametrize(
    "headers",
    [[], [("host", "127.0.0.1:8000"), ("host", "evil.example:8000")]],
    ids=["none", "two"],
)
def test_exactly_one_host_is_needed(headers: list[tuple[str, str]]) -> None:
    """No Host, or two of them, gets a 403."""
    found = status(headers)

    assert 403 == found


def test_refusal_says_how_to_allow_a_name() -> None:
    """The refusal of a Host names it, what is expected, and the option."""
    found = error([("host", "edge:8000")])

    assert (
        "Host edge:8000 is not served here, expected 127.0.0.1:8000; allow a name with"
        " tiedge serve --allow-host NAME"
    ) == found


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://127.0.0.1:8000", 200),
        ("https://127.0.0.1:8000", 200),
        ("http://localhost:8000", 403),
        ("http://127.0.0.1:8001", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_origin_must_be_our_own(origin: str, expected: int) -> None:
    """A request that another site's page makes gets a 403."""
    found = status([("host", "127.0.0.1:8000"), ("origin", origin)])

    assert expected == found


def test_origin_refusal_names_both() -> None:
    """The refusal of an Origin says what was found and expected."""
    found = error([("host", "127.0.0.1:8000"), ("origin", "http://evil.example")])

    assert (
        "Origin http://evil.example is another site, expected http://127.0.0.1:8000"
    ) == found


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("host", "127.0.0.1:8000")], "websocket.accept"),
        ([("host", "evil.example:8000")], "websocket.close"),
        (
            [("host", "127.0.0.1:8000"), ("origin", "http://evil.example")],
            "websocket.close",
        ),
    ],
)
def test_websockets_are_held_to_the_same(
    headers: list[tuple[str, str]], expected: str
) -> None:
    """A websocket of another site is closed before it is accepted."""
    first, *_ = answers(headers, "websocket")

    assert expected == first["type"]


def test_every_answer_is_sealed() -> None:
    """Answers, refusals too, forbid everything that comes from elsewhere."""
    for host in ("127.0.0.1:8000", "evil.example"):
        found = {
            name.decode(): value.decode()
            for name, value in answers([("host", host)])[0]["headers"]
        }

        expected = {name.lower(): value for name, value in SECURITY_HEADERS.items()}
        assert expected.items() <= found.items()


def test_bytes_are_counted_as_they_stream(served: Served) -> None:
    """A body without a length is cut off once it passes the limit."""
    piece = b"%x\r\n%s\r\n" % (1 << 16, b"x" * (1 << 16))
    request = (
        b"POST /picture HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" % served.port
    )

    found = served.raw(request + piece * 33)

    assert found.startswith(b"HTTP/1.1 413 ")
    assert b"the request holds more than 2097152 bytes" in found


def test_length_may_not_lie(served: Served) -> None:
    """More bytes than Content-Length claims never reach the application."""
    found = served.raw(
        b"POST /picture?bundle=blur&precision=fp32 HTTP/1.1\r\n"
        b"Host: 127.0.0.1:%d\r\nContent-Length: 3\r\n\r\nabcdefgh" % served.port
    )

    assert found.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "headers",
    [
        b"Host: evil.example:%d",
        b"Host: 127.0.0.1:%d\r\nOrigin: http://evil.example",
    ],
    ids=["host", "origin"],
)
def test_foreign_websocket_gets_403(served: Served, headers: bytes) -> None:
    """The handshake of a foreign websocket is answered with a 403."""
    found = served.raw(
        b"GET /transcribe HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        + headers % served.port
        + b"\r\n\r\n"
    )

    assert found.startswith(b"HTTP/1.1 403 ")
