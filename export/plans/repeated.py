"""What the plans of all networks share whose one block is repeated on a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edge_runtime.bundle import Bundle
from edge_runtime.bundle_parts import Loop, TensorSpec
from edge_runtime.engine import Engine
from edge_runtime.image_filter import ImageFilter
from edge_runtime.pictures import list_pictures, read_picture, to_8_bits
from export.dial import with_inputs
from export.plan import (
    Arrays,
    EntryPoint,
    Plan,
    TaskMetric,
    source_facts,
    source_weights,
)
from training.data import data_folder
from training.evaluation_pictures import Restorer
from training.network_restorer import network_restorer
from training.problems import Problem
from training.repeated import FOLD_PX
from training.sharing import RepeatedBlock
from training.trained import TrainedRepeated

TILE_PX = 256
N_CALIBRATION = 24
N_HELD_OUT = 4
N_MEASURED = 12
"""Photographs on which an exported file's PSNR is compared with the module's."""


class AnyStep(nn.Module):
    """One step of the repeated block, told which by its position, and perhaps more."""

    def __init__(self, block: RepeatedBlock) -> None:
        super().__init__()
        self.block = block

    def following(
        self,
        stream: Tensor,
        position: Tensor,
        look: Tensor | None = None,
        unit: Tensor | float = 1.0,
    ) -> tuple[Tensor]:
        """Return the next stream, as one step of `RepeatedBlock.steps` does.

        Streams are (1, Y, X, C), position is (1,); `look`, (1, 1, 1, n), mixes the rows
        of a block with n banks; biases are multiplied by `unit`.
        """
        block = self.block
        scale = mixed_last(F.embedding(position, block.scale), look)
        bias = mixed_last(F.embedding(position, block.bias), look) * unit
        branch = F.relu(convolve(block.first, stream) + bias)
        for number, convolution in enumerate(block.between):
            branch = convolve(convolution, branch)
            if block.between_bias:
                branch = branch + mixed_last(block.between_bias[number][None], look)
            branch = F.relu(branch)
        branch = convolve(block.second, branch)
        if block.size is not None:
            branch = branch * F.embedding(position, block.size)
        return (stream * scale + branch,)


class Step(AnyStep):
    """One step of a block that is told its position alone."""

    def forward(self, stream: Tensor, position: Tensor) -> tuple[Tensor]:
        """Return the next stream."""
        return self.following(stream, position)


def mixed_last(rows: Tensor, mixture: Tensor | None) -> Tensor:
    """Return a row, (1, C), as it is; of n, (1, n · C), their mixture, (1, C)."""
    if mixture is None:
        return rows
    n = mixture.shape[3]
    return (rows.reshape(n, -1) * mixture.reshape(n, 1)).sum(dim=0, keepdim=True)


def folded_last(picture: Tensor, n: int = FOLD_PX) -> Tensor:
    """Return a picture's phases, (B, Y/n, X/n, n²C), of (B, Y, X, C).

    Here and below, rows and columns come before channels: no transposition is left
    around the convolutions.
    """
    batch, y, x, channels = picture.shape
    folded = picture.reshape(batch, y // n, n, x // n, n, channels)
    folded = folded.permute(0, 1, 3, 2, 4, 5)  # (B, Y/n, X/n, n, n, C)
    return folded.reshape(batch, y // n, x // n, channels * n * n)


def unfolded_last(folded: Tensor, channels: int, n: int = FOLD_PX) -> Tensor:
    """Return (B, Y, X, C) of its phases, (B, Y/n, X/n, n²C)."""
    batch, y, x, _ = folded.shape
    picture = folded.reshape(batch, y, x, n, n, channels)
    picture = picture.permute(0, 1, 3, 2, 4, 5)  # (B, Y/n, n, X/n, n, C)
    return picture.reshape(batch, y * n, x * n, channels)


def cut_or_mirrored(
    photo: NDArray[np.uint8], tile_px: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return a photograph's first rows and columns, mirrored where there are fewer."""
    cut = photo[: tile_px[0], : tile_px[1]]
    missing = [(0, n - has) for n, has in zip(tile_px, cut.shape[:2], strict=True)]
    return np.pad(cut, (*missing, (0, 0)), "symmetric")


def with_maps(folded: Tensor, *told: Tensor) -> Tensor:
    """Return (B, Y, X, C + n) of (B, Y, X, C) and of numbers, (B, 1, 1, n)."""
    batch, y, x, _ = folded.shape
    return torch.cat([folded, *(one.expand(batch, y, x, -1) for one in told)], dim=3)


def stream_of(head: nn.Conv2d, read: Tensor) -> tuple[Tensor]:
    """Return the stream, (B, Y, X, C), of what the head reads."""
    # The copy is nothing but a word to the `.pte` exporter: it keeps channels last
    # from here to the output, where it would transpose the stream twice.
    h = head(read.permute(0, 3, 1, 2).clone(memory_format=torch.channels_last))
    return (h.permute(0, 2, 3, 1),)


def convolve(convolution: nn.Module, h: Tensor) -> Tensor:
    """Return a convolution's result; both are (B, Y, X, C)."""
    out: Tensor = convolution(h.permute(0, 3, 1, 2))
    return out.permute(0, 2, 3, 1)


@dataclass(frozen=True)
class Shapes:
    """Sizes inside a network that takes one tile."""

    tile_px: tuple[int, int]
    """Rows and columns of the picture that goes in."""
    stream: tuple[int, int, int]
    """Rows, columns and channels."""
    scale: int
    """Output pixels per input pixel, along either axis."""


def repeated_loop(depths: Sequence[int]) -> Loop:
    """Return how the parts make one network of many depths."""
    return Loop("head", "step", "tail", "stream", "position", "exit", tuple(depths))


def repeated_parts(
    head: tuple[nn.Module, tuple[TensorSpec, ...]],
    step: tuple[nn.Module, tuple[TensorSpec, ...]],
    tail: tuple[nn.Module, tuple[TensorSpec, ...]],
    shapes: Shapes,
) -> tuple[EntryPoint, ...]:
    """Return the entry points of a network, still without inputs.

    `head` takes the picture, (1, Y, X, 3), and gives the stream; `step` takes stream
    and position, and gives the next stream; `tail` takes stream, picture and, at last,
    the place of the depth on offer. Each comes with what else it is told, which stands
    behind these, and before the tail's place.
    """
    rows, columns = shapes.tile_px
    scale = shapes.scale
    tile, enlarged = (
        (1, rows, columns, 3),
        (1, rows * scale, columns * scale, 3),
    )
    picture = TensorSpec("picture", "float32", tile, "BYXC", None, None, None)
    restored = TensorSpec("restored", "float32", enlarged, "BYXC", 0.0, 1.0, None)
    folded = (1, *shapes.stream)
    stream = TensorSpec("stream", "float32", folded, "BYXC", None, None, None)
    following = TensorSpec("next_stream", "float32", folded, "BYXC", None, None, None)
    position = TensorSpec("position", "int32", (1,), "B", None, None, None)
    depth = TensorSpec("exit", "int32", (1,), "B", None, None, None)
    (head_module, head_told), (step_module, step_told) = head, step
    tail_module, tail_told = tail
    return tuple(
        EntryPoint(name, None, module.eval(), inputs, (output,), ())
        for name, module, inputs, output in (
            ("head", head_module, (picture, *head_told), stream),
            ("step", step_module, (stream, position, *step_told), following),
            ("tail", tail_module, (stream, picture, *tail_told, depth), restored),
        )
    )


@dataclass(frozen=True)
class Purpose:
    """What a network on photographs is for, and what it is exported with."""

    summary: str
    parts: tuple[EntryPoint, ...]
    tile_px: tuple[int, int]
    """Rows and columns of what one run takes."""
    tile: Callable[[NDArray[np.uint8], float, int], Arrays]
    """Makes inputs of a photograph, of a place in 0–1 within the set, and of a seed."""
    problem: Problem
    conditions: str
    """How an exported file is measured, in words."""
    trained_on: str
    """What was done to the photographs."""
    card: str
    offers: Mapping[str, Any]
    """Of `picture` in bundle.json: sigma, tones, strength and looks where there are."""
    int8_snr_floor_db: float = 25.0
    """Least signal-to-noise ratio of a file that computes in int8."""
    int8_metric_loss: float = 0.15
    """Decibels of PSNR that a file of less than fp32 may be worse."""


def repeated_plan(
    trained: TrainedRepeated, record: Mapping[str, Any], purpose: Purpose
) -> Plan:
    """Return the plan of a checkpoint on BSDS500's photographs."""
    recipe, network = trained.recipe, trained.network
    source = source_weights(network)
    photos = data_folder() / "photos"
    loop = repeated_loop(recipe.depths)
    held_out = _tiles(photos / "dev_32.txt", N_HELD_OUT, purpose)
    calibration = _tiles(photos / "train_400.txt", N_CALIBRATION, purpose)
    return Plan(
        name=record["recipe"],
        task="picture",
        summary=purpose.summary,
        entry_points=with_inputs(purpose.parts, loop, held_out, calibration),
        loop=loop,
        asked=held_out,
        source=source,
        quantization="static",
        int8_snr_floor_db=purpose.int8_snr_floor_db,
        int8_metric_loss=purpose.int8_metric_loss,
        measure=Measure(
            network_restorer(network),
            purpose.problem,
            list_pictures(photos / "dev_32.txt")[:N_MEASURED],
            purpose.conditions,
        ),
        facts={
            "depths": list(recipe.depths),
            "states": [],
            "picture": {
                "tile_px": list(purpose.tile_px),
                "multiple_px": network.multiple_px,
                "radius_px": {
                    str(depth): network.receptive_radius_px(depth)
                    for depth in recipe.depths
                },
                "scale": network.scale,
                "sigma": None,
                "tones": [],
                "strength": None,
                "looks": [],
                **purpose.offers,
            },
            "speech": None,
            "source": source_facts(record, source),
            "training_data": [f"BSDS500, 400 photographs, {purpose.trained_on}"],
            "licence": {
                "code": "Apache-2.0",
                "weights": "research and education, non-commercial (terms of BSDS500)",
                "data": ["BSDS500: non-commercial research and educational purposes"],
            },
        },
        card=purpose.card,
    )


def _tiles(source: Path, n_tiles: int, purpose: Purpose) -> tuple[Arrays, ...]:
    """Return inputs made of photographs spread over a list."""
    paths = list_pictures(source)
    chosen = paths[:: max(1, len(paths) // n_tiles)][:n_tiles]
    last = max(1, len(chosen) - 1)
    return tuple(
        purpose.tile(read_picture(path), place / last, place)
        for place, path in enumerate(chosen)
    )


class Measure:
    """PSNR at the deepest depth on held-out photographs, file beside module."""

    def __init__(
        self,
        module: Restorer,
        problem: Problem,
        paths: Sequence[Path],
        conditions: str,
    ) -> None:
        self._module = module
        self._problem = problem
        self._paths = paths
        self._conditions = conditions
        self._reference: float | None = None

    def __call__(self, bundle: Bundle, engine: Engine) -> TaskMetric:
        depth = max(bundle.depths)
        value = self._mean(ImageFilter(bundle, engine).apply, depth)
        if self._reference is None:
            self._reference = self._mean(self._module, depth)
        return TaskMetric(
            name="psnr_db",
            value=value,
            reference_value=self._reference,
            loss=self._reference - value,
            n=len(self._paths),
            data="BSDS500, held-out photographs",
            conditions=f"{self._conditions}, depth {depth}",
        )

    def _mean(self, restore: Restorer, depth: int) -> float:
        values = []
        for index, path in enumerate(self._paths):
            posed = self._problem.pose(read_picture(path), index)
            made = restore(posed.given, depth=depth, **posed.told)
            values.append(self._problem.psnr_db(posed.wanted, to_8_bits(made)))
        return float(np.mean(values))
