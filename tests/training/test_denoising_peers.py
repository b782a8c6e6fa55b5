"""The denoising problem, in colour and in gray, and others that solve it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_runtime.bundle_parts import Interval
from edge_runtime.pictures import PICTURE_PEAK, psnr_db, to_8_bits
from training.evaluation_pictures import PictureWork, evaluate_pictures
from training.problems import Denoising, Noise

SIGMA = 25.0
SIDE_PX = 48
OFFERED = Interval(0.0, 55.0)


def picture(n_colours: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a ramp, (Y, X, 3), of one colour or of three."""
    ramp = np.linspace(40, 210, SIDE_PX)
    colours = [ramp + 10 * min(c, n_colours - 1) for c in range(3)]
    plane = np.broadcast_to(np.stack(colours, axis=1), (SIDE_PX, SIDE_PX, 3))
    return plane.astype(np.uint8)


@pytest.mark.parametrize("n_colours", [1, 3])
def test_noise_is_that_of_a_gray_or_a_colour_picture(n_colours: int) -> None:
    """Gray has one noise for all colours, colour has one for each."""
    posed = Denoising(Noise(SIGMA), OFFERED).pose(picture(n_colours), 0)
    noise = PICTURE_PEAK * posed.given - posed.wanted

    assert posed.is_gray == (n_colours == 1)
    assert (np.ptp(posed.given, axis=2).max() < 1e-6) == posed.is_gray
    assert SIGMA == pytest.approx(noise[..., 0].std(), rel=0.1)


@pytest.mark.parametrize("n_colours", [1, 3])
def test_peers_take_noise_away(n_colours: int) -> None:
    """Each that is installed does, and leaves a gray picture gray."""
    problem = Denoising(Noise(SIGMA), OFFERED)
    posed = problem.pose(picture(n_colours), 0)
    noisy_db = psnr_db(posed.wanted, problem.without(posed))

    for peer in problem.peers():
        made = peer.restore(posed)

        assert posed.wanted.shape == made.shape, peer.name
        assert psnr_db(posed.wanted, to_8_bits(made)) > noisy_db + 3.0, peer.name
        assert (np.ptp(made, axis=2).max() < 1e-6) == posed.is_gray, peer.name


def test_what_is_made_of_gray_is_measured_as_gray(tmp_path: Path) -> None:
    """The mean over a network's colours counts, as a filter writes it."""
    Image.fromarray(picture(1)[..., 0]).save(tmp_path / "gray.png")
    offset = np.array([0.1, 0.0, -0.1], np.float32)
    clean = picture(1).astype(np.float32) / PICTURE_PEAK
    work = PictureWork(lambda given, depth, sigma: clean + offset, depths=(1,))

    found = evaluate_pictures(
        work, [tmp_path / "gray.png"], (1,), Denoising(Noise(SIGMA), OFFERED)
    )

    assert found["psnr_db"] is None
