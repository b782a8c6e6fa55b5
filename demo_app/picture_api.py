"""POST /picture: a picture in, the filtered one out, with time and quality."""

from __future__ import annotations

import base64
import functools
import io
import math
import time
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from demo_app.engine_cache import EngineCache, EngineKey
from demo_app.workers import Workers
from edge_runtime.errors import PictureError, SettingError
from edge_runtime.image_filter import SIGMA, ImageFilter
from edge_runtime.options import AUTO
from edge_runtime.pictures import (
    add_noise,
    decode_picture,
    psnr_db,
    to_8_bits,
    to_float,
)


def _none_if_auto(value: Any) -> Any:
    return None if value == AUTO else value


class PictureQuestion(BaseModel):
    """The query of POST /picture; the picture file itself is the body."""

    model_config = ConfigDict(extra="forbid")

    bundle: str = "denoise"
    engine: str = "litert"
    precision: str = "int8"
    depth: int | None = None
    """None is the deepest on offer."""

    sigma: Annotated[
        float | None,
        Field(ge=0.0, allow_inf_nan=False),
        BeforeValidator(_none_if_auto),
    ] = None
    """Noise level given to the network, in units of 255. Left out, or AUTO, it is an
    estimate from the picture, where the bundle takes one; with `noise` it is SIGMA if
    left out, and AUTO is refused."""

    strength: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    """How much is done; None is the most, where there is a choice."""

    look: str | None = None
    """What is made of the picture; None is the first, where there is a choice."""

    noise: bool = False
    """Add noise of `sigma` first, so that quality can be measured."""

    seed: int = Field(default=0, ge=0)


def picture_routes(
    cache: EngineCache, workers: Workers, max_picture_px: int
) -> APIRouter:
    """Return the route POST /picture."""
    routes = APIRouter()

    @routes.post("/picture")
    async def picture(
        request: Request, question: Annotated[PictureQuestion, Query()]
    ) -> JSONResponse:
        body = await request.body()
        answer = functools.partial(filter_upload, cache, max_picture_px, question, body)
        return JSONResponse(await workers.in_turn(request, answer))

    return routes


def filter_upload(
    cache: EngineCache, max_picture_px: int, question: PictureQuestion, body: bytes
) -> dict[str, Any]:
    """Return the answer to one upload; raises TiedgeError.

    Its `sigma` is the level that the network was given, null where it takes none, and
    `sigma_is_estimated` tells whether that was judged from the picture.
    """
    picture = _decode(body, max_picture_px)  # (Y, X, 3)
    key = EngineKey(question.bundle, question.engine, question.precision)
    with cache.lease(key) as lease:
        image_filter = ImageFilter(lease.bundle, lease.engine)
        sigma = _given_level(image_filter, question)
        image_filter.check_strength(question.strength)
        image_filter.check_look(question.look)
        depth = image_filter.checked_depth(question.depth)
        given = to_float(picture)
        if question.noise and sigma is not None:
            given = add_noise(picture, sigma, question.seed, clip=False)
        is_estimated = sigma is None and image_filter.spec.sigma is not None
        with lease.running():
            start = time.perf_counter()
            if is_estimated:
                sigma = _estimate(image_filter, given)
            restored = image_filter.apply(
                given, sigma, depth, strength=question.strength, look=question.look
            )
            compute_ms = (time.perf_counter() - start) * 1e3
        engine, load_ms = lease.engine, lease.load_ms
    before, after = to_8_bits(given), to_8_bits(restored)
    return {
        "bundle": question.bundle,
        "engine": question.engine,
        "engine_version": engine.version,
        "precision": question.precision,
        "depth": depth,
        "threads": engine.threads,
        "sigma": sigma,
        "sigma_is_estimated": is_estimated,
        "strength": question.strength,
        "look": question.look,
        "noise": question.noise,
        "width_px": picture.shape[1],
        "height_px": picture.shape[0],
        "compute_ms": compute_ms,
        "load_ms": load_ms,
        "psnr_db": _quality(picture, after) if question.noise else None,
        "noisy_psnr_db": _quality(picture, before) if question.noise else None,
        "before_png": _png(before),
        "after_png": _png(after),
    }


def _decode(body: bytes, max_picture_px: int) -> NDArray[np.uint8]:
    """Return an uploaded picture as (Y, X, 3) 8-bit RGB; raises PictureError."""
    if not body:
        raise PictureError("upload: empty, expected a picture file")
    return decode_picture(body, "upload", max_picture_px)


def _given_level(image_filter: ImageFilter, question: PictureQuestion) -> float | None:
    """Return the noise level that was asked for, None for an estimate or for none.

    Raises SettingError for one that is not on offer, or noise of no known level.
    """
    image_filter.check_sigma(question.sigma)
    takes_level = image_filter.spec.sigma is not None
    if not question.noise:
        return question.sigma
    if not takes_level:
        raise SettingError(
            f"{image_filter.bundle.name}: takes no noise away; leave out noise"
        )
    if question.sigma is not None:
        return question.sigma
    if "sigma" in question.model_fields_set:
        raise SettingError(
            f"sigma: found {AUTO}, expected a number: so much noise is added"
        )
    return SIGMA


def _estimate(image_filter: ImageFilter, given: NDArray[np.float32]) -> float:
    try:
        return image_filter.estimate_sigma(given)
    except PictureError as error:
        raise PictureError(f"upload: {error}; give sigma a number") from error


def _quality(expected: NDArray[np.uint8], actual: NDArray[np.uint8]) -> float | None:
    """Return the PSNR in dB; None where both are equal, which JSON cannot say."""
    quality_db = psnr_db(expected, actual)
    return quality_db if math.isfinite(quality_db) else None


def _png(picture: NDArray[np.uint8]) -> str:
    """Return the picture as a PNG file in base64, packed fast rather than small."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=1)
    return base64.b64encode(file.getvalue()).decode("ascii")
