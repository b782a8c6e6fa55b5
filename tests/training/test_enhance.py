"""The enhance recipe: its data, its network and how it is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edge_runtime.errors import SettingError
from edge_runtime.pictures import psnr_db, to_8_bits, write_picture
from edge_runtime.tones import tones_of
from tests.export.tiny_plans import spread
from training.checkpoint import save_weights
from training.commands.evaluate import run as evaluate
from training.enhancer import TONE_LEVELS, brightened
from training.exposure import GAIN, GAMMA, Exposure, draw_exposure
from training.problems import Exposing
from training.recipes.enhance import EnhanceRecipe
from training.recipes.superres import SuperresRecipe
from training.tasks.enhance import EnhanceTask

TINY = EnhanceRecipe(channels=4, depths=(1, 2), depth_weights=(0.5, 1.0), patch_px=16)


def photos(folder: Path, n_photos: int = 2) -> Path:
    """Write smooth pictures of 40×48 pixels, black and white among their values."""
    for number in range(n_photos):
        y, x = np.mgrid[:40, :48]
        wave = 127.5 + 127.5 * np.sin(y / 5 + number) * np.cos(x / 7)
        picture = np.stack([wave, wave / 2, 255 - wave], axis=2).astype(np.uint8)
        write_picture(folder / f"{number}.png", picture)
    return folder


def test_a_dark_exposure_is_within_what_is_promised() -> None:
    """Gain, gamma and noise are drawn from their ranges, over all of them."""
    rng = np.random.default_rng(0)
    drawn = [draw_exposure("dark", rng) for _ in range(500)]

    gains, gammas = ([e.gain for e in drawn], [e.gamma for e in drawn])
    assert GAIN[0] <= min(gains) < 0.12 and 0.45 < max(gains) <= GAIN[1]
    assert GAMMA[0] <= min(gammas) < 1.05 and 2.4 < max(gammas) <= GAMMA[1]
    assert 0.19 < np.median(gains) < 0.26  # even over the logarithm


def test_an_exposure_is_what_a_camera_stores() -> None:
    """Gain and gamma first, then rounding to 8 bits."""
    picture = np.arange(0, 256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)

    found = Exposure(0.5, 2.0, 0.0).expose(picture, np.random.default_rng(0))

    expected = np.rint(0.5 * (picture / 255.0) ** 2 * 255.0) / 255.0
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_curve_keeps_the_order_of_values_and_their_range() -> None:
    """However the curve is bent, nothing is clipped."""
    values = torch.linspace(0.0, 1.0, 101).reshape(1, 1, 1, -1)
    for bend in (-9.0, -0.5, 0.0, 0.5, 9.0):
        light = brightened(values, torch.full_like(values, bend)).flatten()

        assert (0.0, 1.0) == (light[0].item(), light[-1].item())
        assert (light.diff() >= 0.0).all()


def test_no_strength_gives_the_picture_back() -> None:
    """To the last bit, whatever the weights."""
    network = spread(TINY.network())
    picture, tones = torch.rand(1, 3, 8, 8), torch.rand(1, len(TONE_LEVELS), 1, 1)

    with torch.no_grad():
        found = network.at_depth(picture, tones, torch.zeros(1, 1, 1, 1), depth=2)

    torch.testing.assert_close(picture, found, rtol=0.0, atol=0.0)


def test_examples_are_told_the_tones_of_their_whole_photograph(tmp_path: Path) -> None:
    """Not those of the square that is cut out; the square wanted is the good one."""
    task = EnhanceTask(
        EnhanceRecipe(patch_px=16, dark_part=0.0, bright_part=0.0), photos(tmp_path)
    )

    batch = task.batch(3, [0, 1])

    assert (2, len(TONE_LEVELS), 1, 1) == tuple(batch["tones"].shape)
    torch.testing.assert_close(batch["good"], batch["picture"])
    (photo,) = task.train  # one of two is held out
    expected = tones_of(photo, TONE_LEVELS)
    np.testing.assert_allclose(expected, batch["tones"][0].flatten(), atol=1e-6)


def test_training_lowers_the_error(tmp_path: Path) -> None:
    """A few steps down the slope of one batch make it better."""
    task = EnhanceTask(TINY, photos(tmp_path))
    torch.manual_seed(0)
    network = task.network()
    batch = task.batch(0, [0, 1, 2, 3])
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)

    losses = []
    for _ in range(40):
        loss = task.loss(network, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses[-1] < losses[0] - 0.5


def test_parts_of_the_examples_are_parts() -> None:
    """No more than all of them."""
    with pytest.raises(SettingError) as caught:
        EnhanceRecipe(dark_part=0.8, bright_part=0.3)

    assert (
        "dark_part and bright_part: found 0.8 and 0.3, expected 1 at most together"
        == str(caught.value)
    )


def test_a_picture_is_posed_alike_each_time() -> None:
    """Its place in the list is the seed; the row says how it was darkened."""
    clean = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)

    first, again = (Exposing().pose(clean, 4) for _ in range(2))
    other = Exposing().pose(clean, 5)

    np.testing.assert_array_equal(first.given, again.given)
    assert first.facts == again.facts != other.facts
    assert ["gain", "gamma", "sigma"] == list(first.facts)


def test_the_peers_mend_what_they_can() -> None:
    """Each is nearer to the picture wanted; the best gamma finds a pure gamma."""
    y, x = np.mgrid[:64, :64]
    clean = np.stack([2 * y + 2 * x, 4 * y, 4 * x], 2).astype(np.uint8)
    problem = Exposing()
    posed = problem.pose(clean, 0)
    untouched = psnr_db(clean, problem.without(posed))
    peers = {peer.name.split(" (")[0]: peer for peer in problem.peers()}

    for peer in peers.values():
        assert psnr_db(clean, to_8_bits(peer.restore(posed))) > untouched + 3.0

    gamma = Exposure(1.0, 2.0, 0.0).expose(clean, np.random.default_rng(0))
    pure = type(posed)(gamma, clean)
    best = to_8_bits(peers["best gamma per picture"].restore(pure))
    assert psnr_db(clean, best) > 33.0


def test_evaluate_says_what_was_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exposure and strength stand in the first line."""
    checkpoint = tmp_path / "light"
    save_weights(checkpoint, "enhance", TINY, TINY.network().state_dict(), 7, {})
    data = photos(tmp_path / "photos", 1)

    what = [str(checkpoint), "--data", str(data), "--exposure", "good"]
    status = evaluate([*what, "--strength", "0", "--depth", "2"])

    first, second = capsys.readouterr().out.splitlines()
    assert 0 == status
    assert (
        "light (torch fp32), good pictures at strength 0, 1 pictures, untouched no"
        " difference" == first
    )
    assert second.startswith("depth 2: no difference, SSIM 1.0000")


def test_light_is_no_question_for_a_network_that_gives_none(tmp_path: Path) -> None:
    """An option that means nothing is named."""
    recipe = SuperresRecipe(channels=4, depths=(1,), depth_weights=(1.0,))
    folder = tmp_path / "double"
    save_weights(folder, "superres", recipe, recipe.network().state_dict(), 7, {})

    with pytest.raises(SettingError) as caught:
        evaluate([str(folder), "--exposure", "dark"])

    assert (
        "--exposure: is about light, of which double gives none; leave it out"
        == str(caught.value)
    )
