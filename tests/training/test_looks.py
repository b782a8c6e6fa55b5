"""The looks recipe: its data, its network and how it is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from edge_runtime.errors import SettingError
from edge_runtime.pictures import psnr_db, read_picture, to_float, write_picture
from tests.export.tiny_plans import spread
from training.checkpoint import save_weights
from training.commands.evaluate import run as evaluate
from training.looker import FOLD_PX, SOBEL, sobel_of_phases
from training.looks import LOOKS, told_look
from training.problems import Styling
from training.recipes.looks import LooksRecipe
from training.repeated import fold, unfold
from training.tasks.looks import SHARES, LooksTask

TINY = LooksRecipe(channels=4, depths=(1, 2), depth_weights=(0.5, 1.0), patch_px=16)


def scene(n_rows: int = 40, n_columns: int = 48) -> NDArray[np.uint8]:
    """Return waves of colour with a little grain."""
    y, x = np.mgrid[:n_rows, :n_columns]
    wave = 127.5 + 90.0 * np.sin(y / 5) * np.cos(x / 7)
    grain = np.random.default_rng(0).normal(0.0, 8.0, (n_rows, n_columns, 3))
    picture = np.stack([wave, wave / 2, 255 - wave], axis=2) + grain
    return np.clip(picture, 0, 255).astype(np.uint8)


def photos(folder: Path) -> Path:
    for number in range(2):
        write_picture(folder / f"{number}.png", np.roll(scene(), 7 * number, axis=0))
    return folder


@pytest.mark.parametrize("look", LOOKS)
def test_an_operator_changes_the_picture_and_not_its_colours(look: str) -> None:
    """Red stays red: no operator is given its channels the wrong way round."""
    picture = (scene() * (1.0, 0.6, 0.3)).astype(np.uint8)
    picture[..., 0] = picture.max(axis=2)

    made = LOOKS[look](picture)

    assert (picture.shape, np.uint8) == (made.shape, made.dtype)
    red, _, blue = made.reshape(-1, 3).mean(axis=0)
    assert red > blue + 5.0
    assert psnr_db(picture, made) < 40.0


def test_examples_show_the_look_that_they_are_told(tmp_path: Path) -> None:
    """The square wanted is cut from what the operator makes of the whole photograph."""
    task = LooksTask(TINY, photos(tmp_path))
    batch = task.batch(3, [0, 1, 2, 3])
    (photo,) = task.train  # one of two is held out

    assert (4, len(LOOKS), 1, 1) == tuple(batch["look"].shape)
    for number in range(4):
        (place,) = batch["look"][number].flatten().nonzero().flatten().tolist()
        whole = to_float(LOOKS[list(LOOKS)[place]](photo)).reshape(-1, 3)
        known = {tuple(pixel) for pixel in whole.tolist()}
        square = batch["wanted"][number].permute(1, 2, 0).reshape(-1, 3)
        assert {tuple(pixel) for pixel in square.tolist()} <= known


def test_no_strength_gives_the_picture_back() -> None:
    """To the last bit, whatever the look and the weights."""
    network = spread(TINY.network())
    picture = torch.rand(1, 3, 8, 8)

    with torch.no_grad():
        for look in LOOKS:
            told = torch.from_numpy(told_look(look))[None]
            found = network.at_depth(picture, told, torch.zeros(1, 1, 1, 1), depth=2)

            torch.testing.assert_close(picture, found, rtol=0.0, atol=0.0)


@pytest.mark.parametrize(
    ("axis", "kernel"), [(0, np.array(SOBEL).T), (1, np.array(SOBEL))]
)
def test_outlines_start_as_sobel_filters(axis: int, kernel: NDArray[Any]) -> None:
    """Of every pixel's brightness, along rows or columns, across cells too."""
    picture = torch.rand(1, 3, 16, 20)
    filters = torch.from_numpy(kernel).float()[None, None]
    expected = F.conv2d(picture.mean(dim=1, keepdim=True), filters, padding=1)

    found = F.conv2d(fold(picture, fold_px=FOLD_PX), sobel_of_phases(), padding=1)

    torch.testing.assert_close(expected, unfold(found.chunk(2, dim=1)[axis], FOLD_PX))


def test_looks_differ_by_their_rows_alone() -> None:
    """Made alike, two looks give the same picture; else they do not."""
    network = spread(TINY.network())
    picture, full = torch.rand(1, 3, 8, 8), torch.ones(1, 1, 1, 1)
    first, second = (
        torch.from_numpy(told_look(look))[None] for look in ("smooth", "glow")
    )

    with torch.no_grad():
        apart = [network.at_depth(picture, t, full, depth=2) for t in (first, second)]
        body = network.body
        tables = (
            *(body.scale, body.bias, *body.between_bias),
            *(network.gain, network.kept, network.outlines.dark),
        )
        for table in tables:
            banks = table.reshape(*table.shape[:-1], len(LOOKS), -1)
            banks[..., list(LOOKS).index("glow"), :] = banks[..., 0, :]
        alike = [network.at_depth(picture, t, full, depth=2) for t in (first, second)]

    assert not torch.allclose(*apart, atol=1e-3)
    torch.testing.assert_close(*alike)


def test_training_lowers_the_error(tmp_path: Path) -> None:
    """A few steps down the slope of one batch make it better."""
    task = LooksTask(TINY, photos(tmp_path))
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

    assert losses[-1] < losses[0] - 0.3


def test_every_look_has_its_share_of_examples() -> None:
    """A look without one would never be learned."""
    assert list(LOOKS) == list(SHARES)
    assert sum(SHARES.values()) == pytest.approx(1.0)


def test_a_validation_tells_each_look(tmp_path: Path) -> None:
    """The score is the mean over looks at the deepest depth."""
    task = LooksTask(TINY, photos(tmp_path))
    with torch.no_grad():
        found = task.validate(task.network().eval())

    each = [found[f"psnr_db_{look}"] for look in LOOKS]
    assert found["psnr_db"] == pytest.approx(np.mean(each))
    assert found["psnr_db"] == found["psnr_db_depth_2"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LooksRecipe(patch_px=18), "patch_px=18: expected a multiple of 4"),
        (
            lambda: Styling("blue"),
            "look: found blue, expected one of smooth detail stylize sketch glow",
        ),
    ],
)
def test_what_there_is_not_is_refused(make: object, message: str) -> None:
    """One line says what was found and what was expected."""
    assert callable(make)
    with pytest.raises(SettingError) as caught:
        make()

    assert message == str(caught.value)


def test_evaluate_holds_a_look_against_its_operator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which itself has nothing to be better at: it makes the picture wanted."""
    folder = tmp_path / "pretty"
    save_weights(folder, "looks", TINY, TINY.network().state_dict(), 7, {})
    data = photos(tmp_path / "photos")

    status = evaluate(
        [str(folder), "--data", str(data), "--look", "sketch", "--beside"]
    )

    first, second, third = capsys.readouterr().out.splitlines()
    clean = read_picture(data / "0.png")
    assert 0 == status
    assert first.startswith("pretty (torch fp32), sketch, 2 pictures, untouched ")
    assert second.startswith("depth 2: ")
    assert third.startswith("sketch (OpenCV): the reference")
    assert psnr_db(clean, LOOKS["sketch"](clean)) < 20.0
