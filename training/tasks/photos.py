"""What all tasks on photographs share: where they come from, and the squares cut."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_runtime.pictures import psnr_db, to_8_bits
from training.data import data_folder
from training.photos import read_photos, split_photos
from training.recipes.repeated import RepeatedRecipe
from training.repeated import FOLD_PX
from training.rounding import round_to_int8
from training.task import Task

SILENCE = 4e-6
"""Added to the mean square error before its logarithm: half a grey level, squared."""


class PhotoTask(Task):
    """A repeated network on photographs, scored by PSNR at the deepest depth."""

    score = "psnr_db"
    gentle = ("body.bias",)
    """At the full rate, Adam drives the biases of later steps so far below zero that
    their ReLUs close before the shared kernels are of use to them."""
    kernels = ("body.first", "body.between", "body.second")

    def __init__(self, recipe: RepeatedRecipe, data: Path | None) -> None:
        self.recipe = recipe
        self.train, self.held_out = train_and_held_out(data, recipe.patch_px)

    def contents(self) -> str:
        return f"{len(self.train)} pictures to train on, {len(self.held_out)} held out"

    def network(self) -> nn.Module:
        network = self.recipe.network()
        round_to_int8(network)
        return network

    def batch(self, step: int, indices: Sequence[int]) -> dict[str, Tensor]:
        examples = [
            self.example(np.random.default_rng((self.recipe.seed, step, index)))
            for index in indices
        ]
        return {
            name: torch.from_numpy(np.stack([example[name] for example in examples]))
            for name in examples[0]
        }

    @abstractmethod
    def example(self, rng: np.random.Generator) -> Mapping[str, NDArray[np.float32]]:
        """Return one example's arrays by name, in the order that the network takes.

        A picture is (3, Y, X), what the network is told (n, 1, 1).
        """

    @abstractmethod
    def posed(
        self, photo: NDArray[np.uint8], index: int
    ) -> tuple[tuple[NDArray[np.float32], ...], NDArray[np.uint8]]:
        """Return a held-out photograph as the network gets it, and what it should be.

        The arrays are those of an example, without the picture wanted.
        """

    def psnr_db(self, wanted: NDArray[np.uint8], found: NDArray[np.uint8]) -> float:
        """Return the PSNR that the task is scored by."""
        return psnr_db(wanted, found)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return PSNR at every depth, over the held-out photographs."""
        rows = [
            self.scores(network, photo, index)
            for index, photo in enumerate(self.held_out)
        ]
        return mean_per_depth(np.array(rows), self.recipe.depths)

    def scores(
        self, network: nn.Module, photo: NDArray[np.uint8], index: int
    ) -> list[float]:
        """Return the PSNR of a held-out photograph at every depth."""
        given, wanted = self.posed(photo, index)
        exits = network(*(torch.from_numpy(part)[None] for part in given))
        return [self.psnr_db(wanted, as_8_bits(out)) for out in exits]


def train_and_held_out(
    data: Path | None, smallest_px: int
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Return photographs, each (Y, X, 3), to train on and to validate on.

    They are those of the data folder, or a user's own. Raises DataError as
    `read_photos` does.
    """
    if data is not None:
        return split_photos(data, smallest_px)
    photos = data_folder() / "photos"
    return (
        read_photos(photos / "train_400.txt", smallest_px),
        read_photos(photos / "dev_32.txt", smallest_px),
    )


def random_square(
    photos: Sequence[NDArray[np.uint8]],
    size_px: int,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Return a square of some photograph, (Y, X, 3), turned and mirrored at random."""
    return cut_square(photos[int(rng.integers(len(photos)))], size_px, rng)


def cut_square(
    photo: NDArray[np.uint8], size_px: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return a square of a photograph, (Y, X, 3), turned and mirrored at random."""
    (square,) = cut_alike((photo,), size_px, rng)
    return square


def cut_alike(
    photos: Sequence[NDArray[np.uint8]], size_px: int, rng: np.random.Generator
) -> list[NDArray[np.uint8]]:
    """Return the same square of photographs of one size, turned and mirrored alike."""
    y = rng.integers(photos[0].shape[0] - size_px + 1)
    x = rng.integers(photos[0].shape[1] - size_px + 1)
    n_turns, mirrored = int(rng.integers(4)), rng.integers(2)
    squares = [
        np.rot90(photo[y : y + size_px, x : x + size_px], n_turns) for photo in photos
    ]
    return [square[:, ::-1] if mirrored else square for square in squares]


def log_error(
    exits: Sequence[Tensor],
    expected: Tensor,
    weights: Sequence[float],
    silence: float = SILENCE,
) -> Tensor:
    """Return the log of the mean square error, weighted over depths.

    Pictures are (B, …). Its mean over examples is PSNR but for a constant, so an easy
    example counts as much as a hard one, until its error comes near `silence`.
    """
    total = torch.zeros(())
    for weight, found in zip(weights, exits, strict=True):
        error = (found.float() - expected).square().flatten(1).mean(dim=1)
        total = total + weight * torch.log(error + silence).mean()
    return total / sum(weights)


def crop_even(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the photograph without the last row or column where that is odd."""
    y, x = (size // FOLD_PX * FOLD_PX for size in photo.shape[:2])
    return photo[:y, :x]


def channels_first(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (3, Y, X) of (Y, X, 3)."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1))


def as_8_bits(out: Tensor) -> NDArray[np.uint8]:
    """Return (Y, X, 3) of (1, 3, Y, X)."""
    return to_8_bits(out[0].numpy().transpose(1, 2, 0))


def mean_per_depth(
    rows: NDArray[np.float64], depths: Sequence[int]
) -> dict[str, float]:
    """Return PSNR as a validation reports it, of one row of depths per photograph."""
    means = np.mean(rows, axis=0)
    named = {
        f"psnr_db_depth_{depth}": float(mean)
        for depth, mean in zip(depths, means, strict=True)
    }
    return {"psnr_db": float(means[-1]), **named}
