"""The web application: the page, the two networks behind it, and the guard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from demo_app.engine_cache import EngineCache
from demo_app.facts_api import facts_routes
from demo_app.guard import Guard
from demo_app.picture_api import picture_routes
from demo_app.questions import first_mistake
from demo_app.settings import Settings
from demo_app.speech_api import speech_routes
from edge_runtime import __version__
from edge_runtime.bundle import Bundle
from edge_runtime.errors import SettingError, TiedgeError

PAGE = Path(__file__).parent / "page"


def create_app(settings: Settings) -> FastAPI:
    """Return the application; raises TiedgeError if a bundle breaks its contract."""
    cache = EngineCache(
        open_bundles(settings.bundles), settings.threads, settings.max_engines
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        cache.close()

    # The interactive documentation would load scripts from another site.
    app = FastAPI(
        title="tiedge", version=__version__, lifespan=lifespan,
        docs_url=None, redoc_url=None,
    )  # fmt: skip
    app.include_router(picture_routes(cache, settings.max_picture_px))
    app.include_router(speech_routes(cache, settings))
    app.include_router(facts_routes(cache, settings))
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    _answer_errors(app, cache)
    app.add_middleware(
        Guard,
        port=settings.port,
        allowed_hosts=settings.allowed_hosts,
        max_body_bytes=settings.max_body_bytes,
    )
    return app


def open_bundles(folders: Iterable[Path]) -> dict[str, Bundle]:
    """Return the bundles by name; raises SettingError where two share one."""
    bundles: dict[str, Bundle] = {}
    for folder in folders:
        bundle = Bundle.open(folder)
        if bundle.name in bundles:
            raise SettingError(
                f'{folder}: a bundle named "{bundle.name}" is served already, from'
                f" {bundles[bundle.name].folder}; leave one out"
            )
        bundles[bundle.name] = bundle
    return bundles


def _answer_errors(app: FastAPI, cache: EngineCache) -> None:
    """Answer every expected failure with {"error": one line}."""

    @app.exception_handler(TiedgeError)
    async def expected(_: Request, error: TiedgeError) -> JSONResponse:
        return JSONResponse({"error": cache.public(error)}, status_code=400)

    @app.exception_handler(RequestValidationError)
    async def mistaken(_: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": first_mistake(error.errors())}, status_code=400)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse(
            {"error": error.detail},
            status_code=error.status_code,
            headers=error.headers,
        )
