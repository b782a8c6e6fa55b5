"""`superres`: head, repeated step and tail on a tile of the small picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edge_runtime.pictures import to_float
from export.plan import Arrays, EntryPoint, Plan
from export.plans.repeated import (
    Purpose,
    Shapes,
    Step,
    convolve,
    repeated_parts,
    repeated_plan,
    stream_of,
    unfolded_last,
)
from training.problems import Enlarging
from training.repeated import RepeatedNetwork
from training.scaling import SCALE, halved
from training.trained import TrainedRepeated
from training.upscaler import enlarge

TILE_PX = 128
"""Of the small picture; half of a photograph of 481×321 pixels fits into two."""


class Head(nn.Module):
    """A tile of the small picture to the stream."""

    def __init__(self, network: RepeatedNetwork) -> None:
        super().__init__()
        self.head = network.head

    def forward(self, picture: Tensor) -> tuple[Tensor]:
        """Return the stream, (1, Y, X, C); picture is (1, Y, X, 3)."""
        return stream_of(self.head, picture)


class Tail(nn.Module):
    """Stream and small picture to the large picture, clipped to 0–1."""

    def __init__(self, network: RepeatedNetwork) -> None:
        super().__init__()
        self.tail = network.tail
        self.bias = network.tail_bias

    def forward(self, stream: Tensor, picture: Tensor, exit: Tensor) -> tuple[Tensor]:
        """Return the large picture, (1, 2Y, 2X, 3); exit, (1,), tells the depth."""
        detail = convolve(self.tail, stream) + F.embedding(exit, self.bias)
        enlarged = enlarge(picture.permute(0, 3, 1, 2), SCALE).permute(0, 2, 3, 1)
        return ((enlarged + unfolded_last(detail, 1)).clamp(0.0, 1.0),)


def superres_plan(trained: TrainedRepeated, record: Mapping[str, Any]) -> Plan:
    """Return the plan of a `superres` checkpoint."""
    return repeated_plan(
        trained,
        record,
        Purpose(
            "Doubles the size of photographs, at a depth of your choice",
            upscaler_parts(trained.network, TILE_PX),
            (TILE_PX, TILE_PX),
            _small_tile,
            Enlarging(),
            "PSNR of Y, twice the size",
            "halved by bicubic reduction",
            CARD,
            {},
        ),
    )


def upscaler_parts(network: RepeatedNetwork, tile_px: int) -> tuple[EntryPoint, ...]:
    """Return the entry points that make the upscaler, still without inputs."""
    return repeated_parts(
        (Head(network), ()),
        (Step(network.body), ()),
        (Tail(network), ()),
        Shapes(
            (tile_px, tile_px), (tile_px, tile_px, network.head.out_channels), SCALE
        ),
    )


def _small_tile(photo: NDArray[np.uint8], place: float, seed: int) -> Arrays:
    side = SCALE * TILE_PX
    return {"picture": to_float(halved(photo[:side, :side]))[None]}


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
