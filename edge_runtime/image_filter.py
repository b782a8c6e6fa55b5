"""Pictures of any size through a network of one fixed tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle import Bundle, PictureSpec, find_bundle
from edge_runtime.bundle_parts import Interval
from edge_runtime.engine import Engine
from edge_runtime.engines import open_engine
from edge_runtime.errors import BundleError, PictureError, SettingError
from edge_runtime.model_choice import choose_model
from edge_runtime.noise_level import estimate_by_rows
from edge_runtime.pictures import PICTURE_PEAK, to_float
from edge_runtime.tones import tones_by_rows

N_CHANNELS = 3
SIGMA = 25.0
"""Default noise level, units of 255."""

ReadRows = Callable[[int, int], NDArray[Any]]
"""Gives the rows from one up to another, (y, X, 3): uint8, uint16, or float32."""


@dataclass(frozen=True)
class Span:
    """One tile along one axis, and the part of its output that is kept."""

    start: int
    """First pixel of the tile."""

    keep_from: int
    """First pixel kept, counted from the picture's edge."""

    keep_to: int
    """First pixel after those kept."""

    def in_picture(self, scale: int = 1) -> slice:
        """Return what is kept, as a place in a picture `scale` times as large."""
        return slice(self.keep_from * scale, self.keep_to * scale)

    def in_tile(self, scale: int = 1) -> slice:
        """Return what is kept, as a place in a tile `scale` times as large."""
        start = self.start * scale
        kept = self.in_picture(scale)
        return slice(kept.start - start, kept.stop - start)


def padded_px(length_px: int, tile_px: int, multiple_px: int) -> int:
    """Return the length to which an axis is mirrored: a multiple, one tile at least."""
    return max(-(-length_px // multiple_px) * multiple_px, tile_px)


def spans(length_px: int, tile_px: int, radius_px: int, multiple_px: int) -> list[Span]:
    """Return the tiles that cover an axis of `length_px` pixels and its mirrored end.

    Neighbours overlap by at least twice the radius and meet in the middle of their
    overlap, so that every pixel kept is at least `radius_px` from a tile edge that
    is not the axis's end. The first and the last tile touch the ends, `tile_px` is
    a multiple of `multiple_px`, and so is each start.

    >>> spans(length_px=15, tile_px=12, radius_px=2, multiple_px=2)
    [Span(start=0, keep_from=0, keep_to=8), Span(start=4, keep_from=8, keep_to=15)]
    """
    stride = (tile_px - 2 * radius_px) // multiple_px * multiple_px
    last = padded_px(length_px, tile_px, multiple_px) - tile_px
    starts = [*range(0, last, stride), last]
    seams = [(one + following + tile_px) // 2 for one, following in pairwise(starts)]
    edges = [0, *seams, length_px]
    return [
        Span(start, keep_from, keep_to)
        for start, (keep_from, keep_to) in zip(starts, pairwise(edges), strict=True)
    ]


class ImageFilter:
    """A picture bundle at work on one engine; safe to share between threads."""

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        self.bundle = bundle
        self.engine = engine
        self.spec = require_picture(bundle)

    def apply(
        self,
        picture: NDArray[np.float32],
        sigma: float | None = None,
        depth: int | None = None,
        *,
        strength: float | None = None,
        look: str | None = None,
    ) -> NDArray[np.float32]:
        """Return the picture that the network makes of a (Y, X, 3) picture, in 0–1.

        `picture` is on the scale 0–1; noise may reach beyond it. `sigma` is the
        noise's standard deviation in units of 255, for None estimated from the
        picture; `depth` is one on offer, the deepest if None; `strength` is the
        greatest if None, and `look` the first on offer. The result is `scale` times
        as large as the picture, and equals one run of the network on the whole
        picture, mirrored at the bottom and right up to a multiple of `multiple_px`
        and to at least one tile. Memory beside the two pictures is that of one tile.

        Raises PictureError for another shape, type or a value that is not finite,
        SettingError for a setting that the bundle does not offer.
        """
        _check_picture(picture)
        n_rows, n_columns, _ = picture.shape
        scale = self.spec.scale
        bands = self.bands(
            lambda start, stop: picture[start:stop],
            n_rows,
            n_columns,
            sigma,
            depth,
            strength=strength,
            look=look,
        )
        first = next(bands)
        if len(first) == n_rows * scale:
            return np.ascontiguousarray(first)
        result = np.empty((n_rows * scale, n_columns * scale, N_CHANNELS), np.float32)
        start = 0
        for band in chain([first], bands):
            result[start : start + len(band)] = band
            start += len(band)
        return result

    def bands(
        self,
        read: ReadRows,
        n_rows: int,
        n_columns: int,
        sigma: float | None = None,
        depth: int | None = None,
        *,
        strength: float | None = None,
        look: str | None = None,
    ) -> Iterator[NDArray[np.float32]]:
        """Yield what `apply` returns from the top down, in bands of (y, X, 3) in 0–1.

        `read(start, stop)` gives rows of the picture. After noise and tones are
        judged, each row is asked for once, in order, and before the band that it
        belongs to is yielded: where `scale` is 1, a caller may write each band over
        the rows that it was made of. Memory is that of one row of tiles. All else is
        as for `apply`, whose checks of samples are the caller's.
        """
        depth = self.checked_depth(depth)
        controls = self._controls(sigma, strength, look)
        if sigma is None and self.spec.sigma is not None:
            sigma = self.estimate_by_rows(read, n_rows, n_columns)
            controls = self._controls(sigma, strength, look)
        if self.spec.tones:
            tones = tones_by_rows(read, n_rows, n_columns, self.spec.tones)
            controls["tones"] = tones[None, None, None]
        scale = self.spec.scale
        columns = self._spans(1, n_columns, depth)
        top, rows = 0, self.spec.tile_px[0]
        strip = read(top, min(rows, n_rows))  # (y, X, 3), under one row of tiles
        spans_down = self._spans(0, n_rows, depth)
        if len(spans_down) > 1:  # a band may be written over what the next one needs
            strip = strip.copy()
        for row in spans_down:
            if row.start > top:
                fresh = read(top + len(strip), min(row.start + rows, n_rows))
                strip = np.concatenate([strip[row.start - top :], fresh])
                top = row.start
            kept = row.in_tile(scale)
            if len(columns) == 1:
                made = self._run(strip, 0, controls, depth)
                yield made[kept, columns[0].in_tile(scale)]
                continue
            size = (kept.stop - kept.start, n_columns * scale, N_CHANNELS)
            band = np.empty(size, np.float32)
            for column in columns:
                made = self._run(strip, column.start, controls, depth)
                band[:, column.in_picture(scale)] = made[kept, column.in_tile(scale)]
            yield band

    def _run(
        self,
        strip: NDArray[Any],
        column: int,
        controls: dict[str, NDArray[Any]],
        depth: int,
    ) -> NDArray[np.float32]:
        """Return what the network makes of the tile that starts at a column."""
        tile = self._cut(strip, column)
        inputs = {"picture": tile[np.newaxis], **controls}
        (made,) = self.engine.run(f"depth_{depth}", inputs)["restored"]
        return np.asarray(made)

    def n_tiles(self, n_rows: int, n_columns: int, depth: int) -> int:
        """Return in how many runs of the network a picture is restored."""
        return len(self._spans(0, n_rows, depth)) * len(
            self._spans(1, n_columns, depth)
        )

    def estimate_sigma(self, picture: NDArray[np.float32]) -> float:
        """Return the noise level to restore a picture with, judged from it alone.

        `picture` is as for `apply`. The estimate is that of `noise_level`, moved into
        what the bundle offers. Raises PictureError for too few pixels to judge,
        SettingError for a bundle that takes no noise level.
        """
        _check_picture(picture)
        return self.estimate_by_rows(
            lambda start, stop: picture[start:stop], *picture.shape[:2]
        )

    def estimate_by_rows(self, read: ReadRows, n_rows: int, n_columns: int) -> float:
        """Return what `estimate_sigma` does, of rows as they are for `bands`."""
        offered = self._offered("sigma", self.spec.sigma)
        sigma = estimate_by_rows(read, n_rows, n_columns)
        return min(max(sigma, offered.minimum), offered.maximum)

    def check_sigma(self, sigma: float | None) -> None:
        """Raise SettingError for a noise level that the bundle does not offer."""
        self._within("sigma", sigma, self.spec.sigma)

    def check_strength(self, strength: float | None) -> None:
        """Raise SettingError for a strength that the bundle does not offer."""
        self._within("strength", strength, self.spec.strength)

    def check_look(self, look: str | None) -> None:
        """Raise SettingError for a look that the bundle does not offer."""
        if look is None or look in self.spec.looks:
            return
        offered = " ".join(self.spec.looks)
        raise SettingError(
            f"{self.bundle.name}: look is {look}, expected one of {offered}"
            if offered
            else f"{self.bundle.name}: takes no look; leave it out"
        )

    def checked_depth(self, depth: int | None) -> int:
        """Return the depth, the deepest for None; SettingError if it is not offered."""
        if depth is None:
            return self.bundle.depths[-1]
        if depth not in self.bundle.depths:
            raise SettingError(
                f"{self.bundle.name}: depth is {depth}, expected one of"
                f" {' '.join(str(known) for known in self.bundle.depths)}"
            )
        return depth

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _controls(
        self, sigma: float | None, strength: float | None, look: str | None
    ) -> dict[str, NDArray[Any]]:
        """Return what the network is told beside the picture, by name."""
        self.check_sigma(sigma)
        self.check_strength(strength)
        self.check_look(look)
        spec = self.spec
        told: dict[str, NDArray[Any]] = {}
        if sigma is not None:
            told["sigma"] = np.full((1, 1, 1, 1), sigma / PICTURE_PEAK, np.float32)
        if spec.strength is not None:
            value = spec.strength.maximum if strength is None else strength
            told["strength"] = np.full((1, 1, 1, 1), value, np.float32)
        if spec.looks:
            place = 0 if look is None else spec.looks.index(look)
            told["look"] = np.zeros((1, 1, 1, len(spec.looks)), np.float32)
            told["look"][..., place] = 1.0
        return told

    def _within(self, name: str, value: float | None, found: Interval | None) -> None:
        if value is None:
            return
        offered = self._offered(name, found)
        if not offered.minimum <= value <= offered.maximum:
            raise SettingError(
                f"{self.bundle.name}: {name} is {value:g}, expected"
                f" {offered.minimum:g} to {offered.maximum:g}"
            )

    def _offered(self, name: str, found: Interval | None) -> Interval:
        if found is None:
            raise SettingError(f"{self.bundle.name}: takes no {name}; leave it out")
        return found

    def _spans(self, axis: int, length_px: int, depth: int) -> list[Span]:
        spec = self.spec
        tile_px, radius_px = spec.tile_px[axis], spec.radius_px[depth]
        return spans(length_px, tile_px, radius_px, spec.multiple_px)

    def _cut(self, strip: NDArray[Any], column: int) -> NDArray[np.float32]:
        """Return the tile that starts at a column of a strip, mirrored where it ends.

        A tile holds more of the picture than is missing beside it, or all of the
        picture, so mirroring the tile is mirroring the picture.
        """
        rows, columns = self.spec.tile_px
        tile = to_float(strip[:, column : column + columns])  # (Y, X, 3)
        below, right = rows - tile.shape[0], columns - tile.shape[1]
        if below == right == 0:
            return tile
        return np.pad(tile, ((0, below), (0, right), (0, 0)), "symmetric")


def open_filter(
    name_or_path: str,
    engine: str = "litert",
    precision: str = "int8",
    threads: int = 1,
) -> ImageFilter:
    """Return the filter of a ready-made bundle or of the bundle at a path.

    Close it, or use it in a `with`. Raises BundleError if the bundle breaks its
    contract or is for speech, SettingError if the engine is unknown or missing or the
    bundle has no such file for it, EngineError if it cannot run the file.
    """
    bundle = find_bundle(name_or_path)
    require_picture(bundle)
    model = choose_model(bundle, engine, precision)
    return ImageFilter(bundle, open_engine(engine, model, threads))


def require_picture(bundle: Bundle) -> PictureSpec:
    """Return the bundle's picture constants; raises BundleError if it has none."""
    if bundle.picture is None:
        raise BundleError(
            f'{bundle.folder}: task is "{bundle.task}", expected "picture";'
            " use tiedge transcribe"
        )
    return bundle.picture


def _check_picture(picture: NDArray[np.float32]) -> None:
    if picture.ndim != 3 or picture.shape[2] != N_CHANNELS or 0 in picture.shape:
        raise PictureError(
            f"picture: shape is {picture.shape}, expected (rows, columns, {N_CHANNELS})"
        )
    if picture.dtype != np.float32:
        raise PictureError(f"picture: dtype is {picture.dtype}, expected float32")
    # Both carry NaN and infinity, and need no second array of the picture's size.
    if not np.isfinite([picture.min(), picture.max()]).all():
        raise PictureError("picture: holds NaN or infinity, expected finite numbers")
