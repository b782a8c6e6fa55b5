"""`superres`: head, repeated step and tail on a tile of the small picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_runtime.pictures import list_pictures, read_picture, to_float
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
from training.network_restorer import upscaler_restorer
from training.problems import Enlarging
from training.scaling import SCALE, halved
from training.trained import TrainedUpscaler
from training.upscaler import Upscaler, enlarge

TILE_PX = 128
"""Of the small picture; half of a photograph of 481×321 pixels fits into two."""
N_CALIBRATION = 24
N_HELD_OUT = 4
N_MEASURED = 12
"""Photographs on which an exported file's PSNR is compared with the module's."""


class Head(nn.Module):
    """A tile of the small picture to the stream.

    Here and below, rows and columns come before channels: no transposition is left
    around the convolutions.
    """

    def __init__(self, network: Upscaler) -> None:
        super().__init__()
        self.head = network.head

    def forward(self, picture: Tensor) -> tuple[Tensor]:
        """Return the stream, (1, Y, X, C); picture is (1, Y, X, 3)."""
        h = picture.permute(0, 3, 1, 2)
        # The copy is nothing but a word to the `.pte` exporter: it keeps channels last
        # from here to the output, where it would transpose the stream twice.
        h = self.head(h.clone(memory_format=torch.channels_last))
        return (h.permute(0, 2, 3, 1),)


class Tail(nn.Module):
    """Stream and small picture to the large picture, clipped to 0–1."""

    def __init__(self, network: Upscaler) -> None:
        super().__init__()
        self.tail = network.tail
        self.bias = network.tail_bias

    def forward(self, stream: Tensor, picture: Tensor, exit: Tensor) -> tuple[Tensor]:
        """Return the large picture, (1, 2Y, 2X, 3); exit, (1,), tells the depth."""
        batch, y, x, _ = picture.shape
        detail = convolve(self.tail, stream) + F.embedding(exit, self.bias)
        detail = detail.reshape(batch, y, x, SCALE, SCALE)
        detail = detail.permute(0, 1, 3, 2, 4)  # (B, Y, 2, X, 2)
        detail = detail.reshape(batch, SCALE * y, SCALE * x, 1)
        enlarged = enlarge(picture.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return ((enlarged + detail).clamp(0.0, 1.0),)


def superres_plan(trained: TrainedUpscaler, record: Mapping[str, Any]) -> Plan:
    """Return the plan of a `superres` checkpoint."""
    recipe, network = trained.recipe, trained.network
    source = source_weights(network)
    photos = data_folder() / "photos"
    loop = repeated_loop(recipe.depths)
    held_out = _small_tiles(photos / "dev_32.txt", N_HELD_OUT)
    calibration = _small_tiles(photos / "train_400.txt", N_CALIBRATION)
    return Plan(
        name="superres",
        task="picture",
        summary="Doubles the size of photographs, at a depth of your choice",
        entry_points=with_inputs(
            upscaler_parts(network, TILE_PX), loop, held_out, calibration
        ),
        loop=loop,
        asked=held_out,
        source=source,
        quantization="static",
        int8_snr_floor_db=25.0,
        int8_metric_loss=0.15,
        measure=Measure(
            upscaler_restorer(network),
            Enlarging(),
            list_pictures(photos / "dev_32.txt")[:N_MEASURED],
            "PSNR of Y, twice the size",
        ),
        facts={
            **photo_facts(
                recipe.depths,
                {depth: network.receptive_radius_px(depth) for depth in recipe.depths},
                (TILE_PX, TILE_PX),
                multiple_px=2,
                scale=SCALE,
            ),
            "source": source_facts(record, source),
            "training_data": ["BSDS500, 400 photographs, halved by bicubic reduction"],
        },
        card=CARD,
    )


def upscaler_parts(network: Upscaler, tile_px: int) -> tuple[EntryPoint, ...]:
    """Return the entry points that make the upscaler, still without inputs."""
    return repeated_parts(
        Head(network),
        network.body,
        Tail(network),
        Shapes(
            (tile_px, tile_px), (tile_px, tile_px, network.head.out_channels), SCALE
        ),
    )


def _small_tiles(source: Path, n_tiles: int) -> tuple[Arrays, ...]:
    """Return tiles of halved photographs spread over a list."""
    paths = list_pictures(source)
    chosen = paths[:: max(1, len(paths) // n_tiles)][:n_tiles]
    side = SCALE * TILE_PX
    return tuple(
        {"picture": to_float(halved(read_picture(path)[:side, :side]))[None]}
        for path in chosen
    )


CARD = """\
# superres

Doubles the size of photographs. One residual block of two 3×3 convolutions runs 1, 2, 4
or 8 times at the small size; every run uses the same weights, so depth is a dial that
costs time and no memory for weights.

## Input and output

A picture in 0–1, float32; out comes the picture of twice as many rows and columns. The
network adds detail of brightness to a bilinear enlargement; the hues are enlarged as
they are.

## Training data and licence

BSDS500 (Berkeley), 400 photographs; the 68 of the CBSD68 test set are not among them.
That data is for non-commercial research and education, and so are these weights. The
code is Apache-2.0.

## Limits

Made for pictures that were made smaller well (bicubic, with antialiasing). Noise and
the blocks of strong JPEG compression are taken for detail and sharpened: take them out
first. Photographs were trained on; text and drawings were not.
"""
