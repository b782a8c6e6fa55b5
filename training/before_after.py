"""Pictures before and after each ready-made filter: `python -m training.before_after`.

The photographs come with scikit-image and are free of any rights: a cat (Chelsea, CC0),
an astronaut (NASA, public domain) and a cup of coffee (CC0).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle import BUNDLES
from edge_runtime.errors import TiedgeError
from edge_runtime.image_filter import ImageFilter, open_filter
from edge_runtime.pictures import (
    add_noise,
    read_picture,
    to_8_bits,
    to_float,
    write_picture,
)
from training.exposure import Exposure
from training.result_sources import ROOT
from training.scaling import doubled, halved
from training.scikit_image import require

FOLDER = ROOT / "docs" / "filters"
SIGMA = 35.0
DARK = Exposure(0.22, 1.8, 2.0)
SIDE_PX = 256
GAP_PX = 4

Panels = list[NDArray[np.uint8]]
"""Pictures of one size, (Y, X, 3), from left to right."""


def denoise(filter: ImageFilter) -> Panels:
    """Return a noisy picture, and it at the shallowest and at the deepest depth."""
    noisy = add_noise(cut("chelsea", 20, 90), SIGMA, 0, clip=True)
    depths = (filter.bundle.depths[0], filter.bundle.depths[-1])
    made = [to_8_bits(filter.apply(noisy, SIGMA, depth)) for depth in depths]
    return [to_8_bits(noisy), *made]


def enhance(filter: ImageFilter) -> Panels:
    """Return a dark picture, half the light, and all of it."""
    dark = DARK.expose(cut("astronaut", 0, 90), np.random.default_rng(0))
    made = [to_8_bits(filter.apply(dark, strength=s)) for s in (0.5, 1.0)]
    return [to_8_bits(dark), *made]


def looks(filter: ImageFilter) -> Panels:
    """Return a picture, and each look of it."""
    picture = cut("coffee", 80, 200)
    looks = filter.spec.looks
    made = [to_8_bits(filter.apply(to_float(picture), look=look)) for look in looks]
    return [picture, *made]


def superres(filter: ImageFilter) -> Panels:
    """Return a small picture, doubled by pixels, bicubically, and by the filter."""
    small = halved(cut("astronaut", 0, 90))
    pixels = small.repeat(2, axis=0).repeat(2, axis=1)
    return [pixels, doubled(small), to_8_bits(filter.apply(to_float(small)))]


SHOWN: dict[str, Callable[[ImageFilter], Panels]] = {
    "denoise": denoise,
    "enhance": enhance,
    "looks": looks,
    "superres": superres,
}


def show(name: str, folder: Path) -> Path:
    """Write what a ready-made filter does as one picture; return its path."""
    with open_filter(name) as filter:
        panels = SHOWN[name](filter)
    gap = np.full((panels[0].shape[0], GAP_PX, 3), 255, np.uint8)
    parts = [part for panel in panels for part in (gap, panel)][1:]
    path = folder / f"{name}.jpg"
    folder.mkdir(parents=True, exist_ok=True)
    write_picture(path, np.concatenate(parts, axis=1))
    return path


def cut(name: str, top: int, left: int) -> NDArray[np.uint8]:
    """Return a square of one of scikit-image's photographs."""
    require()
    with as_file(files("skimage") / "data" / f"{name}.png") as path:
        return read_picture(path)[top : top + SIDE_PX, left : left + SIDE_PX]


def main() -> int:
    """Write a picture for each filter that is shipped; 1, with one line, on failure."""
    try:
        for name in SHOWN:
            if (BUNDLES / name).is_dir():
                print(show(name, FOLDER).relative_to(ROOT))
    except TiedgeError as error:
        print(f"before_after: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
