"""The denoise recipe: its settings and its data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_runtime.errors import DataError, SettingError
from edge_runtime.pictures import write_picture
from training.recipes.denoise import DenoiseRecipe
from training.tasks.denoise import DenoiseTask

TINY = DenoiseRecipe(channels=4, depths=(1, 2), depth_weights=(0.5, 1.0), patch_px=16)


def photos(folder: Path, *sizes: tuple[int, int]) -> Path:
    """Write a picture of each size, (Y, X)."""
    random = np.random.default_rng(0)
    for number, size in enumerate(sizes):
        picture = random.integers(0, 256, (*size, 3), dtype=np.uint8)
        write_picture(folder / f"{number}.png", picture)
    return folder


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"depth_weights": (1.0,)},
            "depth_weights: found 1 of them, expected one for each of the 4 depths",
        ),
        (
            {"depths": (2, 1), "depth_weights": (1.0, 1.0)},
            "depths: found (2, 1), expected rising numbers from 1",
        ),
        ({"depths": ()}, "depths: found (), expected rising numbers from 1"),
        ({"depths": (0, 1)}, "depths=0: expected 1 to 64"),
        (
            {"depth_weights": (1.0, 1.0, 1.0, 0.0)},
            "depth_weights: the last is 0, expected more than 0",
        ),
        ({"channels": 0}, "channels=0: expected 1 to 4096"),
        ({"convolutions": 1}, "convolutions=1: expected 2 to 16"),
        ({"gray": 1.5}, "gray=1.5: expected 0 to 1"),
        ({"patch_px": 15}, "patch_px=15: expected an even number"),
        ({"validate_sigma": 60.0}, "validate_sigma=60.0: expected 0 to 55.0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    settings: dict[str, tuple[float, ...]], message: str
) -> None:
    """One line says which setting, what was found and what was expected."""
    with pytest.raises(SettingError) as caught:
        DenoiseRecipe(**settings)

    assert message == str(caught.value)


def test_a_picture_smaller_than_a_patch_is_refused(tmp_path: Path) -> None:
    """The line names the picture, its size and the setting."""
    folder = photos(tmp_path, (40, 40), (40, 12), (40, 40))

    with pytest.raises(DataError) as caught:
        DenoiseTask(TINY, folder)

    assert (
        f"{folder}/1.png: is 12×40 pixels, expected at least patch_px=16 on each side;"
        " take it out or lower patch_px" == str(caught.value)
    )


def test_contents_are_counted(tmp_path: Path) -> None:
    """One line says how much is trained on, and how much is held out."""
    task = DenoiseTask(TINY, photos(tmp_path, *[(24, 24)] * 11))

    assert "9 pictures to train on, 2 held out" == task.contents()


def test_an_example_depends_on_step_and_index_alone(tmp_path: Path) -> None:
    """Whoever asks for an example gets the same one."""
    task = DenoiseTask(TINY, photos(tmp_path, (24, 24), (24, 24)))

    together = task.batch(3, [0, 1, 2])
    alone = task.batch(3, [1])

    assert torch.equal(together["noisy"][1:2], alone["noisy"])
    assert not torch.equal(task.batch(4, [1])["noisy"], alone["noisy"])


def test_noise_is_as_strong_as_sigma_says(tmp_path: Path) -> None:
    """What was added has the standard deviation that the network is told."""
    task = DenoiseTask(TINY, photos(tmp_path, (24, 24), (24, 24)))

    batch = task.batch(0, range(64))

    noise = batch["noisy"] - batch["clean"]
    told = batch["sigma"].reshape(-1)
    found = noise.std(dim=(1, 2, 3))
    assert torch.allclose(told, found, rtol=0.15)


@pytest.mark.parametrize(("gray", "expected"), [(0.0, 0), (0.5, 20), (1.0, 40)])
def test_a_part_of_the_examples_is_gray(
    tmp_path: Path, gray: float, expected: int
) -> None:
    """Their colours are one, and so is the noise; the others are as they would be."""
    folder = photos(tmp_path, (24, 24), (24, 24))
    task = DenoiseTask(replace(TINY, gray=gray), folder)
    plain = DenoiseTask(replace(TINY, gray=0.0), folder)

    batch, same = task.batch(0, range(40)), plain.batch(0, range(40))

    spread = [np.ptp(batch[key].numpy(), axis=1) for key in ("noisy", "clean")]
    is_gray = spread[0].max(axis=(1, 2)) < 1e-6
    assert (is_gray == (spread[1].max(axis=(1, 2)) < 1e-6)).all()
    assert abs(is_gray.sum() - expected) <= 8 * (0.0 < gray < 1.0)
    assert (batch["noisy"][~is_gray] == same["noisy"][~is_gray]).all()
