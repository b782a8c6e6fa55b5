"""The published figures of the picture filters."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.bundle import find_bundle
from edge_runtime.engines import FORMAT_OF_ENGINE
from edge_runtime.pictures import list_pictures
from training.data import data_folder
from training.picture_tables import HEADLINE_SIGMA
from training.result_rows import Call, Row, cases_of, default_of, only

if TYPE_CHECKING:
    from training.results import Setup

CASE = "bundle engine engine_version precision threads"
FIGURES = "depth psnr_db ssim ms"
POSED_NOISE = "sigma protocol seed noisy_psnr_db"
POSED_LIGHT = "exposure strength seed untouched_psnr_db"
POSED_LOOK = "look strength untouched_psnr_db"
"""What evaluation says of the pictures that were to be filtered."""
PEERS_EVERY = 4
"""Of the photographs, one in so many stands for all where slow peers are measured."""


def denoise_rows(setup: Setup, call: Call) -> Iterator[Row]:
    """Yield a row per engine, file, noise level and depth."""
    photos = str(data_folder() / setup.photos)
    cases = cases_of(setup.denoise)
    for case in cases:
        # The other engines and precisions are there to be compared at one noise level.
        sigmas = setup.sigmas if case == default_of(cases) else (HEADLINE_SIGMA,)
        asked = ("evaluate", setup.denoise, "--data", photos, *case)
        yield from _noise(call, asked, sigmas, setup.photos)


def live_profile_rows(setup: Setup, call: Call) -> Iterator[Row]:
    """Yield a row per noise level and depth of the filter for cameras, and at fp32."""
    photos = str(data_folder() / setup.photos)
    for case in cases_of(setup.denoise_live):
        asked = ("evaluate", setup.denoise_live, "--data", photos, *case)
        yield from _noise(call, asked, (HEADLINE_SIGMA,), setup.photos)


def gray_rows(setup: Setup, call: Call) -> Iterator[Row]:
    """Yield a row per gray test set, noise level and depth."""
    cases = cases_of(setup.denoise)
    for data in setup.gray if cases else ():
        folder = str(data_folder() / data)
        asked = ("evaluate", setup.denoise, "--data", folder, *default_of(cases))
        yield from _noise(call, asked, setup.sigmas, data)


def _noise(
    call: Call, asked: Sequence[str], sigmas: Sequence[float], data: str
) -> Iterator[Row]:
    for sigma in sigmas:
        found = call(*asked, "--sigma", f"{sigma:g}", "--depth", "all")
        same = only(found, f"{CASE} {POSED_NOISE} n_pictures")
        for row in _per_depth(found):
            yield same | {"data": data} | only(row, FIGURES)


def peer_rows(setup: Setup, call: Call) -> Iterator[Row]:
    """Yield a row per depth and per other denoiser, all on the same photographs.

    A part of the usual test set; and at every noise level some photographs that were
    no part of any choice in training.
    """
    cases = cases_of(setup.denoise)
    if not cases:
        return
    photos = list_pictures(data_folder() / setup.photos)[::PEERS_EVERY]
    default = default_of(cases)
    file = {"file_bytes": _file_bytes(setup.denoise, default)}
    with tempfile.TemporaryDirectory() as scratch:
        listed = Path(scratch) / "photos.txt"
        listed.write_text("\n".join(str(path.resolve()) for path in photos))
        part = f"every {PEERS_EVERY}th of {setup.photos}", listed, (HEADLINE_SIGMA,)
        unseen = data_folder() / setup.small_photos
        for data, given, sigmas in (part, (setup.small_photos, unseen, setup.sigmas)):
            for sigma in sigmas:
                asked = ("--data", str(given), "--sigma", f"{sigma:g}", *default)
                evaluate = ("evaluate", setup.denoise, *asked, "--depth", "all")
                found = call(*evaluate, "--beside")
                for row in _with_peers(found, POSED_NOISE, data):
                    yield row if row["peer"] else row | file


def _file_bytes(bundle: str, case: Sequence[str]) -> int:
    """Return the size of the file that a case runs."""
    engine, precision = (
        case[case.index(option) + 1] for option in ("--engine", "--precision")
    )
    return find_bundle(bundle).model(FORMAT_OF_ENGINE[engine], precision).bytes


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
        found = call(*evaluate, *case, *beside)
        yield from _with_peers(found, POSED_LIGHT, setup.photos)
    for strength in ((), ("--strength", "0")):
        good = (*default, "--exposure", "good", *strength)
        found = call(*evaluate, *good)
        yield from _with_peers(found, POSED_LIGHT, setup.photos)


def superres_rows(setup: Setup, call: Call) -> Iterator[Row]:
    """Yield a row per engine, file and depth."""
    small = str(data_folder() / setup.small_photos)
    for case in cases_of(setup.superres):
        asked = ("evaluate", setup.superres, "--data", small, *case, "--depth", "all")
        found = call(*asked)
        same = only(found, f"{CASE} scale n_pictures bicubic_psnr_db")
        for row in _per_depth(found):
            yield same | {"data": setup.small_photos} | only(row, FIGURES)


def looks_rows(setup: Setup, call: Call) -> Iterator[Row]:
    """Yield a row per look and depth, beside OpenCV; other files with one look."""
    photos = str(data_folder() / setup.photos)
    cases = cases_of(setup.looks)
    for case in cases:
        is_default = case == default_of(cases)
        offered = find_bundle(setup.looks).picture
        assert offered is not None
        for look in offered.looks if is_default else offered.looks[:1]:
            asked = ("evaluate", setup.looks, "--data", photos, *case, "--look", look)
            beside = ("--beside",) if is_default else ()
            found = call(*asked, "--depth", "all", *beside)
            yield from _with_peers(found, POSED_LOOK, setup.photos)


def _with_peers(found: Row, posed: str, data: str) -> Iterator[Row]:
    """Yield a row per depth and one per peer; `posed` names what pictures were like."""
    same = only(found, f"bundle threads {posed} n_pictures")
    same |= {"data": data}
    run_by = only(found, "engine engine_version precision")
    for row in _per_depth(found):
        yield {**same, "peer": None, **run_by, **only(row, FIGURES)}
    yield from _peers(found, same)


def _per_depth(found: Row) -> list[Row]:
    """Return a row per depth; of a network of one depth, rows are pictures."""
    rows: list[Row] = found["rows"]
    return [found] if "path" in rows[0] else rows


def _peers(found: Row, same: Row) -> Iterator[Row]:
    for row in found.get("beside", ()):
        figures = only(row, "psnr_db ssim ms")
        yield {**same, "peer": row["name"], "peer_version": row["version"], **figures}
