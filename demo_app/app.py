"""The web application: the page, the two networks behind it, and the guard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from demo_app.departures import Departures
from demo_app.engine_cache import EngineCache
from demo_app.facts_api import facts_routes
from demo_app.guard import Guard
from demo_app.picture_api import picture_routes
from demo_app.questions import first_mistake
from demo_app.settings import Settings
from demo_app.speech_api import speech_routes
from demo_app.workers import Workers
from edge_runtime import __version__
from edge_runtime.errors import TiedgeError

PAGE = Path(__file__).parent / "page"


def create_app(settings: Settings, cache: EngineCache, workers: Workers) -> FastAPI:
    """Return the application; the engines stay the caller's to close."""
    # The interactive documentation would load scripts from another site.
    app = FastAPI(title="tiedge", version=__version__, docs_url=None, redoc_url=None)
    app.include_router(picture_routes(cache, workers, settings.max_picture_px))
    app.include_router(speech_routes(cache, workers, settings))
    app.include_router(facts_routes(cache, workers, settings))
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    _answer_errors(app, cache)
    app.add_middleware(Departures)
    app.add_middleware(
        Guard,
        port=settings.port,
        allowed_hosts=settings.allowed_hosts,
        max_body_bytes=settings.max_body_bytes,
    )
    return app


def _answer_errors(app: FastAPI, cache: EngineCache) -> None:
    """Answer every expected failure with {"error": one line}."""

    @app.exception_handler(TiedgeError)
    async def expected(_: Request, error: TiedgeError) -> JSONResponse:
        return _refusal(cache.public(error))

    @app.exception_handler(RequestValidationError)
    async def mistaken(_: Request, error: RequestValidationError) -> JSONResponse:
        return _refusal(first_mistake(error.errors()))

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        return _refusal(error.detail, error.status_code, error.headers)


def _refusal(
    text: str, status: int = 400, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return {"error": text}; what UTF-8 cannot say, as half a surrogate, escaped."""
    sayable = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return JSONResponse({"error": sayable}, status, headers)
