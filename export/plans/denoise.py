"""`denoise`: head, repeated step and tail on a square tile, rows and columns first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from edge_runtime.pictures import (
    PICTURE_PEAK,
    add_noise,
    list_pictures,
    psnr_db,
    read_picture,
    to_8_bits,
)
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
from training.denoiser import UNSHUFFLE_PX, Denoiser
from training.tasks.denoise import crop_even
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


class Step(nn.Module):
    """One step of the repeated block, told which by its position."""

    def __init__(self, network: Denoiser) -> None:
        super().__init__()
        self.block = network.body

    def forward(self, stream: Tensor, position: Tensor) -> tuple[Tensor]:
        """Return the next stream; both are (1, Y/2, X/2, C), position is (1,)."""
        block = self.block
        scale = F.embedding(position, block.scale)  # (1, C)
        bias = F.embedding(position, block.bias)
        branch = F.relu(_convolve(block.first, stream) + bias)
        return (stream * scale + _convolve(block.second, branch),)


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
        noise = _convolve(self.tail, stream) + F.embedding(exit, self.bias)
        noise = noise.reshape(batch, y // n, x // n, channels, n, n)
        noise = noise.permute(0, 1, 4, 2, 5, 3)  # (B, Y/2, 2, X/2, 2, C)
        return ((picture - noise.reshape(batch, y, x, channels)).clamp(0.0, 1.0),)


def _convolve(convolution: nn.Conv2d, h: Tensor) -> Tensor:
    """Return a convolution's result; both are (B, Y, X, C)."""
    out: Tensor = convolution(h.permute(0, 3, 1, 2))
    return out.permute(0, 2, 3, 1)


def denoise_plan(trained: TrainedDenoiser, record: Mapping[str, Any]) -> Plan:
    """Return the plan of a `denoise` checkpoint."""
    recipe, network = trained.recipe, trained.network
    source = source_weights(network)
    photos = data_folder() / "photos"
    loop = Loop(
        "head", "step", "tail", "stream", "position", "exit", tuple(recipe.depths)
    )
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
        measure=_Measure(network, photos / "dev_32.txt"),
        facts={
            "depths": list(recipe.depths),
            "states": [],
            "picture": {
                "tile_px": TILE_PX,
                "multiple_px": UNSHUFFLE_PX,
                "radius_px": {
                    str(depth): network.receptive_radius_px(depth)
                    for depth in recipe.depths
                },
                "sigma_minimum": 0.0,
                "sigma_maximum": recipe.sigma_max,
            },
            "speech": None,
            "source": source_facts(record, source),
            "licence": {
                "code": "Apache-2.0",
                "weights": "research and education, non-commercial (terms of BSDS500)",
                "data": ["BSDS500: non-commercial research and educational purposes"],
            },
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
    shape = (1, tile_px, tile_px, 3)
    folded = (1, side, side, network.head.out_channels)
    strongest = sigma_max / PICTURE_PEAK
    picture = TensorSpec("picture", "float32", shape, "BYXC", None, None, None)
    sigma = TensorSpec("sigma", "float32", (1, 1, 1, 1), "BYXC", 0.0, strongest, None)
    stream = TensorSpec("stream", "float32", folded, "BYXC", None, None, None)
    position = TensorSpec("position", "int32", (1,), "B", None, None, None)
    restored = TensorSpec("restored", "float32", shape, "BYXC", 0.0, 1.0, None)
    following = replace(stream, name="next_stream")
    return tuple(
        EntryPoint(name, None, module.eval(), inputs, (output,), ())
        for name, module, inputs, output in (
            ("head", Head(network), (picture, sigma), stream),
            ("step", Step(network), (stream, position), following),
            (
                "tail",
                Tail(network),
                (stream, picture, replace(position, name="exit")),
                restored,
            ),
        )
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


class _Measure:
    """PSNR at the deepest depth on held-out photographs, file beside module."""

    def __init__(self, network: Denoiser, source: Path) -> None:
        self._network = network
        self._paths = list_pictures(source)[:N_MEASURED]
        self._reference: float | None = None

    def __call__(self, bundle: Bundle, engine: Engine) -> TaskMetric:
        depth = max(bundle.depths)
        picture_filter = ImageFilter(bundle, engine)
        value = self._mean(
            lambda noisy: picture_filter.apply(noisy, SIGMA, depth), self._pictures()
        )
        if self._reference is None:
            self._reference = self._mean(
                lambda noisy: self._module(noisy, depth), self._pictures()
            )
        return TaskMetric(
            name="psnr_db",
            value=value,
            reference_value=self._reference,
            loss=self._reference - value,
            n=len(self._paths),
            data="BSDS500, held-out photographs",
            conditions=f"sigma {SIGMA:g}, published protocol, depth {depth}",
        )

    def _pictures(self) -> list[NDArray[np.uint8]]:
        return [crop_even(read_picture(path)) for path in self._paths]

    @staticmethod
    def _mean(restore: Any, pictures: Sequence[NDArray[np.uint8]]) -> float:
        values = [
            psnr_db(
                clean,
                to_8_bits(restore(add_noise(clean, SIGMA, (0, index), clip=False))),
            )
            for index, clean in enumerate(pictures)
        ]
        return float(np.mean(values))

    @torch.no_grad()
    def _module(self, noisy: NDArray[np.float32], depth: int) -> NDArray[np.float32]:
        level = torch.full((1, 1, 1, 1), SIGMA / PICTURE_PEAK)
        picture = torch.from_numpy(noisy.transpose(2, 0, 1)[None])
        restored = self._network.at_depth(picture, level, depth)[0]
        return np.asarray(restored.clamp(0.0, 1.0).numpy().transpose(1, 2, 0))


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
