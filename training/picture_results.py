"""The published figures of the picture filters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from training.data import data_folder
from training.result_rows import Call, Row, cases_of, default_of, only
from training.result_tables import HEADLINE_SIGMA

if TYPE_CHECKING:
    from training.results import Setup


def denoise_rows(setup: Setup, call: Call) -> Iterator[Row]:
    """Yield a row per engine, file, noise level and depth."""
    photos = str(data_folder() / setup.photos)
    cases = cases_of(setup.denoise)
    if not cases:
        return
    default = default_of(cases)
    for case in cases:
        # The other engines and precisions are there to be compared at one noise level.
        for sigma in setup.sigmas if case == default else (HEADLINE_SIGMA,):
            evaluate = ("evaluate", setup.denoise, "--data", photos, *case)
            found = call(*evaluate, "--sigma", f"{sigma:g}", "--depth", "all")
            same = only(found, "bundle engine engine_version precision threads sigma")
            same |= only(found, "protocol seed n_pictures noisy_psnr_db")
            for row in found["rows"]:
                figures = only(row, "depth psnr_db ssim")
                yield same | {"data": setup.photos} | figures


def enhance_rows(setup: Setup, call: Call) -> Iterator[Row]:
    """Yield a row per engine, file and depth on dark pictures, and one per peer.

    Then rows on good pictures, which should stay as they are, at the default strength
    and at none.
    """
    cases = cases_of(setup.enhance)
    if not cases:
        return
    default = default_of(cases)
    photos = str(data_folder() / setup.photos)
    evaluate = ("evaluate", setup.enhance, "--data", photos, "--depth", "all")
    for case in cases:
        beside = ("--beside",) if case == default else ()
        yield from _light(call(*evaluate, *case, *beside), setup.photos)
    for strength in ((), ("--strength", "0")):
        good = (*default, "--exposure", "good", *strength)
        yield from _light(call(*evaluate, *good), setup.photos)


def _light(found: Row, data: str) -> Iterator[Row]:
    same = only(found, "bundle threads exposure strength seed n_pictures")
    same |= {"data": data, "untouched_psnr_db": found["untouched_psnr_db"]}
    run_by = only(found, "engine engine_version precision")
    for row in found["rows"]:
        yield {**same, "peer": None, **run_by, **only(row, "depth psnr_db ssim")}
    for row in found.get("beside", ()):
        figures = only(row, "psnr_db ssim")
        yield {**same, "peer": row["name"], "peer_version": row["version"], **figures}
