import io
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edge_runtime.errors import PictureError
from edge_runtime.noise_level import estimate_sigma
from edge_runtime.pictures import (
    add_noise,
    list_pictures,
    read_picture,
    to_8_bits,
    to_float,
)

PHOTOS = Path(os.environ.get("TIEDGE_DATA", "../shared/data"), "photos/test_CBSD68.txt")


def scene(n_rows: int = 200, n_columns: int = 260) -> NDArray[np.uint8]:
    """Return a picture with a gradient, edges, and texture on a third of it."""
    rows, columns = np.mgrid[0:n_rows, 0:n_columns]
    grey = 60 + rows / 4 + 60 * ((rows // 50 + columns // 60) % 2)
    texture = 30 * np.sin(rows * 2.1) * np.cos(columns * 1.7)
    grey = grey + np.where(columns > 2 * n_columns // 3, texture, 0)
    return np.stack([grey, grey * 0.8, grey[::-1]], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("sigma", [5.0, 15.0, 25.0, 50.0])
def test_estimate_is_the_noise_that_was_added(sigma: float) -> None:
    """Edges and texture do not count as noise; the estimate is within 5 %."""
    noisy = add_noise(scene(), sigma, seed=0, clip=False)

    assert sigma == pytest.approx(estimate_sigma(noisy), rel=0.05)


@pytest.mark.parametrize("sigma", [15.0, 50.0])
def test_what_a_camera_clipped_is_not_judged(sigma: float) -> None:
    """A sky at the end of the scale shows half its noise, or none."""
    picture = scene()
    picture[:, :80] = 255

    noisy = add_noise(picture, sigma, seed=0, clip=True)

    assert sigma == pytest.approx(estimate_sigma(noisy), rel=0.08)


def test_a_picture_that_is_clipped_all_over_is_judged_nevertheless() -> None:
    """Of black and white alone there is no better part to look at."""
    picture = np.zeros((96, 96, 3), np.float32)
    picture[::7, ::5] = 1.0

    assert 0 <= estimate_sigma(picture) < 255


@pytest.mark.parametrize("sigma", [5.0, 25.0, 50.0])
def test_estimate_holds_on_photographs(sigma: float) -> None:
    """As a camera writes them: 15 % on average; fine texture adds 3.5 at most."""
    if not PHOTOS.exists():
        pytest.skip("the photographs are not there; set TIEDGE_DATA")
    found = [
        estimate_sigma(add_noise(read_picture(photo), sigma, number, clip=True))
        for number, photo in enumerate(list_pictures(PHOTOS)[::16])
    ]

    assert sigma == pytest.approx(np.mean(found), rel=0.15)
    assert [sigma] * len(found) == pytest.approx(found, rel=0.1, abs=3.5)


@pytest.mark.parametrize("quality", [75, 95])
def test_a_jpeg_with_colours_at_half_size_is_as_noisy_as_it_was(quality: int) -> None:
    """Most JPEGs are such: what is left of the noise is luma's."""
    if not PHOTOS.exists():
        pytest.skip("the photographs are not there; set TIEDGE_DATA")
    found = []
    for number, photo in enumerate(list_pictures(PHOTOS)[::16]):
        noisy = to_8_bits(add_noise(read_picture(photo), 25.0, number, clip=True))
        file = io.BytesIO()
        Image.fromarray(noisy).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        found.append(estimate_sigma(to_float(np.asarray(Image.open(file)))))

    assert 25.0 == pytest.approx(np.mean(found), rel=0.12)


def test_a_gray_picture_is_not_taken_for_a_coloured_one() -> None:
    """One noise in all three colours is as strong as that of each of them."""
    gray = np.full((128, 128, 1), 0.5, np.float32)
    noise = np.random.default_rng(0).normal(0.0, 25 / 255, gray.shape)

    found = estimate_sigma(np.repeat(gray + noise, 3, axis=2).astype(np.float32))

    assert 25.0 == pytest.approx(found, rel=0.08)


def test_a_clean_plane_has_no_noise() -> None:
    """A slope in brightness is no noise at all."""
    rows, columns = np.mgrid[0:64, 0:64].astype(np.float32)
    slope = np.stack([rows + columns] * 3, axis=-1) / 256

    assert estimate_sigma(slope) < 0.01


def test_pictures_below_a_block_are_judged_whole() -> None:
    """A picture smaller than one block is one block."""
    noisy = add_noise(np.full((20, 24, 3), 128, np.uint8), 25, seed=0, clip=False)

    assert estimate_sigma(noisy) == pytest.approx(25, rel=0.15)
    assert estimate_sigma(noisy[:3, :3]) > 0


def test_memory_does_not_grow_with_the_height() -> None:
    """Twenty times the rows take less than twice the memory."""

    def peak_bytes(n_rows: int) -> int:
        picture = np.zeros((n_rows, 500, 3), np.float32)
        tracemalloc.start()
        estimate_sigma(picture)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    assert peak_bytes(2000) < 2 * peak_bytes(100)


def test_too_few_pixels_are_refused() -> None:
    """A picture without a second difference is one line."""
    with pytest.raises(
        PictureError,
        match=r"^picture: 9×2 pixels are too few to judge the noise, expected at least"
        r" 3×3$",
    ):
        estimate_sigma(np.zeros((2, 9, 3), np.float32))
