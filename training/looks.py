"""The looks that are learned, as OpenCV's operators make them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.opencv import library

Operator = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Returns a picture, (Y, X, 3), of one, both red, green and blue."""

GLOW_SIGMA_PX = 12.0
"""Of the light that spreads."""
GLOW = 0.5
"""Part of the spread light that is laid over the picture."""


def smooth(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Flat surfaces, sharp edges: `edgePreservingFilter` with its default settings.

    It and the next three are those of Gastal and Oliveira 2011, "Domain transform for
    edge-aware image and video processing".
    """
    return _array(library().edgePreservingFilter(picture))


def detail(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fine structure brought out: `detailEnhance` with its default settings."""
    return _bgr(picture, library().detailEnhance)


def stylize(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Painted surfaces between dark edges: `stylization`, default settings."""
    return _bgr(picture, library().stylization)


def sketch(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Coloured pencil on white: the second of what `pencilSketch` gives, defaults."""
    return _bgr(picture, lambda bgr: library().pencilSketch(bgr)[1])


def glow(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Light that spreads from bright places (Orton): a blurred copy, screened over."""
    light = picture.astype(np.float32) / 255.0
    spread = library().GaussianBlur(light, (0, 0), GLOW_SIGMA_PX)
    made = 1.0 - (1.0 - light) * (1.0 - GLOW * spread)
    return _array(np.rint(255.0 * made).astype(np.uint8))


LOOKS: dict[str, Operator] = {
    "smooth": smooth,
    "detail": detail,
    "stylize": stylize,
    "sketch": sketch,
    "glow": glow,
}


def told_look(look: str) -> NDArray[np.float32]:
    """Return what the network is told of a look, (n, 1, 1)."""
    place = list(LOOKS).index(look)
    return np.eye(len(LOOKS), dtype=np.float32)[place][:, None, None]


def _bgr(picture: NDArray[np.uint8], operator: Callable[[Any], Any]) -> NDArray[Any]:
    """Return what an operator that takes blue, green and red makes of a picture."""
    return _array(operator(np.ascontiguousarray(picture[..., ::-1]))[..., ::-1])


def _array(made: Any) -> NDArray[np.uint8]:
    return np.ascontiguousarray(made, np.uint8)
