"""`enhance`: head, repeated step and tail on a square tile, rows and columns first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edge_runtime.bundle_parts import TensorSpec
from edge_runtime.tones import tones_of
from export.plan import Arrays, EntryPoint, Plan
from export.plans.repeated import (
    TILE_PX,
    Purpose,
    Shapes,
    Step,
    convolve,
    folded_last,
    repeated_parts,
    repeated_plan,
    stream_of,
    unfolded_last,
    with_maps,
)
from training.enhancer import (
    TONE_LEVELS,
    brightened,
    scaled,
    told_tones,
    white_of,
)
from training.exposure import draw_exposure
from training.problems import Exposing
from training.repeated import FOLD_PX, RepeatedNetwork
from training.trained import TrainedRepeated

GOOD_PART = 0.25
"""Of the tiles, how many are as the photographs are; the others are dark."""


class Head(nn.Module):
    """A tile of a picture, its white at 1, to the stream."""

    def __init__(self, network: RepeatedNetwork) -> None:
        super().__init__()
        self.head = network.head

    def forward(self, picture: Tensor, tones: Tensor) -> tuple[Tensor]:
        """Return the stream, (1, Y/2, X/2, C); picture is (1, Y, X, 3)."""
        tones = tones.permute(0, 3, 1, 2)
        light = folded_last(scaled(picture, white_of(tones)))
        told = told_tones(tones).permute(0, 2, 3, 1)
        return stream_of(self.head, with_maps(light, told))


class Tail(nn.Module):
    """The stream to the picture with the light that it lacked, clipped to 0–1."""

    def __init__(self, network: RepeatedNetwork) -> None:
        super().__init__()
        self.tail = network.tail
        self.bias = network.tail_bias

    def forward(
        self,
        stream: Tensor,
        picture: Tensor,
        tones: Tensor,
        strength: Tensor,
        exit: Tensor,
    ) -> tuple[Tensor]:
        """Return the picture, (1, Y, X, 3); exit, (1,), tells the depth."""
        made = convolve(self.tail, stream) + F.embedding(exit, self.bias)
        curve, noise = (unfolded_last(part, 3) for part in made.chunk(2, dim=3))
        white = white_of(tones.permute(0, 3, 1, 2))
        light = brightened(scaled(picture, white), curve) - noise
        return ((picture + strength * (light - picture)).clamp(0.0, 1.0),)


def enhance_plan(trained: TrainedRepeated, record: Mapping[str, Any]) -> Plan:
    """Return the plan of an `enhance` checkpoint."""
    return repeated_plan(
        trained,
        record,
        Purpose(
            "Gives dark photographs light, at a depth and strength of your choice",
            enhancer_parts(trained.network, TILE_PX),
            (TILE_PX, TILE_PX),
            _dark_tile,
            Exposing(),
            "unknown gain, gamma and noise",
            "darkened, brightened and with noise",
            CARD,
            {
                "tones": list(TONE_LEVELS),
                "strength": {"minimum": 0.0, "maximum": 1.0},
            },
        ),
    )


def enhancer_parts(network: RepeatedNetwork, tile_px: int) -> tuple[EntryPoint, ...]:
    """Return the entry points that make the enhancer, still without inputs."""
    side = tile_px // FOLD_PX
    numbers = (1, 1, 1, len(TONE_LEVELS))
    tones = TensorSpec("tones", "float32", numbers, "BYXC", 0.0, 1.0, None)
    strength = TensorSpec("strength", "float32", (1, 1, 1, 1), "BYXC", 0.0, 1.0, None)
    return repeated_parts(
        (Head(network), (tones,)),
        (Step(network.body), ()),
        (Tail(network), (tones, strength)),
        Shapes((tile_px, tile_px), (side, side, network.head.out_channels), 1),
    )


def _dark_tile(photo: NDArray[np.uint8], place: float, seed: int) -> Arrays:
    """Return a tile at full strength, of a picture that is dark or good."""
    rng = np.random.default_rng((1, seed))
    kind = "good" if place < GOOD_PART else "dark"
    given = draw_exposure(kind, rng).expose(photo, rng)
    return {
        "picture": given[None, :TILE_PX, :TILE_PX],
        "tones": tones_of(given, TONE_LEVELS)[None, None, None],
        "strength": np.ones((1, 1, 1, 1), np.float32),
    }


CARD = """\
# enhance

Gives photographs the light that they lack. The picture is scaled so that its white is
white; then each value is lifted eight times along one curve, whose shape a network
finds for every pixel from what is around it and from the tones of the whole picture;
noise that the light brings out is taken away. One residual block of two 3×3
convolutions runs 1, 2, 4 or 8 times at half resolution; every run uses the same
weights, so depth is a dial that costs time and no memory for weights.

## Input and output

A picture in 0–1, float32; quantiles of the whole picture's values (`tones`), which the
runtime finds; and a strength, 0 giving the picture back and 1 all the light. Out comes
a picture in 0–1.

## Training data and licence

BSDS500 (Berkeley), 400 photographs, darkened by gains of 1/2 to 1/10 and gammas of 1 to
2.5 with noise, brightened, or left as they are; the 68 of the CBSD68 test set are not
among them. That data is for non-commercial research and education, and so are these
weights. The code is Apache-2.0.

## Limits

Light and colour of a scene are not in a dark picture alone: a scene that was dim, a
night street say, is made as bright as a day would be; lower the strength. What the
camera stored as black or as white stays so.
"""
