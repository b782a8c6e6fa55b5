"""Ten minutes of a live run, for results/live.json: `python -m training.live_results`.

A video of photographs that pan under noise is played again and again through `tiedge
live --serve`, a process of its own, at the pace of a camera; this process reads the
stream as a browser would, and looks at the other's memory once a second.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import SettingError, TiedgeError
from edge_runtime.files import write_text
from edge_runtime.first_run import BYTES_PER_KIB
from edge_runtime.live.jpeg import JpegSplitter
from edge_runtime.options import Parser
from edge_runtime.pictures import add_noise, list_pictures, read_picture, to_8_bits
from training.data import data_folder
from training.live_figures import draw_live, live_table
from training.result_rows import Row
from training.result_sources import ROOT, conditions, sources_sha256
from training.result_tables import put_table
from training.results import Setup

NAME = "live"
DOCUMENT = "docs/live.md"
HEIGHT_PX, WIDTH_PX = 320, 480
FPS = 30.0
THREADS = 2
SIGMA = 25.0
PHOTOS = "photos/dev_32.txt"
"""In the data folder."""
N_PHOTOS, FRAMES_EACH = 20, 30
SECONDS, SHORT_SECONDS = 600.0, 20.0
ROW_S = 10.0
"""Time that a row tells of."""
LOOK_S = 1.0
"""Time between two looks at the memory."""
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Plan:
    """What is run, and how long."""

    bundle: str = "denoise-live"
    precision: str = "int8"
    seconds: float = SECONDS
    row_s: float = ROW_S
    threads: int = THREADS


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write results and plot; 1, with one line, if something fails."""
    parser = Parser(prog="python -m training.live_results", description=__doc__)
    parser.add_argument(
        "--short", action="store_true", help=f"{SHORT_SECONDS:g} seconds, and nothing"
        " is written: the rows go to stdout"
    )  # fmt: skip
    try:
        short = parser.parse_args(arguments).short
        with tempfile.TemporaryDirectory() as scratch:
            video = Path(scratch) / "panned.avi"
            write_video(video, data_folder() / PHOTOS)
            plan = Plan(seconds=SHORT_SECONDS) if short else Plan()
            rows = list(measure(plan, video))
        if short:
            print(json.dumps(rows, indent=2))
        else:
            write(ROOT, rows)
    except TiedgeError as error:
        print(f"live_results: {error}", file=sys.stderr)
        return 1
    return 0


def write_video(path: Path, photos: Path) -> None:
    """Write a video of photographs that pan, with noise as a camera's is clipped.

    OpenCV's MJPEG takes some of the noise away: a run finds less than SIGMA.
    """
    from edge_runtime.live.opencv import VideoEncoder

    encoder = VideoEncoder(path, FPS, (WIDTH_PX, HEIGHT_PX))
    for seed, frame in enumerate(_frames(photos)):
        encoder.write(to_8_bits(add_noise(frame, SIGMA, seed, clip=True)))
    encoder.close()


def _frames(photos: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield frames, (Y, X, 3): each photograph, mirrored at its ends, moves by."""
    for path in islice(list_pictures(photos), N_PHOTOS):
        photo = read_picture(path)
        if photo.shape[0] > photo.shape[1]:
            photo = photo.swapaxes(0, 1)
        wide = np.pad(
            photo, ((0, HEIGHT_PX), (0, WIDTH_PX), (0, 0)), "symmetric"
        )  # (Y, X, 3)
        for step in range(FRAMES_EACH):
            yield wide[2 * step :, 3 * step :][:HEIGHT_PX, :WIDTH_PX]


def measure(plan: Plan, video: Path) -> Iterator[Row]:
    """Yield a row per `row_s` of one run, and one of the whole of it."""
    command = [sys.executable, "-m", "tiedge", "live", plan.bundle, "--json", "--loop"]
    command += ["--video", str(video), "--seconds", f"{plan.seconds:g}"]
    command += ["--serve", "--port", "0", "--threads", str(plan.threads)]
    command += ["--precision", plan.precision]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        said = process.stderr.readline()
        address = re.search(r"http://\S+/", said)
        if address is None:
            raise SettingError(f"tiedge live: {said.strip() or 'said nothing'}")
        # What it says every ten seconds would fill the pipe.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        with client(address[0]) as received:
            rows = list(_watch(plan, process.pid, address[0]))
            whole = json.loads(process.stdout.read())
    yield from rows
    yield {
        "kind": "whole",
        **{key: whole[key] for key in whole if key not in {"source", "sink"}},
        "n_received": len(received),
        "rss_growth_bytes": growth([row["rss_bytes"] for row in rows]),
    }


def _watch(plan: Plan, pid: int, address: str) -> Iterator[Row]:
    """Yield rows until the process ends."""
    began_s = time.monotonic()
    figures(address)  # the first part begins here
    while True:
        highest, until_s = 0, time.monotonic() + plan.row_s
        while time.monotonic() < until_s:
            highest = max(highest, resident_bytes(pid))
            time.sleep(min(LOOK_S, plan.row_s))
        try:
            found = figures(address)
        except OSError:
            return
        part = found["part"]
        yield {
            "kind": "part",
            "at_s": round(time.monotonic() - began_s, 1),
            "rss_bytes": highest,
            "n_dropped": found["n_dropped"],
            **{key: part[key] for key in ("n_captured", "n_shown", "fps_shown")},
            **{key: part[key] for key in ("frames_by_depth", "filter_ms", "age_ms")},
        }


def figures(address: str) -> dict[str, Any]:
    """Return what the run tells at its address."""
    with urllib.request.urlopen(f"{address}figures.json", timeout=PATIENCE_S) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


@contextmanager
def client(address: str) -> Iterator[list[int]]:
    """Read the stream as a browser does; gives the sizes of its pictures so far."""
    sizes: list[int] = []

    def read() -> None:
        splitter = JpegSplitter(address)
        with suppress(OSError, HTTPException):
            with urllib.request.urlopen(f"{address}stream.mjpeg") as answer:
                while data := answer.read1():
                    sizes.extend(map(len, splitter.feed(data)))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    yield sizes
    thread.join(PATIENCE_S)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process, 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    return int(found[1]) * BYTES_PER_KIB if found else 0


def growth(rss_bytes: Sequence[int]) -> int:
    """Return what the memory of the last tenth is above that of the second.

    >>> growth([50, 70, 70, 70, 70, 70, 70, 70, 70, 71])
    1
    """
    tenth = max(1, len(rss_bytes) // 10)
    early, late = rss_bytes[tenth : 2 * tenth], rss_bytes[-tenth:]
    return int(np.median(late or rss_bytes) - np.median(early or rss_bytes))


def write(root: Path, rows: Sequence[Row]) -> None:
    """Write results/live.json, and its plot and table in docs/, under `root`."""
    known = conditions(NAME)
    known["versions"]["opencv-python"] = version("opencv-python")
    known |= {
        "threads": THREADS,
        "video": f"{WIDTH_PX}×{HEIGHT_PX}, {FPS:g} fps, {N_PHOTOS} photographs of"
        f" {PHOTOS}, sigma {SIGMA:g} before MJPEG",
    }
    result = {
        "conditions": known,
        "sources_sha256": sources_sha256(NAME, Setup()),
        "rows": rows,
    }
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    write_text(root / "results" / f"{NAME}.json", text)
    parts = [row for row in rows if row["kind"] == "part"]
    draw_live(parts, FPS, root / "docs" / f"{NAME}.png")
    document = root / DOCUMENT
    written = document.read_text(encoding="utf-8")
    write_text(document, fill_document(written, result))


def fill_document(text: str, result: Mapping[str, Any]) -> str:
    """Return docs/live.md with its table made anew; errors as `put_table`."""
    return put_table(text, NAME, live_table(result), DOCUMENT)


if __name__ == "__main__":
    sys.exit(main())
