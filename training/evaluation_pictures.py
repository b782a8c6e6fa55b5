"""How well noise is taken out of pictures whose clean form is known."""

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

from edge_runtime.errors import PictureError, SettingError
from edge_runtime.noise_level import estimate_sigma
from edge_runtime.pictures import add_noise, psnr_db, read_picture, to_8_bits
from edge_runtime.progress import Progress
from training.scikit_image import check_size, non_local_means, require, ssim

MILLISECONDS_PER_SECOND = 1000
PROTOCOLS = ("published", "camera")

Restorer = Callable[[NDArray[np.float32], float, int], NDArray[np.float32]]
"""Noisy picture, (Y, X, 3), its sigma in units of 255, and a depth to (Y, X, 3)."""


@dataclass(frozen=True)
class PictureWork:
    """A denoiser at work, whatever runs it."""

    restore: Restorer
    depths: tuple[int, ...]
    """Those on offer, shallowest first."""
    sigma_minimum: float
    """In units of 255."""
    sigma_maximum: float


@dataclass(frozen=True)
class Noise:
    """The noise that is added to the clean pictures."""

    sigma: float
    """Standard deviation in units of 255."""
    protocol: str = "published"
    """`published` leaves values unclipped in float, `camera` rounds to 8 bits."""
    seed: int = 0
    """With a picture's place in the list, the seed of its noise."""
    blind: bool = False
    """Whether the denoiser is told an estimate instead of `sigma`."""


@dataclass(frozen=True)
class Peer:
    """Another denoiser, measured on the same noisy pictures."""

    name: str
    version: str
    restore: Callable[[NDArray[np.float32], float], NDArray[np.float32]]
    """Noisy picture, (Y, X, 3), and sigma in units of 255 to (Y, X, 3)."""


@dataclass(frozen=True)
class Score:
    """One picture through one denoiser."""

    psnr_db: float
    ssim: float
    ms: float


def peers() -> tuple[Peer, ...]:
    """Return the denoisers that the installed packages offer."""
    return (Peer("non-local means (scikit-image)", require(), non_local_means),)


def evaluate_pictures(
    work: PictureWork,
    paths: Sequence[Path],
    depths: Sequence[int],
    noise: Noise,
    beside: Sequence[Peer] = (),
) -> dict[str, Any]:
    """Return the mean quality over pictures, at the last of `depths`.

    Keys: n_pictures, psnr_db, ssim, noisy_psnr_db, ms, and rows: one per picture, or
    one per depth where there are several; `beside` has one row per peer. Quality is
    that of the result rounded to 8 bits, as for the noisy picture; a PSNR of None
    means equal to the last bit. Pictures of odd size are measured whole. Each step
    is told on stderr.

    Raises SettingError for a depth or a sigma that is not on offer, PictureError for
    a picture that cannot be read or is too small; all before the first is measured.
    """
    require()
    _check(work, depths, noise)
    for path in paths:  # a fiftieth of the work, and a bad picture costs no more
        check_size(str(path), read_picture(path))
    pictures = []
    scores: dict[int | str, list[Score]] = defaultdict(list)
    with Progress(len(paths)) as progress:
        for index, path in enumerate(paths):
            row, found = _measure(work, path, index, depths, noise, beside)
            pictures.append(row | _figures([found[depths[-1]]]))
            for key, score in found.items():
                scores[key].append(score)
            progress.step(f"{path.name}: {found[depths[-1]].psnr_db:.2f} dB")
    noisy = _mean([row["noisy_psnr_db"] for row in pictures])
    for row in pictures:
        row["noisy_psnr_db"] = _finite(row["noisy_psnr_db"])
    per_depth = [{"depth": depth, **_figures(scores[depth])} for depth in depths]
    result = {
        "n_pictures": len(paths),
        **_figures(scores[depths[-1]]),
        "noisy_psnr_db": _finite(noisy),
        "rows": per_depth if len(depths) > 1 else pictures,
    }
    if beside:
        result["beside"] = [
            {"name": p.name, "version": p.version, **_figures(scores[p.name])}
            for p in beside
        ]
    return result


def _check(work: PictureWork, depths: Sequence[int], noise: Noise) -> None:
    for depth in depths:
        if depth not in work.depths:
            raise SettingError(
                f"depth: found {depth}, expected one of"
                f" {' '.join(map(str, work.depths))}"
            )
    if not work.sigma_minimum <= noise.sigma <= work.sigma_maximum:
        raise SettingError(
            f"sigma: found {noise.sigma:g}, expected {work.sigma_minimum:g} to"
            f" {work.sigma_maximum:g}"
        )


def _measure(
    work: PictureWork,
    path: Path,
    index: int,
    depths: Sequence[int],
    noise: Noise,
    beside: Sequence[Peer],
) -> tuple[dict[str, Any], dict[int | str, Score]]:
    """Return the row of one picture and its scores, by depth and by peer."""
    clean = read_picture(path)
    clip = noise.protocol == "camera"
    noisy = add_noise(clean, noise.sigma, (noise.seed, index), clip=clip)
    sigma = noise.sigma
    row: dict[str, Any] = {
        "path": str(path),
        "noisy_psnr_db": psnr_db(clean, to_8_bits(noisy)),
    }
    try:
        if noise.blind:
            sigma = float(
                np.clip(estimate_sigma(noisy), work.sigma_minimum, work.sigma_maximum)
            )
            row["sigma_estimate"] = round(sigma, 3)
        scores: dict[int | str, Score] = {}
        for depth in depths:
            scores[depth] = _score(clean, partial(work.restore, noisy, sigma, depth))
        for peer in beside:
            restore = partial(peer.restore, noisy, noise.sigma)
            scores[peer.name] = _score(clean, restore)
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from error
    return row, scores


def _score(
    clean: NDArray[np.uint8], restore: Callable[[], NDArray[np.float32]]
) -> Score:
    started = time.perf_counter()
    restored = restore()
    ms = (time.perf_counter() - started) * MILLISECONDS_PER_SECOND
    rounded = to_8_bits(restored)
    return Score(psnr_db(clean, rounded), ssim(clean, rounded), ms)


def _figures(scores: Sequence[Score]) -> dict[str, Any]:
    return {
        "psnr_db": _finite(_mean([score.psnr_db for score in scores])),
        "ssim": _mean([score.ssim for score in scores]),
        "ms": _mean([score.ms for score in scores]),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _finite(value: float) -> float | None:
    """Return the value, or None for infinity, which JSON cannot write."""
    return value if math.isfinite(value) else None
