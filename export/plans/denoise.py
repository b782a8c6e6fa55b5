"""`denoise`: head, repeated step and tail on a square tile, rows and columns first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edge_runtime.bundle_parts import Interval, TensorSpec
from edge_runtime.pictures import PICTURE_PEAK, add_noise
from export.plan import Arrays, EntryPoint, Plan
from export.plans.repeated import (
    AnyStep,
    Purpose,
    Shapes,
    convolve,
    cut_or_mirrored,
    folded_last,
    repeated_parts,
    repeated_plan,
    stream_of,
    unfolded_last,
)
from training.denoiser import GRAY, Denoiser, unit_of
from training.problems import Denoising, Noise
from training.recipes.denoise import DenoiseRecipe
from training.repeated import FOLD_PX
from training.trained import TrainedRepeated

SIGMA = 25.0
PHOTO_TILE_PX = (384, 384)
"""Neighbours overlap by what depth 8 sees: of a tile of 256 pixels it wastes half."""
FRAME_PX = (480, 640)
"""A camera's frame whole, in one run."""


class Head(nn.Module):
    """A tile of a picture to the stream."""

    def __init__(self, network: Denoiser) -> None:
        super().__init__()
        self.head = network.head
        self.level = network.level
        self.offset = network.offset

    def forward(self, picture: Tensor, sigma: Tensor) -> tuple[Tensor]:
        """Return the stream, (1, Y/2, X/2, C); picture is (1, Y, X, 3)."""
        unit = unit_of(sigma)
        (stream,) = stream_of(self.head, folded_last((picture - GRAY) * unit))
        return (stream + (sigma * self.level + self.offset) * unit,)


class NoiseStep(AnyStep):
    """One step of the block, on values that are in units of the noise's."""

    def forward(self, stream: Tensor, position: Tensor, sigma: Tensor) -> tuple[Tensor]:
        """Return the next stream, (1, Y/2, X/2, C); sigma is (1, 1, 1, 1)."""
        return self.following(stream, position, unit=unit_of(sigma))


class Tail(nn.Module):
    """The stream to the picture without its noise, clipped to 0–1."""

    def __init__(self, network: Denoiser) -> None:
        super().__init__()
        self.tail = network.tail
        self.bias = network.tail_bias

    def forward(
        self, stream: Tensor, picture: Tensor, sigma: Tensor, exit: Tensor
    ) -> tuple[Tensor]:
        """Return the clean picture, (1, Y, X, 3); exit, (1,), tells the depth."""
        unit = unit_of(sigma)
        made = convolve(self.tail, stream) + F.embedding(exit, self.bias) * unit
        noise = unfolded_last(made, picture.shape[3]) / unit
        return ((picture - noise).clamp(0.0, 1.0),)


def denoise_plan(trained: TrainedRepeated, record: Mapping[str, Any]) -> Plan:
    """Return the plan of a `denoise` checkpoint."""
    summary = "Takes Gaussian noise out of photographs, at a depth of your choice"
    return _plan(trained, record, summary, PHOTO_TILE_PX, CARD)


def denoise_live_plan(trained: TrainedRepeated, record: Mapping[str, Any]) -> Plan:
    """Return the plan of a `denoise-live` checkpoint."""
    summary = "Takes Gaussian noise out of a camera's frames, at a depth of your choice"
    return _plan(trained, record, summary, FRAME_PX, LIVE_CARD)


def _plan(
    trained: TrainedRepeated,
    record: Mapping[str, Any],
    summary: str,
    tile_px: tuple[int, int],
    card: str,
) -> Plan:
    recipe, network = trained.recipe, trained.network
    assert isinstance(recipe, DenoiseRecipe)
    assert isinstance(network, Denoiser)
    strongest = recipe.sigma_max

    def tile(photo: NDArray[np.uint8], place: float, seed: int) -> Arrays:
        """Return a noisy tile: over the set, sigma rises from 0 to the strongest."""
        sigma = strongest * place
        clean = cut_or_mirrored(photo, tile_px)
        level = np.full((1, 1, 1, 1), sigma / PICTURE_PEAK, np.float32)
        noisy = add_noise(clean, sigma, (1, seed), clip=False)
        return {"picture": noisy[None], "sigma": level}

    return repeated_plan(
        trained,
        record,
        Purpose(
            summary,
            loop_parts(network, tile_px, strongest),
            tile_px,
            tile,
            Denoising(Noise(SIGMA), Interval(0.0, strongest)),
            f"sigma {SIGMA:g}, published protocol",
            f"with Gaussian noise of sigma 0 to {strongest:g}",
            card,
            {"sigma": {"minimum": 0.0, "maximum": strongest}},
        ),
    )


def loop_parts(
    network: Denoiser, tile_px: tuple[int, int], sigma_max: float
) -> tuple[EntryPoint, ...]:
    """Return the entry points that make the denoiser, still without inputs."""
    rows, columns = (side // FOLD_PX for side in tile_px)
    strongest = sigma_max / PICTURE_PEAK
    sigma = TensorSpec("sigma", "float32", (1, 1, 1, 1), "BYXC", 0.0, strongest, None)
    return repeated_parts(
        (Head(network), (sigma,)),
        (NoiseStep(network.body), (sigma,)),
        (Tail(network), (sigma,)),
        Shapes(tile_px, (rows, columns, network.head.out_channels), 1),
    )


CARD = """\
# denoise

Takes Gaussian noise out of photographs. One residual block of three 3×3 convolutions
runs 1, 2, 4 or 8 times at half resolution; every run uses the same weights, so depth
is a dial that costs time and no memory for weights.

## Input and output

A picture in 0–1 plus noise, float32, and the noise's standard deviation; out comes the
picture in 0–1. The noise level is an input: name the sigma that the camera has
(`--sigma`, in units of 255, 0 to 55).

## Training data and licence

BSDS500 (Berkeley), 400 photographs; the 68 of the CBSD68 test set are not among them.
That data is for non-commercial research and education, and so are these weights. The
code is Apache-2.0.

## Limits

Made for Gaussian noise that is independent from pixel to pixel. Noise that a camera
has already smoothed or compressed is correlated and is taken out only in part.
Photographs of 481×321 pixels were trained on; text and drawings were not.
"""

LIVE_CARD = """\
# denoise-live

Takes Gaussian noise out of a camera's frames, fast: 640×480 pixels in one run. It is
the network of `denoise` with fewer channels and more convolutions: one residual block
of eight 3×3 convolutions runs once or twice at half resolution with the same weights.

## Input and output

A picture in 0–1 plus noise, float32, and the noise's standard deviation; out comes the
picture in 0–1. The noise level is an input: name the sigma that the camera has
(`--sigma`, in units of 255, 0 to 55).

## Training data and licence

BSDS500 (Berkeley), 400 photographs; the 68 of the CBSD68 test set are not among them.
That data is for non-commercial research and education, and so are these weights. The
code is Apache-2.0.

## Limits

Those of `denoise`, which gives better pictures in more time. Each frame is taken by
itself: what the frames around it show is not used.
"""
