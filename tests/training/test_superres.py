"""The superres recipe: its data, its network and how it is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edge_runtime.bundle_parts import Interval
from edge_runtime.errors import DataError, SettingError
from edge_runtime.pictures import list_pictures, read_picture, to_float, write_picture
from tests.export.tiny_plans import spread
from training.checkpoint import save_weights
from training.commands.evaluate import run as evaluate
from training.data import data_folder
from training.evaluation_pictures import PictureWork, evaluate_pictures
from training.luma import luma_psnr_db
from training.problems import Denoising, Enlarging, Noise
from training.recipes.superres import SuperresRecipe
from training.scaling import doubled, halved
from training.tasks.superres import SuperresTask
from training.upscaler import enlarge

TINY = SuperresRecipe(
    channels=4, depths=(1, 2), depth_weights=(0.5, 1.0), patch_px=16, shrink=(1.0, 0.5)
)


def photos(folder: Path, *sizes: tuple[int, int]) -> Path:
    """Write a smooth picture of each size, (Y, X)."""
    for number, (n_rows, n_columns) in enumerate(sizes):
        y, x = np.mgrid[:n_rows, :n_columns]
        wave = 128 + 100 * np.sin(y / 5 + number) * np.cos(x / 7)
        picture = np.stack([wave, wave / 2, 255 - wave], axis=2).astype(np.uint8)
        write_picture(folder / f"{number}.png", picture)
    return folder


def test_examples_are_squares_and_their_halves(tmp_path: Path) -> None:
    """Of pictures at all sizes asked for but those that became too small."""
    task = SuperresTask(TINY, photos(tmp_path, (24, 24), (40, 40), (64, 32)))

    batch = task.batch(3, [0, 1])

    assert "4 pictures to train on, 1 held out" == task.contents()
    assert (2, 3, 8, 8) == tuple(batch["small"].shape)
    assert (2, 3, 16, 16) == tuple(batch["large"].shape)
    for small, large in zip(batch["small"], batch["large"], strict=True):
        square = (large.numpy().transpose(1, 2, 0) * 255).round().astype(np.uint8)
        expected = to_float(halved(square)).transpose(2, 0, 1)
        np.testing.assert_array_equal(expected, small.numpy())


def test_pictures_that_are_all_too_small_are_refused(tmp_path: Path) -> None:
    """One line names the two settings."""
    recipe = SuperresRecipe(patch_px=16, shrink=(0.5,))

    with pytest.raises(DataError) as caught:
        SuperresTask(recipe, photos(tmp_path, (24, 24), (24, 24)))

    assert (
        "no picture shrunk by (0.5,) has patch_px=16 pixels on each side; lower"
        " patch_px or put 1 into shrink" == str(caught.value)
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shrink": (2.0,)}, "shrink=2.0: expected 0.1 to 1.0"),
        ({"patch_px": 17}, "patch_px=17: expected an even number"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    settings: dict[str, object], message: str
) -> None:
    """One line says which setting, what was found and what was expected."""
    with pytest.raises(SettingError) as caught:
        SuperresRecipe(**settings)  # type: ignore[arg-type]

    assert message == str(caught.value)


def test_training_lowers_the_error(tmp_path: Path) -> None:
    """A few steps down the slope of one batch make it better."""
    task = SuperresTask(TINY, photos(tmp_path, (64, 64), (64, 64)))
    torch.manual_seed(0)
    network = task.network()
    batch = task.batch(0, [0, 1, 2, 3])
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)

    losses = []
    for _ in range(20):
        loss = task.loss(network, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize("depth", [1, 2])
def test_an_output_pixel_sees_as_far_as_the_radius(depth: int) -> None:
    """What changes at the radius is seen, what changes one pixel further is not."""
    network = spread(TINY.network())
    radius = network.receptive_radius_px(depth)
    before = torch.rand(1, 3, 4 * radius, 4)
    after = before.clone()
    row = 2 * radius
    after[:, :, row] += 1.0

    with torch.no_grad():
        change = network.at_depth(after, depth=depth) - network.at_depth(
            before, depth=depth
        )

    changed = change.abs().amax(dim=(0, 1, 3)).nonzero().flatten() // 2
    assert (row - radius, row + radius) == (changed.min(), changed.max())


def test_depths_are_those_of_one_run(tmp_path: Path) -> None:
    """`at_depth` gives what training sees at that depth, and colours keep their hue."""
    network = spread(TINY.network())
    picture = torch.rand(1, 3, 8, 8)

    with torch.no_grad():
        exits = network(picture)
        alone = [network.at_depth(picture, depth=depth) for depth in (1, 2)]
        detail = exits[0] - enlarge(picture, 2)

    for one, other in zip(exits, alone, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(detail[:, 0], detail[:, 2])


def test_luma_is_measured_inside_the_border() -> None:
    """A grey level more is 219/255 levels of Y; two pixels of border do not count."""
    wanted = np.full((12, 12, 3), 100, np.uint8)
    found = wanted + np.uint8(1)
    found[:2] = found[:, -2:] = 255

    expected = 20 * np.log10(255 / (219 / 255))
    assert expected == pytest.approx(luma_psnr_db(wanted, found), abs=1e-6)
    assert float("inf") == luma_psnr_db(wanted, wanted)


def test_the_problem_halves_and_measures_bicubic(tmp_path: Path) -> None:
    """A network that does what bicubic does scores what bicubic scores."""
    paths = list_pictures(photos(tmp_path, (40, 41), (33, 40)))

    def bicubic(picture: np.ndarray, *, depth: int) -> np.ndarray:
        return to_float(doubled((picture * 255).round().astype(np.uint8)))

    found = evaluate_pictures(PictureWork(bicubic, (1,), 2), paths, (1,), Enlarging())

    assert found["bicubic_psnr_db"] == found["psnr_db"]
    assert found["psnr_db"] > 25


def test_bicubic_on_set5_is_the_published_figure() -> None:
    """The protocol is that of the papers: 33.66 dB."""
    folder = data_folder() / "photos/Set5"
    if not folder.is_dir():
        pytest.skip("TIEDGE_DATA: no Set5")
    problem = Enlarging()
    values = []
    for index, path in enumerate(list_pictures(folder)):
        posed = problem.pose(read_picture(path), index)
        values.append(problem.psnr_db(posed.wanted, problem.without(posed)))

    assert 33.66 == pytest.approx(np.mean(values), abs=0.03)


def test_evaluate_runs_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The summary says what was done, and how good bicubic is."""
    folder = tmp_path / "double"
    weights = TINY.network().state_dict()
    save_weights(folder, "superres", TINY, weights, 7, {"psnr_db": 20.0})
    (tmp_path / "photos").mkdir()
    pictures = photos(tmp_path / "photos", (40, 40))

    status = evaluate([str(folder), "--data", str(pictures), "--depth", "all"])

    first, *rows = capsys.readouterr().out.splitlines()
    assert 0 == status
    assert first.startswith(
        "double (torch fp32), twice the size, PSNR of Y, 1 pictures, bicubic "
    )
    assert ["depth 1", "depth 2"] == [row.split(":")[0] for row in rows]


def test_noise_is_no_question_for_a_network_that_enlarges(tmp_path: Path) -> None:
    """An option that means nothing is named."""
    folder = tmp_path / "double"
    save_weights(folder, "superres", TINY, TINY.network().state_dict(), 7, {})

    with pytest.raises(SettingError) as caught:
        evaluate([str(folder), "--sigma", "25"])

    assert "--sigma: is about noise, which double is not told; leave it out" == str(
        caught.value
    )


def test_a_sigma_that_is_not_on_offer_is_refused() -> None:
    """Before any picture is read."""
    with pytest.raises(SettingError) as caught:
        Denoising(Noise(60.0), Interval(0.0, 55.0))

    assert "sigma: found 60, expected 0 to 55" == str(caught.value)
