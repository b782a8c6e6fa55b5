"""The pictures of the README: each filter that is shipped, before and after."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.bundle import BUNDLES
from edge_runtime.image_filter import open_filter
from edge_runtime.pictures import psnr_db, read_picture
from training.before_after import FOLDER, GAP_PX, SHOWN, SIDE_PX, cut, show

SHIPPED = [name for name in SHOWN if (BUNDLES / name).is_dir()]


@pytest.mark.parametrize("name", SHIPPED)
def test_each_shipped_filter_is_shown(name: str, tmp_path: Path) -> None:
    """Side by side with gaps, as the committed picture of the same size."""
    made = read_picture(show(name, tmp_path))
    committed = read_picture(FOLDER / f"{name}.jpg")

    n_panels, rest = divmod(made.shape[1] + GAP_PX, SIDE_PX + GAP_PX)
    assert (SIDE_PX, 0) == (made.shape[0], rest)
    assert n_panels >= 3
    assert committed.shape == made.shape
    assert psnr_db(committed, made) > 30.0  # engines differ in the last bits


def test_the_deeper_the_nearer_to_the_picture_without_noise() -> None:
    """What the README shows is an improvement."""
    with open_filter("denoise") as filter:
        noisy, shallow, deep = SHOWN["denoise"](filter)
    clean = cut("chelsea", 20, 90)

    assert psnr_db(clean, noisy) + 5.0 < psnr_db(clean, shallow)
    assert psnr_db(clean, shallow) + 0.5 < psnr_db(clean, deep)


def test_light_comes_nearer_to_the_good_picture() -> None:
    """All of it nearer than half of it."""
    with open_filter("enhance") as filter:
        dark, half, full = SHOWN["enhance"](filter)
    good = cut("astronaut", 0, 90)

    assert psnr_db(good, dark) < psnr_db(good, half) < psnr_db(good, full)
