"""Keeps other sites, and oversized requests, away from a server on this machine.

A page anywhere on the web can make a visitor's browser send requests to 127.0.0.1.
Two headers that such a page cannot forge tell them apart: Host, which a rebound DNS
name shows up in, and Origin. Websockets are not covered by the browser's own rules, so
they are held to the same.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
POLICY_VIOLATION = 1008
"""Websocket close code; before the handshake the server turns it into a 403."""

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src 'self' blob: data:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@final
class Guard:
    """ASGI middleware that lets only our own page in, and only so many bytes."""

    def __init__(
        self,
        app: ASGIApp,
        port: int,
        allowed_hosts: Iterable[str],
        max_body_bytes: int,
    ) -> None:
        self._app = app
        self._port = port
        self._allowed_hosts = frozenset(name.lower() for name in allowed_hosts)
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or refuse it."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if scope["type"] == "websocket":
            await self._guard_websocket(scope, receive, send, refusal)
        else:
            await self._guard_request(scope, receive, send, refusal)

    async def _guard_websocket(
        self, scope: Scope, receive: Receive, send: Send, refusal: str | None
    ) -> None:
        if refusal is None:
            await self._app(scope, receive, send)
            return
        await receive()
        await send(
            {"type": "websocket.close", "code": POLICY_VIOLATION, "reason": refusal}
        )

    async def _guard_request(
        self, scope: Scope, receive: Receive, send: Send, refusal: str | None
    ) -> None:
        sealed = _sealed(send)
        if refusal is not None:
            answer = JSONResponse({"error": refusal}, status_code=403)
            await answer(scope, receive, sealed)
            return
        await self._app(scope, self._counted(receive), sealed)

    def _refusal(self, scope: Scope) -> str | None:
        """Return why the connection is refused; None if it is welcome."""
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or not self._is_ours(hosts[0], scope["scheme"]):
            return (
                f"Host {' '.join(hosts) or 'is missing'} is not served here, expected"
                f" 127.0.0.1:{self._port}; allow a name with"
                " tiedge serve --allow-host NAME"
            )
        origins = _values(scope, b"origin")
        own = (f"http://{hosts[0]}", f"https://{hosts[0]}")
        if len(origins) > 1 or (origins and origins[0] not in own):
            return f"Origin {' '.join(origins)} is another site, expected {own[0]}"
        return None

    def _is_ours(self, host: str, scheme: str) -> bool:
        """Tell whether `host`, as NAME or NAME:PORT in lower case, means us."""
        name, port = _split_host(host, DEFAULT_PORTS[scheme])
        if name is None:
            return False
        if host in self._allowed_hosts:
            return True
        return port == self._port and (
            _is_loopback(name) or name in self._allowed_hosts
        )

    def _counted(self, receive: Receive) -> Receive:
        """Return `receive`, refusing to take in more than the limit.

        Content-Length is a claim; what arrives is counted.
        """
        n_bytes = 0

        async def counted() -> Message:
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > self._max_body_bytes:
                raise HTTPException(
                    413,
                    f"the request holds more than {self._max_body_bytes} bytes, the"
                    " most that is taken here; send a smaller file",
                    headers={"Connection": "close"},
                )
            return message

        return counted


def _sealed(send: Send) -> Send:
    """Return `send` with our security headers on every response."""

    async def sealed(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(SECURITY_HEADERS)
        await send(message)

    return sealed


def _values(scope: Scope, header: bytes) -> list[str]:
    return [
        value.decode("latin-1").lower()
        for name, value in scope["headers"]
        if name == header
    ]


def _split_host(host: str, default_port: int) -> tuple[str | None, int]:
    """Return name and port of a Host header; no name if it is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        port = default_port if parts.port is None else parts.port
    except ValueError:
        return None, default_port
    if parts.netloc != host or parts.username is not None:
        return None, default_port
    return parts.hostname, port


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
