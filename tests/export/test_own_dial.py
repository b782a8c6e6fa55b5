"""A dial of the user's own modules, through the public function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_runtime.engines import FORMAT_OF_ENGINE, installed_engines, open_engine
from edge_runtime.errors import ModuleError
from export.convert import convert
from export.own_dial import Dial
from export.tflite_file import read_tflite

CHANNELS, SIDE_PX, DEPTHS = 6, 12, (1, 3, 5)


class Step(nn.Module):
    """Two convolutions beside the stream, moved by the step's own row of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.second = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.bias = nn.Parameter(torch.randn(max(DEPTHS), CHANNELS))

    def forward(self, stream: Tensor, position: Tensor) -> Tensor:
        bias = F.embedding(position, self.bias).reshape(1, -1, 1, 1)
        return stream + 0.3 * self.second(F.relu(self.first(stream) + bias))


class Scaled(Step):
    """The same, with the stream scaled by the step's own factors."""

    def forward(self, stream: Tensor, position: Tensor) -> Tensor:
        scale = F.embedding(position, self.bias)[..., None, None]
        return super().forward(stream, position) + stream * scale


class Plain(nn.Module):
    """A step that is the same at every position."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)

    def forward(self, stream: Tensor) -> Tensor:
        return stream + torch.tanh(self.layer(stream))


class Bare(Plain):
    """A step that reads a pixel's neighbours in the operator that writes the pixel."""

    def forward(self, stream: Tensor) -> Tensor:
        return F.relu(self.layer(stream))


class Before(nn.Module):
    def __init__(self, n_out: int = CHANNELS) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, n_out, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        return self.layer(picture)


class After(nn.Module):
    """Adds what it finds to the picture; a bias for each depth on offer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(CHANNELS, 3, 1)
        self.bias = nn.Parameter(torch.randn(len(DEPTHS), 3))

    def forward(self, stream: Tensor, picture: Tensor, exit: Tensor) -> Tensor:
        bias = F.embedding(exit, self.bias).reshape(1, -1, 1, 1)
        return picture + self.layer(stream) + bias


def picture() -> Tensor:
    return torch.randn(1, 3, SIDE_PX, SIDE_PX)


def dial(step: nn.Module, **changes: object) -> Dial:
    settings = {
        "before": Before(),
        "step": step,
        "after": After(),
        "example": {"picture": picture()},
        "depths": DEPTHS,
        "calibration": [{"picture": picture()} for _ in range(4)],
    }
    return Dial(**(settings | changes))  # type: ignore[arg-type]


@torch.no_grad()
def at_depth(parts: Dial, x: Tensor, depth: int) -> Tensor:
    """Return what a dial's modules give, called as one would in PyTorch."""
    stream = parts.before(x)
    for position in range(depth):
        told = () if isinstance(parts.step, Plain) else (torch.tensor([position]),)
        stream = parts.step(stream, *told)
    exit = torch.tensor([parts.depths.index(depth)])
    result: Tensor = parts.after(stream, x, exit)
    return result


@pytest.mark.parametrize("make", [Step, Bare])
def test_any_module_gets_a_dial(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    """Four files, every depth right in each, and no weight twice."""
    torch.manual_seed(0)
    parts = dial(make())

    bundle = convert(parts, tmp_path / "mine", say=lambda line: None)

    x = picture()
    assert (DEPTHS, 4) == (bundle.depths, len(bundle.models))
    for model in bundle.models:
        assert 0 == model.sharing.duplicate_bytes
        for engine in installed_engines():
            if FORMAT_OF_ENGINE[engine] != model.format or engine == "tflite-runtime":
                continue
            with open_engine(engine, model) as opened:
                for depth in DEPTHS:
                    expected = at_depth(parts, x, depth).numpy()
                    (found,) = opened.run(
                        f"depth_{depth}", {"picture": x.numpy()}
                    ).values()
                    error = np.abs(found - expected).max() / np.abs(expected).max()
                    assert error < (1e-5 if model.precision == "fp32" else 0.1)


def test_a_stream_lies_in_memory_as_engines_convolve_it(tmp_path: Path) -> None:
    """A step of (B, C, Y, X) is free of transpositions; so is one with factors."""
    torch.manual_seed(0)

    bundle = convert(
        dial(Scaled()),
        tmp_path / "mine",
        formats=("tflite",),
        precisions=("fp32",),
        say=lambda line: None,
    )

    data = bundle.models[0].path.read_bytes()
    (step,) = (graph for graph in read_tflite(data).graphs if graph.name == "step")
    assert (1, SIDE_PX, SIDE_PX, CHANNELS) == step.tensors[step.inputs[0]].shape
    assert "TRANSPOSE" not in {operator.name for operator in step.operators}


class TakesMore(Plain):
    def forward(self, stream: Tensor, sigma: Tensor) -> Tensor:
        return stream * sigma


class Widens(nn.Module):
    def forward(self, stream: Tensor) -> Tensor:
        return torch.cat([stream, stream], dim=1)


class Deaf(nn.Module):
    def forward(self, picture: Tensor) -> Tensor:
        return picture.mean(dim=1, keepdim=True).expand(-1, CHANNELS, -1, -1) * 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depths": 3}, "depths: found 3, expected rising whole numbers from 1"),
        (
            {"depths": (1.0, 2.0)},
            "depths: found (1.0, 2.0), expected rising whole numbers from 1",
        ),
        (
            {"example": {"position": picture()}},
            "example: input 'position', which is a dial's own; choose another name",
        ),
        (
            {"step": TakesMore()},
            "step: forward takes 'sigma', expected some of picture position stream",
        ),
        (
            {"step": Widens()},
            "step: gives float32 (1, 12, 12, 12) for a stream of float32 (1, 6, 12,"
            " 12), expected another like it",
        ),
        ({"step": Deaf()}, "step: takes no argument 'stream', expected one"),
        (
            {"depths": (2, 1)},
            "depths: found (2, 1), expected rising whole numbers from 1",
        ),
        ({"depths": ()}, "depths: found (), expected rising whole numbers from 1"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    """One line, and no folder."""
    step = changes.pop("step", Plain())
    assert isinstance(step, nn.Module)

    with pytest.raises(ModuleError) as caught:
        convert(dial(step, **changes), tmp_path / "mine", say=lambda line: None)

    assert message == str(caught.value)
    assert [] == list(tmp_path.iterdir())
