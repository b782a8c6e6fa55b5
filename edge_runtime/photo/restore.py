"""One photograph through a filter, from file to file."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge_runtime.errors import PictureError, SettingError
from edge_runtime.files import check_regular
from edge_runtime.frame_budget import FrameBudget, calm_seconds
from edge_runtime.image_filter import N_CHANNELS, SIGMA, ImageFilter
from edge_runtime.photo.photo import Photo
from edge_runtime.photo.plan import Job
from edge_runtime.photo.read import read_photo
from edge_runtime.photo.write import write_photo
from edge_runtime.pictures import QUALITY

MILLISECONDS_PER_SECOND = 1000


class Pace:
    """Chooses each picture's depth so that so many are done in a second."""

    def __init__(self, image_filter: ImageFilter, fps: float) -> None:
        if not 0 < fps < float("inf"):
            raise SettingError(f"fps: found {fps:g}, expected a number over 0")
        self.fps = fps
        tile = np.zeros((*image_filter.spec.tile_px, N_CHANNELS), np.float32)
        sigma = None if image_filter.spec.sigma is None else SIGMA
        self._filter = image_filter
        self._budget = FrameBudget(
            1 / fps,
            calm_seconds(
                lambda depth: image_filter.apply(tile, sigma, depth),
                image_filter.bundle.depths,
            ),
        )

    def depth(self, n_rows: int, n_columns: int) -> int:
        """Return the next picture's depth; its tiles share its time."""
        deepest = self._filter.bundle.depths[-1]
        self._n_tiles = self._filter.n_tiles(n_rows, n_columns, deepest)
        self._budget.change(1 / self.fps / self._n_tiles)
        return self._budget.depth

    def took(self, seconds: float) -> None:
        """Learn how long that picture took."""
        self._budget.took(seconds / self._n_tiles)


@dataclass(frozen=True)
class Setting:
    """What every picture is filtered with."""

    sigma: float | None
    """Units of 255; None is an estimate of each picture's own."""
    depth: int | None
    """None leaves it to a pace."""
    strength: float | None = None
    """None is the greatest."""
    look: str | None = None
    """None is the first on offer."""
    quality: int = QUALITY
    """Of JPEG and WebP files."""


def restore_file(
    image_filter: ImageFilter, job: Job, setting: Setting, pace: Pace | None = None
) -> dict[str, Any]:
    """Filter one picture into its target; return what was done.

    Raises PictureError, or SettingError where the target cannot be written; it is as
    it was then.
    """
    check_regular(job.target, "a file to write", PictureError)
    try:
        return _restored_file(image_filter, job, setting, pace)
    except MemoryError as error:
        raise PictureError(
            f"{job.source}: too large for the free memory; end other programs, or make"
            " it smaller first"
        ) from error


def _restored_file(
    image_filter: ImageFilter, job: Job, setting: Setting, pace: Pace | None
) -> dict[str, Any]:
    photo = read_photo(job.source)
    sigma = setting.sigma
    if sigma is None and image_filter.spec.sigma is not None:
        sigma = _estimate(image_filter, job, photo)
    depth = setting.depth
    if pace is not None:
        depth = pace.depth(photo.n_rows, photo.n_columns)
    started = time.perf_counter()
    chosen = replace(setting, sigma=sigma, depth=depth)
    restored = _restored(image_filter, photo, chosen)
    seconds = time.perf_counter() - started
    if pace is not None:
        pace.took(seconds)
    write_photo(job.target, restored, setting.quality)
    row = {
        "source": str(job.source),
        "target": str(job.target),
        "width_px": restored.n_columns,
        "height_px": restored.n_rows,
        "sigma": None if sigma is None else round(sigma, 2),
        "depth": depth,
        "ms": round(seconds * MILLISECONDS_PER_SECOND, 3),
    }
    return row if photo.note is None else row | {"note": photo.note}


def _restored(image_filter: ImageFilter, photo: Photo, chosen: Setting) -> Photo:
    """Return a photograph filtered: in its own place, unless it becomes larger."""
    scale = image_filter.spec.scale
    restored = photo if scale == 1 else photo.enlarged(scale)
    bands = image_filter.bands(
        photo.read,
        photo.n_rows,
        photo.n_columns,
        chosen.sigma,
        chosen.depth,
        strength=chosen.strength,
        look=chosen.look,
    )
    top = 0
    for band in bands:
        restored.write(top, band)
        top += len(band)
    return restored


def _estimate(image_filter: ImageFilter, job: Job, photo: Photo) -> float:
    size = photo.n_rows, photo.n_columns
    try:
        return image_filter.estimate_by_rows(photo.read, *size)
    except PictureError as error:
        raise PictureError(f"{job.source}: {error}; give --sigma a number") from error
