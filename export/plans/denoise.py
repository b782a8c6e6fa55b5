"""`denoise`: head, repeated step and tail on a square tile, rows and columns first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_runtime.bundle_parts import Interval, TensorSpec
from edge_runtime.pictures import (
    PICTURE_PEAK,
    add_noise,
    list_pictures,
    read_picture,
)
from export.dial import with_inputs
from export.plan import Arrays, EntryPoint, Plan, source_facts, source_weights
from export.plans.repeated import (
    Measure,
    Shapes,
    convolve,
    photo_facts,
    repeated_loop,
    repeated_parts,
)
from training.data import data_folder
from training.denoiser import UNSHUFFLE_PX, Denoiser
from training.network_restorer import denoiser_restorer
from training.problems import Denoising, Noise
from training.trained import TrainedDenoiser

TILE_PX = 256
N_CALIBRATION = 24
"""Calibration tiles; each with another noise level between 0 and the strongest."""
N_HELD_OUT = 4
N_MEASURED = 12
"""Photographs on which an exported file's PSNR is compared with the module's."""
SIGMA = 25.0


class Head(nn.Module):
    """A tile of a picture to the stream.

    Here and below, rows and columns come before channels: no transposition is left
    around the convolutions.
    """

    def __init__(self, network: Denoiser) -> None:
        super().__init__()
        self.head = network.head

    def forward(self, picture: Tensor, sigma: Tensor) -> tuple[Tensor]:
        """Return the stream, (1, Y/2, X/2, C); picture is (1, Y, X, 3)."""
        batch, y, x, channels = picture.shape
        n = UNSHUFFLE_PX
        folded = picture.reshape(batch, y // n, n, x // n, n, channels)
        folded = folded.permute(0, 1, 3, 5, 2, 4)  # (B, Y/2, X/2, C, 2, 2)
        folded = folded.reshape(batch, y // n, x // n, channels * n * n)
        noise_map = sigma.expand(batch, y // n, x // n, 1)
        h = torch.cat([folded, noise_map], dim=3).permute(0, 3, 1, 2)
        # The copy is nothing but a word to the `.pte` exporter: it keeps channels last
        # from here to the output, where it would transpose the stream twice.
        h = self.head(h.clone(memory_format=torch.channels_last))
        return (h.permute(0, 2, 3, 1),)


class Tail(nn.Module):
    """The stream to the picture without its noise, clipped to 0–1."""

    def __init__(self, network: Denoiser) -> None:
        super().__init__()
        self.tail = network.tail
        self.bias = network.tail_bias

    def forward(self, stream: Tensor, picture: Tensor, exit: Tensor) -> tuple[Tensor]:
        """Return the clean picture, (1, Y, X, 3); exit, (1,), tells the depth."""
        batch, y, x, channels = picture.shape
        n = UNSHUFFLE_PX
        noise = convolve(self.tail, stream) + F.embedding(exit, self.bias)
        noise = noise.reshape(batch, y // n, x // n, channels, n, n)
        noise = noise.permute(0, 1, 4, 2, 5, 3)  # (B, Y/2, 2, X/2, 2, C)
        return ((picture - noise.reshape(batch, y, x, channels)).clamp(0.0, 1.0),)


def denoise_plan(trained: TrainedDenoiser, record: Mapping[str, Any]) -> Plan:
    """Return the plan of a `denoise` checkpoint."""
    recipe, network = trained.recipe, trained.network
    source = source_weights(network)
    photos = data_folder() / "photos"
    loop = repeated_loop(recipe.depths)
    held_out = _noisy_tiles(photos / "dev_32.txt", N_HELD_OUT, recipe.sigma_max)
    calibration = _noisy_tiles(
        photos / "train_400.txt", N_CALIBRATION, recipe.sigma_max
    )
    return Plan(
        name="denoise",
        task="picture",
        summary="Takes Gaussian noise out of photographs, at a depth of your choice",
        entry_points=with_inputs(
            loop_parts(network, TILE_PX, recipe.sigma_max), loop, held_out, calibration
        ),
        loop=loop,
        asked=held_out,
        source=source,
        quantization="static",
        int8_snr_floor_db=25.0,
        int8_metric_loss=0.15,
        measure=Measure(
            denoiser_restorer(network),
            Denoising(Noise(SIGMA), Interval(0.0, recipe.sigma_max)),
            list_pictures(photos / "dev_32.txt")[:N_MEASURED],
            f"sigma {SIGMA:g}, published protocol",
        ),
        facts={
            **photo_facts(
                recipe.depths,
                {depth: network.receptive_radius_px(depth) for depth in recipe.depths},
                (TILE_PX, TILE_PX),
                UNSHUFFLE_PX,
                sigma={"minimum": 0.0, "maximum": recipe.sigma_max},
            ),
            "source": source_facts(record, source),
            "training_data": [
                "BSDS500, 400 photographs, with Gaussian noise of sigma 0 to"
                f" {recipe.sigma_max:g}"
            ],
        },
        card=CARD,
    )


def loop_parts(
    network: Denoiser, tile_px: int, sigma_max: float
) -> tuple[EntryPoint, ...]:
    """Return the entry points that make the denoiser, still without inputs."""
    side = tile_px // UNSHUFFLE_PX
    strongest = sigma_max / PICTURE_PEAK
    sigma = TensorSpec("sigma", "float32", (1, 1, 1, 1), "BYXC", 0.0, strongest, None)
    return repeated_parts(
        Head(network),
        network.body,
        Tail(network),
        Shapes((tile_px, tile_px), (side, side, network.head.out_channels), 1),
        told=(sigma,),
    )


def _noisy_tiles(source: Path, n_tiles: int, sigma_max: float) -> tuple[Arrays, ...]:
    """Return tiles of photographs spread over a list, sigma from 0 to the strongest."""
    paths = list_pictures(source)
    chosen = paths[:: max(1, len(paths) // n_tiles)][:n_tiles]
    tiles = []
    for index, path in enumerate(chosen):
        sigma = sigma_max * index / max(1, len(chosen) - 1)
        tile = read_picture(path)[:TILE_PX, :TILE_PX]
        noisy = add_noise(tile, sigma, (1, index), clip=False)
        level = np.full((1, 1, 1, 1), sigma / PICTURE_PEAK, np.float32)
        tiles.append({"picture": noisy[None], "sigma": level})
    return tuple(tiles)


CARD = """\
# denoise

Takes Gaussian noise out of photographs. One residual block of two 3×3 convolutions
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
