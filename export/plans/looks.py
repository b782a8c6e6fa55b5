"""`looks`: head, repeated step and tail on a square tile, rows and columns first."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edge_runtime.bundle_parts import TensorSpec
from edge_runtime.pictures import to_float
from export.plan import Arrays, EntryPoint, Plan
from export.plans.repeated import (
    AnyStep,
    Purpose,
    Shapes,
    convolve,
    cut_or_mirrored,
    folded_last,
    mixed_last,
    repeated_parts,
    repeated_plan,
    stream_of,
    unfolded_last,
)
from training.looker import FOLD_PX, FOLDED, N_COLOURS, Looker
from training.looks import LOOKS, told_look
from training.problems import Styling
from training.trained import TrainedRepeated

TILE_PX = 540
"""Four of them cover a megapixel, and little of it twice."""
OUTLINED_SNR_DB = 22.0
"""Outlines are differences of neighbours, and int8 is coarse for those: 24.1 dB with
`stylize`, which is itself within 24 dB of what it was learned from."""
LIKENESS_LOSS_DB = 1.0
"""`smooth` comes within 35 dB of its operator, where the error of int8 alone counts."""


class Head(nn.Module):
    """A tile of a picture to the stream."""

    def __init__(self, network: Looker) -> None:
        super().__init__()
        self.head = network.head

    def forward(self, picture: Tensor) -> tuple[Tensor]:
        """Return the stream, (1, Y/4, X/4, C); picture is (1, Y, X, 3)."""
        return stream_of(self.head, folded_last(picture, FOLD_PX))


class LookStep(AnyStep):
    """One step of the block, its rows mixed by the look."""

    def forward(self, stream: Tensor, position: Tensor, look: Tensor) -> tuple[Tensor]:
        """Return the next stream, (1, Y/4, X/4, C); look is (1, 1, 1, n)."""
        return self.following(stream, position, look)


class Tail(nn.Module):
    """The stream to the picture with its look, clipped to 0–1."""

    def __init__(self, network: Looker) -> None:
        super().__init__()
        self.tail = network.tail
        self.bias = network.tail_bias
        self.gain = network.gain
        self.kept = network.kept
        self.slopes = network.outlines.slopes
        self.darkness = network.outlines.darkness
        self.dark = network.outlines.dark

    def forward(
        self,
        stream: Tensor,
        picture: Tensor,
        look: Tensor,
        strength: Tensor,
        exit: Tensor,
    ) -> tuple[Tensor]:
        """Return the picture, (1, Y, X, 3); exit, (1,), tells the depth."""
        strength = strength.reshape(1, 1)
        read = stream * (strength * mixed_last(self.gain[None], look))
        made = convolve(self.tail, read)
        bias = strength * F.embedding(exit, self.bias)
        kept = 1.0 + strength * (mixed_last(self.kept[None], look) - 1.0)
        change = made[..., :FOLDED] + bias[:, :FOLDED]
        gain = made[..., FOLDED:] + (bias[:, FOLDED:] + kept)
        plain = folded_last(picture, FOLD_PX) * gain + change
        slopes = convolve(self.slopes, plain).abs()
        slopes = slopes * (strength * mixed_last(self.dark[None], look))
        drawn = plain - plain * convolve(self.darkness, slopes)
        return (unfolded_last(drawn, N_COLOURS, FOLD_PX).clamp(0.0, 1.0),)


def looks_plan(trained: TrainedRepeated, record: Mapping[str, Any]) -> Plan:
    """Return the plan of a `looks` checkpoint."""
    network = trained.network
    assert isinstance(network, Looker)
    return repeated_plan(
        trained,
        record,
        Purpose(
            "Gives photographs one of several looks, at a depth and strength of your"
            " choice",
            looker_parts(network, TILE_PX),
            (TILE_PX, TILE_PX),
            partial(_tile, list(LOOKS)),
            Styling(next(iter(LOOKS))),
            f"{next(iter(LOOKS))}, beside OpenCV's operator",
            f"as OpenCV's operators make them: {', '.join(LOOKS)}",
            CARD,
            {"strength": {"minimum": 0.0, "maximum": 1.0}, "looks": list(LOOKS)},
            OUTLINED_SNR_DB,
            LIKENESS_LOSS_DB,
        ),
    )


def looker_parts(network: Looker, tile_px: int) -> tuple[EntryPoint, ...]:
    """Return the entry points that make the looker, still without inputs."""
    side = tile_px // FOLD_PX
    n_looks, _ = network.told
    numbers = (1, 1, 1, n_looks)
    look = TensorSpec("look", "float32", numbers, "BYXC", 0.0, 1.0, None)
    strength = TensorSpec("strength", "float32", (1, 1, 1, 1), "BYXC", 0.0, 1.0, None)
    return repeated_parts(
        (Head(network), ()),
        (LookStep(network.body), (look,)),
        (Tail(network), (look, strength)),
        Shapes((tile_px, tile_px), (side, side, network.head.out_channels), 1),
    )


def _tile(
    looks: list[str], photo: NDArray[np.uint8], place: float, seed: int
) -> Arrays:
    """Return a tile at full strength; over the set, all looks take turns."""
    return {
        "picture": to_float(cut_or_mirrored(photo, (TILE_PX, TILE_PX)))[None],
        "look": told_look(looks[seed % len(looks)])[None].transpose(0, 2, 3, 1),
        "strength": np.ones((1, 1, 1, 1), np.float32),
    }


CARD = """\
# looks

Gives photographs one of several looks: smooth (flat surfaces, sharp edges), detail,
stylize (painted surfaces, dark edges), sketch (coloured pencil) and glow (light that
spreads). One residual block of four 3×3 convolutions runs once or twice at a quarter
of the resolution; every run and every look use the same kernels. A look is a few rows
of numbers: scales and biases of the block's steps, gains of the channels that the tail
reads, how much of the picture is kept, and how dark its outlines are drawn.

## Input and output

A picture in 0–1, float32; the look, a number for each of which one is 1; and a
strength, 0 giving the picture back and 1 the whole look. Out comes a picture in 0–1.

## Training data and licence

BSDS500 (Berkeley), 400 photographs, and what OpenCV's `edgePreservingFilter`,
`detailEnhance`, `stylization`, `pencilSketch` and a screened Gaussian blur make of
them; the 68 of the CBSD68 test set are not among them. That data is for non-commercial
research and education, and so are these weights. The code is Apache-2.0.

## Limits

The operators smooth over the whole picture, the network over what it sees around a
pixel, so large flat surfaces keep a little more of their shading, and the fine strokes
of a sketch, which come of whole rows and columns, are left out. In flat and bright
places a faint pattern of four pixels may show. Photographs of 481×321 pixels were
trained on: structure of a larger photograph is treated as if it were that large.
"""
