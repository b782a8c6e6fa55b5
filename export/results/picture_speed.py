"""The picture filters' speed beside others': `python -m export.results.picture_speed`.

In one process, turn by turn: the denoiser beside DnCNN and FFDNet (colour, of their
published sizes, random weights) in the same engine and precision; what the runtime
adds to the engine; the camera's filter on whole frames; looks beside OpenCV's
operators; and, where bm3d is installed, CBM3D.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edge_runtime.bundle import Bundle
from edge_runtime.engines import open_engine
from edge_runtime.errors import SettingError, TiedgeError
from edge_runtime.image_filter import open_filter
from edge_runtime.pictures import to_8_bits
from export.convert import Entry, convert
from training.cbm3d import block_matched
from training.looks import LOOKS
from training.opencv import opencv_threads

ENGINE = "litert"
SIGMA = 25.0
FRAME_PX = (480, 640)
MEGAPIXEL_PX = (1000, 1000)
PHOTO_PX = (321, 481)
"""A photograph of CBSD68."""
N_BEFORE, N_TIMED = 2, 12
"""Rounds that are left out, and that count."""
N_SLOW = 2
"""Rounds with CBM3D, a run of which takes a good part of a minute."""
LIVE_THREADS = 2
LOOKS_THREADS = (1, 2)
MILLISECONDS_PER_SECOND = 1000
DNCNN, FFDNET = "DnCNN", "FFDNet"

Row = dict[str, Any]
Run = Callable[[], object]
Picture = NDArray[np.float32]


class DnCNN(nn.Module):
    """20 convolutions of 64 channels, as for colour (arXiv:1608.03981).

    Batch norms are folded into kernels when such a network is shipped.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = _convolutions(3, 64, 3, 20)

    def forward(self, picture: Tensor) -> Tensor:
        """Return the clean picture, (1, Y, X, 3)."""
        noise: Tensor = self.body(picture.permute(0, 3, 1, 2))
        return picture - noise.permute(0, 2, 3, 1)


class FFDNet(nn.Module):
    """12 convolutions of 96 channels at half resolution (arXiv:1710.04026)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = _convolutions(15, 96, 12, 12)

    def forward(self, picture: Tensor, sigma: Tensor) -> Tensor:
        """Return the clean picture, (1, Y, X, 3); sigma is a map, (1, Y/2, X/2, 3)."""
        folded = F.pixel_unshuffle(picture.permute(0, 3, 1, 2), 2)
        read = torch.cat([folded, sigma.permute(0, 3, 1, 2)], dim=1)
        return F.pixel_shuffle(self.body(read), 2).permute(0, 2, 3, 1)


def _convolutions(n_in: int, channels: int, n_out: int, n: int) -> nn.Sequential:
    widths = [n_in, *[channels] * (n - 1), n_out]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def measure(folder: Path) -> Iterator[Row]:
    """Yield the rows of each comparison."""
    yield from _networks(folder)
    yield from _runtime()
    yield from _live()
    yield from _looks()
    with suppress(SettingError):  # CBM3D is not for everybody
        yield from _cbm3d()


def _networks(folder: Path) -> Iterator[Row]:
    """Yield the denoiser's depths and its peers, on one of its tiles."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    with ExitStack() as stack:
        runs: dict[tuple[str, str], Run] = {}
        for precision in ("int8", "fp32"):
            ours = stack.enter_context(open_filter("denoise", ENGINE, precision))
            rows, columns = ours.spec.tile_px
            tile = rng.random((1, rows, columns, 3), np.float32)
            told = {
                "picture": tile,
                "sigma": np.full((1, 1, 1, 1), SIGMA / 255, np.float32),
            }
            for depth in ours.bundle.depths:
                name = f"denoise, depth {depth}"
                runs[name, precision] = _call(ours.engine.run, f"depth_{depth}", told)
        half = torch.full((1, rows // 2, columns // 2, 3), SIGMA / 255)
        for name, module, given in (
            (DNCNN, DnCNN(), (torch.from_numpy(tile),)),
            (FFDNET, FFDNet(), (torch.from_numpy(tile), half)),
        ):
            bundle = _converted(module.eval(), given, folder / name)
            for precision in ("int8", "fp32"):
                model = bundle.model("tflite", precision)
                engine = stack.enter_context(open_engine(ENGINE, model, 1))
                (signature,) = model.signatures
                asked = {
                    spec.name: array.numpy()
                    for spec, array in zip(signature.inputs, given, strict=True)
                }
                runs[name, precision] = _call(engine.run, signature.name, asked)
        for (name, precision), ms in _turns(runs).items():
            yield {
                "kind": "network",
                "name": name,
                "precision": precision,
                "engine": ENGINE,
                "threads": 1,
                "size_px": [rows, columns],
                "p50_ms": ms,
            }


def _converted(module: nn.Module, given: tuple[Tensor, ...], folder: Path) -> Bundle:
    entry = Entry(module, given, calibration=(given,))
    return convert(
        entry, folder, formats=("tflite",), precisions=("int8", "fp32"), say=_say
    )


def _runtime() -> Iterator[Row]:
    """Yield what the filter takes beyond its engine, on pictures of one tile."""
    rng = np.random.default_rng(0)
    for name in ("denoise", "denoise-live"):
        with open_filter(name, ENGINE) as ours:
            rows, columns = ours.spec.tile_px
            picture = rng.random((rows, columns, 3), np.float32)
            told = {
                "picture": picture[np.newaxis],
                "sigma": np.full((1, 1, 1, 1), SIGMA / 255, np.float32),
            }
            for depth in ours.bundle.depths:
                found = _turns(
                    {
                        "engine": _call(ours.engine.run, f"depth_{depth}", told),
                        "filter": _call(ours.apply, picture, SIGMA, depth),
                    }
                )
                yield {
                    "kind": "runtime",
                    "name": f"{name}, depth {depth}",
                    "threads": 1,
                    "size_px": [rows, columns],
                    "engine_p50_ms": found["engine"],
                    "filter_p50_ms": found["filter"],
                    "part": round(found["filter"] / found["engine"] - 1, 4),
                }


def _live() -> Iterator[Row]:
    """Yield the times of whole frames of a camera, by depth."""
    frame = np.random.default_rng(0).random((*FRAME_PX, 3), np.float32)
    for name in ("denoise-live", "denoise"):
        with open_filter(name, ENGINE, threads=LIVE_THREADS) as ours:
            for depth in ours.bundle.depths:
                ms = _median(_call(ours.apply, frame, SIGMA, depth))
                yield {
                    "kind": "live",
                    "name": f"{name}, depth {depth}",
                    "threads": LIVE_THREADS,
                    "size_px": list(FRAME_PX),
                    "p50_ms": ms,
                    "fps": round(MILLISECONDS_PER_SECOND / ms, 1),
                }


def _looks() -> Iterator[Row]:
    """Yield the times of each look at each depth beside OpenCV's operator."""
    for threads in LOOKS_THREADS:
        yield from _looks_on(threads)


def _looks_on(threads: int) -> Iterator[Row]:
    picture = _photo_like(MEGAPIXEL_PX)
    pixels = to_8_bits(picture)
    with opencv_threads(threads), open_filter("looks", ENGINE, threads=threads) as ours:
        for look, operator in LOOKS.items():
            runs: dict[str, Run] = {"OpenCV": _call(operator, pixels)}
            for depth in ours.bundle.depths:
                runs[str(depth)] = _call(
                    ours.apply, picture, None, depth, strength=None, look=look
                )
            found = _turns(runs)
            for depth in ours.bundle.depths:
                yield {
                    "kind": "looks",
                    "name": look,
                    "depth": depth,
                    "threads": threads,
                    "size_px": list(MEGAPIXEL_PX),
                    "p50_ms": found[str(depth)],
                    "opencv_p50_ms": found["OpenCV"],
                    "ratio": round(found["OpenCV"] / found[str(depth)], 2),
                }


def _cbm3d() -> Iterator[Row]:
    picture = _photo_like(PHOTO_PX)
    noise = np.random.default_rng(0).standard_normal(picture.shape, np.float32)
    noisy = picture + noise * np.float32(SIGMA / 255)
    with open_filter("denoise", ENGINE) as ours:
        deepest = ours.bundle.depths[-1]
        found = _turns(
            {
                "denoise": _call(ours.apply, noisy, SIGMA, deepest),
                "CBM3D": _call(block_matched, noisy, SIGMA, is_gray=False),
            },
            n_before=0,
            n_timed=N_SLOW,
        )
    yield {
        "kind": "cbm3d",
        "name": f"denoise, depth {deepest}",
        "threads": 1,
        "size_px": list(PHOTO_PX),
        "p50_ms": found["denoise"],
        "cbm3d_p50_ms": found["CBM3D"],
        "ratio": round(found["CBM3D"] / found["denoise"], 1),
    }


def _photo_like(size_px: tuple[int, int]) -> Picture:
    """Return a picture with surfaces and edges, (Y, X, 3), the same each time."""
    rng = np.random.default_rng(0)
    small = rng.random((size_px[0] // 20 + 1, size_px[1] // 20 + 1, 3), np.float32)
    large = small.repeat(20, axis=0).repeat(20, axis=1)
    return np.ascontiguousarray(large[: size_px[0], : size_px[1]])


def _call(function: Callable[..., object], *given: Any, **named: Any) -> Run:
    return lambda: function(*given, **named)


def _median(run: Run) -> float:
    return _turns({"": run})[""]


def _turns(
    runs: Mapping[Any, Run], n_before: int = N_BEFORE, n_timed: int = N_TIMED
) -> dict[Any, float]:
    """Return the median milliseconds of each, run turn by turn."""
    times: dict[Any, list[float]] = {name: [] for name in runs}
    for _ in range(n_before + n_timed):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            seconds = time.perf_counter() - started
            times[name].append(seconds * MILLISECONDS_PER_SECOND)
    return {name: round(median(all_[n_before:]), 3) for name, all_ in times.items()}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Print the rows as one JSON object; 1, with one line, if they cannot be had."""
    try:
        with tempfile.TemporaryDirectory() as scratch:
            rows = []
            for row in measure(Path(scratch)):
                _say(json.dumps(row))
                rows.append(row)
    except TiedgeError as error:
        _say(f"picture_speed: {error}")
        return 1
    print(json.dumps({"rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
