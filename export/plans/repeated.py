"""What the plans of all networks share whose one block is repeated on a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from edge_runtime.bundle import Bundle
from edge_runtime.bundle_parts import Loop, TensorSpec
from edge_runtime.engine import Engine
from edge_runtime.image_filter import ImageFilter
from edge_runtime.pictures import read_picture, to_8_bits
from export.plan import EntryPoint, TaskMetric
from training.evaluation_pictures import Restorer
from training.problems import Problem
from training.sharing import RepeatedBlock


class Step(nn.Module):
    """One step of the repeated block, told which by its position."""

    def __init__(self, block: RepeatedBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, stream: Tensor, position: Tensor) -> tuple[Tensor]:
        """Return the next stream; both are (1, Y, X, C), position is (1,)."""
        block = self.block
        scale = F.embedding(position, block.scale)  # (1, C)
        bias = F.embedding(position, block.bias)
        branch = F.relu(convolve(block.first, stream) + bias)
        return (stream * scale + convolve(block.second, branch),)


def convolve(convolution: nn.Conv2d, h: Tensor) -> Tensor:
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
    head: nn.Module,
    block: RepeatedBlock,
    tail: nn.Module,
    shapes: Shapes,
    told: tuple[TensorSpec, ...] = (),
) -> tuple[EntryPoint, ...]:
    """Return the entry points of a network, still without inputs.

    `head` takes the picture, (1, Y, X, 3), and what else the network is `told`, and
    gives the stream; `tail` takes stream, picture and place of the depth on offer.
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
    return tuple(
        EntryPoint(name, None, module.eval(), inputs, (output,), ())
        for name, module, inputs, output in (
            ("head", head, (picture, *told), stream),
            ("step", Step(block), (stream, position), following),
            ("tail", tail, (stream, picture, depth), restored),
        )
    )


def photo_facts(
    depths: Sequence[int],
    radius_px: Mapping[int, int],
    tile_px: tuple[int, int],
    multiple_px: int,
    scale: int = 1,
    sigma: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Return what bundle.json says of a network trained on BSDS500's photographs."""
    return {
        "depths": list(depths),
        "states": [],
        "picture": {
            "tile_px": list(tile_px),
            "multiple_px": multiple_px,
            "radius_px": {str(depth): radius_px[depth] for depth in depths},
            "scale": scale,
            "sigma": sigma,
            "strength": None,
            "looks": [],
        },
        "speech": None,
        "licence": {
            "code": "Apache-2.0",
            "weights": "research and education, non-commercial (terms of BSDS500)",
            "data": ["BSDS500: non-commercial research and educational purposes"],
        },
    }


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
