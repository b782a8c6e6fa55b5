"""How good the pictures are that a network makes, where the best ones are known."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle_parts import Interval
from edge_runtime.errors import PictureError, SettingError, one_line
from edge_runtime.pictures import read_picture, to_8_bits
from edge_runtime.progress import Progress
from training.problems import Peer, Posed, Problem
from training.scikit_image import check_size, require, ssim

MILLISECONDS_PER_SECOND = 1000

Restorer = Callable[..., NDArray[np.float32]]
"""Called with a picture, (Y, X, 3), `depth=`, and what the network is told by name."""


@dataclass(frozen=True)
class PictureWork:
    """A picture network at work, whatever runs it, and what it offers."""

    restore: Restorer
    depths: tuple[int, ...]
    """Shallowest first."""
    scale: int = 1
    """Output pixels per input pixel, along either axis."""
    sigma: Interval | None = None
    """Noise levels, in units of 255; None where it takes none."""
    strength: Interval | None = None
    """How much it may do; None where it takes no strength."""
    looks: tuple[str, ...] = ()
    """What it can make of a picture; none where there is no choice."""


@dataclass(frozen=True)
class Score:
    """One picture through one denoiser."""

    psnr_db: float
    ssim: float
    ms: float


def evaluate_pictures(
    work: PictureWork,
    paths: Sequence[Path],
    depths: Sequence[int],
    problem: Problem,
    beside: Sequence[Peer] = (),
) -> dict[str, Any]:
    """Return the mean quality over pictures, at the last of `depths`.

    Keys: n_pictures, psnr_db, ssim, the problem's key for the quality without a
    network, ms, and rows: one per picture, or one per depth where there are several;
    `beside` has one row per peer. Quality is that of the result rounded to 8 bits; a
    PSNR of None means equal to the last bit. Each step is told on stderr.

    Raises SettingError for a depth that is not on offer, PictureError for a picture
    that cannot be read or is too small; all before the first is measured.
    """
    require()
    _check(work, depths)
    for path in paths:  # a fiftieth of the work, and a bad picture costs no more
        check_size(str(path), problem.measured(read_picture(path)))
    pictures = []
    scores: dict[int | str, list[Score]] = defaultdict(list)
    with Progress(len(paths)) as progress:
        for index, path in enumerate(paths):
            row, found = _measure(work, path, index, depths, problem, beside)
            pictures.append(row | _figures([found[depths[-1]]]))
            for key, score in found.items():
                scores[key].append(score)
            db = found[depths[-1]].psnr_db
            progress.step(one_line(f"{path.name}: {db:.2f} dB"))
    key = problem.untouched
    untouched = _mean([row[key] for row in pictures])
    for row in pictures:
        row[key] = _finite(row[key])
    per_depth = [{"depth": depth, **_figures(scores[depth])} for depth in depths]
    result = {
        "n_pictures": len(paths),
        **_figures(scores[depths[-1]]),
        key: _finite(untouched),
        "rows": per_depth if len(depths) > 1 else pictures,
    }
    if beside:
        result["beside"] = [
            {"name": p.name, "version": p.version, **_figures(scores[p.name])}
            for p in beside
        ]
    return result


def _check(work: PictureWork, depths: Sequence[int]) -> None:
    for depth in depths:
        if depth not in work.depths:
            raise SettingError(
                f"depth: found {depth}, expected one of"
                f" {' '.join(map(str, work.depths))}"
            )


def _measure(
    work: PictureWork,
    path: Path,
    index: int,
    depths: Sequence[int],
    problem: Problem,
    beside: Sequence[Peer],
) -> tuple[dict[str, Any], dict[int | str, Score]]:
    """Return the row of one picture and its scores, by depth and by peer."""
    try:
        posed = problem.pose(read_picture(path), index)
        untouched = problem.psnr_db(posed.wanted, problem.without(posed))
        row = {"path": str(path), problem.untouched: untouched, **posed.facts}
        makers: dict[int | str, Callable[[], NDArray[np.float32]]] = {
            depth: partial(work.restore, posed.given, depth=depth, **posed.told)
            for depth in depths
        }
        makers |= {peer.name: partial(peer.restore, posed) for peer in beside}
        scores = {key: _score(problem, posed, make) for key, make in makers.items()}
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from error
    return row, scores


def _score(
    problem: Problem,
    posed: Posed,
    make: Callable[[], NDArray[np.float32]],
) -> Score:
    started = time.perf_counter()
    made = make()
    ms = (time.perf_counter() - started) * MILLISECONDS_PER_SECOND
    if posed.is_gray:
        made = np.repeat(made.mean(axis=2, keepdims=True), made.shape[2], axis=2)
    rounded = to_8_bits(made)
    wanted = posed.wanted
    return Score(problem.psnr_db(wanted, rounded), ssim(wanted, rounded), ms)


def _figures(scores: Sequence[Score]) -> dict[str, Any]:
    return {
        "psnr_db": _finite(_mean([score.psnr_db for score in scores])),
        "ssim": _mean([score.ssim for score in scores]),
        "ms": _mean([score.ms for score in scores]),
    }


def _mean(values: Sequence[float]) -> float:
    """Return the mean, of those that are finite where some are not.

    A picture that comes back to the last bit has no PSNR; it is infinite only where
    all are such.
    """
    counted = [value for value in values if math.isfinite(value)] or values
    return sum(counted) / len(counted)


def _finite(value: float) -> float | None:
    """Return the value, or None for infinity, which JSON cannot write."""
    return value if math.isfinite(value) else None
