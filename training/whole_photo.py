"""A photograph of 12 megapixels: `python -m training.whole_photo` measures its filter.

Writes results/whole_photo.json: peak memory of a process that does nothing else, time,
and what of the tiles shows. Takes minutes an engine.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_runtime.child import answer, run_apart
from edge_runtime.commands import filter as filter_verb
from edge_runtime.engines import installed_engines
from edge_runtime.errors import TiedgeError
from edge_runtime.files import write_text
from edge_runtime.first_run import own_peak_bytes
from edge_runtime.image_filter import ImageFilter, open_filter, spans
from edge_runtime.pictures import (
    add_noise,
    list_pictures,
    read_picture,
    to_8_bits,
    to_float,
)
from training.data import data_folder
from training.result_sources import ROOT, conditions, sources_sha256
from training.results import Setup

NAME = "whole_photo"
WIDTH_PX, HEIGHT_PX = 4000, 3000
PHOTOS_A_SIDE = 3
SIGMA = 15.0
SEAM_SIDE_PX = 640
"""Side of the part in which tiles are compared with single runs."""
THREADS = 2
QUALITY = 95


def main() -> int:
    """Measure and write; 1, with one line, if something could not be."""
    try:
        picture = large_photo(data_folder() / "photos" / "test_CBSD68.txt")
        rows = list(_rows(picture))
    except TiedgeError as error:
        print(f"whole_photo: {error}", file=sys.stderr)
        return 1
    result = {
        "conditions": conditions(NAME) | {"threads": THREADS},
        "sources_sha256": sources_sha256(NAME, Setup()),
        "rows": rows,
    }
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    write_text(ROOT / "results" / f"{NAME}.json", text)
    return 0


def large_photo(listed: Path) -> NDArray[np.uint8]:
    """Return nine photographs of a list, enlarged, side by side, with noise, (Y, X, 3).

    As a camera gives it: rounded to 8 bits.
    """
    whole = Image.new("RGB", (WIDTH_PX, HEIGHT_PX))
    width, height = -(-WIDTH_PX // PHOTOS_A_SIDE), -(-HEIGHT_PX // PHOTOS_A_SIDE)
    places = product(range(PHOTOS_A_SIDE), repeat=2)
    for path, (row, column) in zip(list_pictures(listed), places, strict=False):
        part = Image.fromarray(read_picture(path)).resize((width, height))
        whole.paste(part, (column * width, row * height))
    return to_8_bits(add_noise(np.asarray(whole), SIGMA, seed=0, clip=True))


def seam_difference(
    image_filter: ImageFilter, picture: NDArray[np.float32], sigma: float, depth: int
) -> float:
    """Return by how much tiles differ from single runs that have no seam in sight.

    Around each place where four tiles meet, one run sees all that the network could
    see there. 0 is equality to the bit.
    """
    spec = image_filter.spec
    radius, sides = spec.radius_px[depth], spec.tile_px
    tiled = image_filter.apply(picture, sigma, depth)
    starts = [
        [
            (span.keep_to - side // 2) // spec.multiple_px * spec.multiple_px
            for span in spans(length, side, radius, spec.multiple_px)[:-1]
        ]
        for length, side in zip(picture.shape[:2], sides, strict=True)
    ]
    n_rows, n_columns = sides
    inner = slice(radius, n_rows - radius), slice(radius, n_columns - radius)
    worst = 0.0
    for top, left in product(*starts):
        place = slice(top, top + n_rows), slice(left, left + n_columns)
        alone = image_filter.apply(picture[place], sigma, depth)
        difference = np.abs(tiled[place] - alone)[inner]
        worst = max(worst, float(difference.max()))
    return worst


def _rows(picture: NDArray[np.uint8]) -> Iterator[dict[str, Any]]:
    part = to_float(picture[:SEAM_SIDE_PX, :SEAM_SIDE_PX])
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "photo.jpg"
        Image.fromarray(picture).save(source, quality=QUALITY)
        for engine in installed_engines():
            words = (engine, str(source), str(Path(scratch) / f"{engine}.jpg"))
            row = run_apart("training.whole_photo", words, f"whole photo on {engine}")
            with open_filter("denoise", engine, "int8", THREADS) as image_filter:
                seam = seam_difference(image_filter, part, SIGMA, row["depth"])
            yield row | {"seam": seam}


def filter_alone(words: Sequence[str]) -> dict[str, Any]:
    """Filter a file in this process: engine, source and target; return the figures."""
    engine, source, target = words
    said = io.StringIO()
    with redirect_stdout(said):
        filter_verb.run(
            [
                "denoise",
                source,
                target,
                "--engine",
                engine,
                "--threads",
                str(THREADS),
                "--json",
            ]
        )
    found = json.loads(said.getvalue())
    (row,) = found["rows"]
    same = {key: found[key] for key in ("bundle", "engine", "precision", "threads")}
    figures = {key: row[key] for key in ("width_px", "height_px", "depth", "ms")}
    return same | figures | {"peak_rss_bytes": own_peak_bytes()}


if __name__ == "__main__":
    if sys.argv[1:]:
        answer(lambda: filter_alone(sys.argv[1:]))
    else:
        sys.exit(main())
