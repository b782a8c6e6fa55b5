"""OpenCV: its operators are learned from, and its denoiser is a peer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import missing_package
from edge_runtime.pictures import to_8_bits, to_float

PACKAGE = "opencv-python"

PEER_PATCH_PX, PEER_REACH_PX = 7, 21
"""Recommended in its documentation."""
PEER_STRENGTH = 0.6
PEER_COLOUR_STRENGTH = 1.0
"""Filter strengths by sigma: the best of 12 pairs at sigma 15, 25 and 50 on held-out
photographs."""


def require() -> str:
    """Return OpenCV's version; raises SettingError if it is missing."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError as error:
        raise missing_package(PACKAGE, "evaluate") from error


def library() -> Any:
    """Return the package; raises SettingError if it is missing."""
    require()
    from edge_runtime.live import opencv  # the one file that imports the package

    return vars(opencv)["cv2"]


@contextmanager
def opencv_threads(n_threads: int) -> Iterator[None]:
    """Have OpenCV, where it is installed, compute on so many threads meanwhile."""
    if find_spec("cv2") is None:
        yield
        return
    cv2 = library()
    before = cv2.getNumThreads()
    cv2.setNumThreads(n_threads)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def non_local_means(
    noisy: NDArray[np.float32], sigma: float, *, is_gray: bool
) -> NDArray[np.float32]:
    """Return the picture, (Y, X, 3) in 0–1, filtered by non-local means.

    `fastNlMeansDenoising`, which takes 8 bits, told the true `sigma` in units of 255.
    A gray picture has the same values in all colours.
    """
    cv2 = library()
    given = to_8_bits(noisy)
    strength = PEER_STRENGTH * sigma
    windows = PEER_PATCH_PX, PEER_REACH_PX
    if is_gray:
        gray = np.ascontiguousarray(given[..., 0])
        made = cv2.fastNlMeansDenoising(gray, None, strength, *windows)[..., None]
    else:
        colour = PEER_COLOUR_STRENGTH * sigma
        made = cv2.fastNlMeansDenoisingColored(given, None, strength, colour, *windows)
    return np.broadcast_to(to_float(np.asarray(made)), noisy.shape)
