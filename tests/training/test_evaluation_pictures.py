from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from edge_runtime.bundle_parts import Interval
from edge_runtime.errors import PictureError, SettingError
from edge_runtime.pictures import add_noise, list_pictures, psnr_db, read_picture
from edge_runtime.pictures import to_8_bits as rounded
from training.evaluation_pictures import PictureWork, evaluate_pictures
from training.problems import Denoising, Noise, Peer
from training.scikit_image import non_local_means, ssim

Picture = NDArray[np.float32]


OFFERED = Interval(0.0, 55.0)


def unchanged(picture: Picture, *, sigma: float, depth: int) -> Picture:
    return picture


def work(restore: object = unchanged) -> PictureWork:
    return PictureWork(restore, (1, 2), sigma=OFFERED)  # type: ignore[arg-type]


def noise(
    sigma: float, protocol: str = "published", seed: int = 0, *, blind: bool = False
) -> Denoising:
    return Denoising(Noise(sigma, protocol, seed, blind), OFFERED)


def test_figures_are_means_over_pictures(photos: Path) -> None:
    """PSNR is that of each picture rounded to 8 bits, with noise of its own seed."""
    paths = list_pictures(photos)

    found = evaluate_pictures(work(), paths, (2,), noise(25.0, seed=3))

    clean = [read_picture(path) for path in paths]
    noisy = [add_noise(c, 25, (3, i), clip=False) for i, c in enumerate(clean)]
    expected = [psnr_db(c, rounded(n)) for c, n in zip(clean, noisy, strict=True)]
    assert expected == [row["psnr_db"] for row in found["rows"]]
    assert [str(path) for path in paths] == [row["path"] for row in found["rows"]]
    assert len(paths) == found["n_pictures"]
    assert sum(expected) / len(paths) == found["psnr_db"] == found["noisy_psnr_db"]
    assert "beside" not in found


def test_one_row_per_depth_where_there_are_several(photos: Path) -> None:
    """Every depth sees the same noise; the headline is the deepest."""

    def half(picture: Picture, *, sigma: float, depth: int) -> Picture:
        return picture if depth == 1 else (picture + picture.mean()) / 2

    paths = list_pictures(photos)
    found = evaluate_pictures(work(half), paths, (1, 2), noise(50.0))

    assert [1, 2] == [row["depth"] for row in found["rows"]]
    assert found["noisy_psnr_db"] == found["rows"][0]["psnr_db"]
    assert found["psnr_db"] == found["rows"][1]["psnr_db"]


def test_the_network_is_told_sigma_and_sees_the_protocol(photos: Path) -> None:
    """`published` leaves values outside 0–1, `camera` holds 8-bit values."""
    told: list[tuple[float, bool, bool]] = []

    def look(picture: Picture, *, sigma: float, depth: int) -> Picture:
        levels = picture * 255
        whole = bool(np.allclose(levels, np.rint(levels), atol=1e-3))
        told.append((sigma, whole, bool(picture.min() < 0 or picture.max() > 1)))
        return picture

    paths = list_pictures(photos)[:1]
    evaluate_pictures(work(look), paths, (1,), noise(50.0, "published"))
    evaluate_pictures(work(look), paths, (1,), noise(50.0, "camera"))

    assert [(50.0, False, True), (50.0, True, False)] == told


def test_blind_tells_an_estimate(photos: Path) -> None:
    """The estimate stands in the row, within what the network is made for."""
    told: list[float] = []

    def look(picture: Picture, *, sigma: float, depth: int) -> Picture:
        told.append(sigma)
        return picture

    narrow = Denoising(Noise(25.0, blind=True), Interval(0.0, 26.0))
    found = evaluate_pictures(work(look), list_pictures(photos), (1,), narrow)

    assert told == pytest.approx([25.0] * 4, rel=0.35)
    assert max(told) <= 26.0
    assert [round(sigma, 3) for sigma in told] == [
        row["sigma_estimate"] for row in found["rows"]
    ]


def test_equal_pictures_have_no_finite_psnr(photos: Path) -> None:
    """Without noise PSNR is None, which JSON can write, and SSIM is 1."""
    found = evaluate_pictures(work(), list_pictures(photos), (1,), noise(0.0))

    assert (None, None, 1.0) == (
        found["psnr_db"],
        found["noisy_psnr_db"],
        found["ssim"],
    )
    assert [None] * 4 == [row["noisy_psnr_db"] for row in found["rows"]]


def test_peers_meet_the_same_noise(photos: Path) -> None:
    """A peer has a row with its name, version and figures."""
    peer = Peer("as it is", "7", lambda posed: posed.given)

    found = evaluate_pictures(
        work(), list_pictures(photos), (1,), noise(25.0), beside=(peer,)
    )

    (row,) = found["beside"]
    assert row.pop("ms") >= 0
    assert {
        "name": "as it is",
        "version": "7",
        "psnr_db": found["psnr_db"],
        "ssim": found["ssim"],
    } == row


def test_non_local_means_takes_noise_away(photos: Path) -> None:
    """The peer is a real denoiser: at least 3 dB on a smooth picture."""
    clean = read_picture(list_pictures(photos)[0])
    noisy = add_noise(clean, 25, 0, clip=False)

    gain_db = psnr_db(clean, rounded(non_local_means(noisy, 25))) - psnr_db(
        clean, rounded(noisy)
    )

    assert gain_db > 3


def test_ssim_is_its_papers(photos: Path) -> None:
    """SSIM equals the formula of Wang et al. written out, away from the border."""
    clean = read_picture(list_pictures(photos)[0])
    other = rounded(add_noise(clean, 15, 0, clip=False))

    values = [
        _written_out(clean[..., c].astype(float), other[..., c].astype(float))
        for c in range(3)
    ]

    assert sum(values) / 3 == pytest.approx(ssim(clean, other), abs=1e-6)


def _written_out(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return gaussian_filter(values, 1.5, truncate=3.5)

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = mean(x), mean(y)
    vx, vy = mean(x * x) - mx * mx, mean(y * y) - my * my
    both = mean(x * y) - mx * my
    value = (2 * mx * my + c1) * (2 * both + c2)
    value = value / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return float(value[5:-5, 5:-5].mean())


@pytest.mark.parametrize(
    ("depth", "sigma", "message"),
    [
        (3, 25.0, "depth: found 3, expected one of 1 2"),
        (1, -1.0, "sigma: found -1, expected 0 to 55"),
        (1, 60.0, "sigma: found 60, expected 0 to 55"),
        (1, math.nan, "sigma: found nan, expected 0 to 55"),
    ],
)
def test_what_is_not_on_offer_is_refused(
    photos: Path, depth: int, sigma: float, message: str
) -> None:
    """A depth or sigma outside what the network is made for is one line."""
    with pytest.raises(SettingError, match=f"^{message}$"):
        evaluate_pictures(work(), list_pictures(photos), (depth,), noise(sigma))


def test_a_picture_too_small_for_ssim_is_named(tmp_path: Path) -> None:
    """The line holds the file, its size and what is needed."""
    path = tmp_path / "dot.png"
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(path)

    with pytest.raises(
        PictureError,
        match=r"dot\.png: is 9×8 pixels, SSIM needs at least 11×11$",
    ):
        evaluate_pictures(work(), [path], (1,), noise(25.0))
