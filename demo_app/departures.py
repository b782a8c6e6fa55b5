"""Ends quietly the requests whose client left, or whose server is ending."""

from __future__ import annotations

import asyncio
from typing import final

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ENDING = "the demo is ending; start it again with tiedge serve"


@final
class Departures:
    """ASGI middleware for which a departure is no failure of the application.

    The server cancels what still runs when it ends: who has no answer yet gets a 503.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection until it ends, one way or another."""
        answered = False

        async def watched(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            if scope["type"] == "http" and not answered:
                answer = JSONResponse(
                    {"error": ENDING}, status_code=503, headers={"Connection": "close"}
                )
                await answer(scope, receive, send)
