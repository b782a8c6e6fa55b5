"""The published figures: `python -m training.results` measures and writes them.

Each of results/*.json is written whole as soon as it is measured, by calls of the
`tiedge` command, with the conditions and a hash of the sources that it depends on. The
tables and plots of README.md and docs/ follow.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.bench import PUBLISHED_RUNS, PUBLISHED_SECONDS
from edge_runtime.bundle import find_bundle
from edge_runtime.errors import SettingError, TiedgeError
from edge_runtime.files import write_text
from edge_runtime.image_filter import open_filter
from edge_runtime.options import Parser
from training.connected_digits import write_digit_strings, write_joined
from training.data import data_folder
from training.dial_figures import draw_budget
from training.long_recording import long_rows
from training.paced_run import paced_run
from training.picture_results import (
    denoise_rows,
    enhance_rows,
    gray_rows,
    live_profile_rows,
    looks_rows,
    peer_rows,
    superres_rows,
)
from training.quality_plot import draw_peers
from training.result_rows import (
    ENGINE,
    THREADS,
    Call,
    Row,
    cases_of,
    only,
    precision_of,
)
from training.result_sources import (
    BUNDLES,
    PACED_THREADS,
    ROOT,
    conditions,
    sources_sha256,
)
from training.result_tables import (
    DOCUMENTS,
    TABLES,
    fill_tables,
    read_results,
)
from training.sharing_plot import draw_sharing
from training.speech_latency import latency_rows
from training.speech_results import export_fp32, speech_rows
from training.speech_tables import UNSEEN

FPS = 30.0
N_JOINED = 100
SHORT_RUNS, SHORT_SECONDS = 100, 2.0

__all__ = ["ROOT", "Setup", "conditions", "main", "make"]

PLOTS = {
    "sharing": draw_sharing,
    "frame_budget": draw_budget,
    "denoise_peers": draw_peers,
}
"""Results file to what draws docs/NAME.png of its rows."""


def compare_exporters() -> Row:
    """Return the comparison of tiedge with the plain exporters.

    In a process of its own, as `export` is a layer above. Its progress goes to stderr.
    """
    return _json_of("export.side_by_side")


def measure_dial() -> Row:
    """Return the dial beside unrolled graphs; likewise in a process of its own."""
    return _json_of("export.dial_results")


def measure_speed() -> Row:
    """Return the picture filters' speed beside others'; likewise."""
    return _json_of("export.results.picture_speed")


def call_tiedge(*arguments: str) -> Row:
    """Return what `tiedge ARGUMENTS --json` prints; its progress goes to stderr."""
    return _json_of("tiedge", *arguments, "--json")


def _json_of(module: str, *arguments: str) -> Row:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode and not done.stdout:
        said = " ".join(word for word in (module, *arguments) if word != "--json")
        raise SettingError(f"{said}: failed, see above")
    row: Row = json.loads(done.stdout)
    return row


@dataclass(frozen=True)
class Setup:
    """What is measured, how long, and where it goes."""

    denoise: str = "denoise"
    """Bundle, by name or path."""
    denoise_live: str = "denoise-live"
    superres: str = "superres"
    enhance: str = "enhance"
    looks: str = "looks"
    digits: str = "digits"
    transcribe: str = "transcribe"
    lm: str = "lm"
    photos: str = "photos/test_CBSD68.txt"
    """In the data folder, as are all that follow."""
    small_photos: str = "photos/Set5"
    """No choice in training was made by them."""
    gray: tuple[str, ...] = ("photos/BSD68", "photos/Set12")
    speech: str = "speech/free-spoken-digit"
    strings: str = "speech/speechocean762"
    keywords: str = "speech/wuw-corpus-ii"
    orders: str = "speech/picovoice-speech-to-intent"
    sigmas: tuple[float, ...] = (15.0, 25.0, 50.0)
    n_joined: int = N_JOINED
    runs: int = PUBLISHED_RUNS
    seconds: float = PUBLISHED_SECONDS
    compare: Callable[[], Row] = field(default=compare_exporters)
    """Gives the comparison with the plain exporters."""
    dial: Callable[[], Row] = field(default=measure_dial)
    """Gives the dial beside unrolled graphs."""
    speed: Callable[[], Row] = field(default=measure_speed)
    """Gives the picture filters' speed beside others'."""
    export_fp32: Callable[[Path, Path], None] | None = field(default=export_fp32)
    """Makes a bundle of a checkpoint, where what is shipped has no fp32; None leaves
    those figures out."""
    hours: float = 3.0
    """Length of the recording that memory is watched over."""
    paced_seconds: float = 24.0
    """How long a pace is held; in the middle third another program computes."""
    root: Path = ROOT
    """Holds README.md, results/ and docs/."""

    @property
    def folder(self) -> Path:
        """Where results go."""
        return self.root / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for; 1, with one line, if something could not be."""
    parser = Parser(prog="python -m training.results", description=__doc__)
    parser.add_argument("--only", choices=tuple(TABLES), help="one results file")
    parser.add_argument(
        "--short", action="store_true", help="latencies from short runs, which say so"
    )
    try:
        options = parser.parse_args(arguments)
        setup = Setup(runs=SHORT_RUNS, seconds=SHORT_SECONDS)
        for name in (options.only,) if options.only else TABLES:
            make(name, setup if options.short else Setup(), call_tiedge)
    except TiedgeError as error:
        print(f"results: {error}", file=sys.stderr)
        return 1
    return 0


def make(name: str, setup: Setup, call: Call) -> None:
    """Measure one results file, write it, and bring the documents' tables up to date.

    What cannot be measured leaves all as it was.
    """
    rows = list(MEASURES[name](setup, call))
    if not rows:
        raise SettingError(f"{name}: nothing could be measured; no engine is installed")
    result = {
        "conditions": conditions(name),
        "sources_sha256": sources_sha256(name, setup),
        "rows": rows,
    }
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    found = {**read_results(setup.folder), name: json.loads(text)}
    documents = {setup.root / document: document for document in DOCUMENTS}
    filled = {
        path: fill_tables(path.read_text("utf-8"), found, document)
        for path, document in documents.items()
    }
    write_text(setup.folder / f"{name}.json", text)
    if name in PLOTS:
        PLOTS[name](rows, setup.root / "docs" / f"{name}.png")
    for path, document in filled.items():
        write_text(path, document)


def _digits(setup: Setup, call: Call) -> Iterator[Row]:
    speech, strings = data_folder() / setup.speech, data_folder() / setup.strings
    unseen = ("split_speaker_disjoint", "dev")
    with tempfile.TemporaryDirectory() as scratch:
        tests = {
            UNSEEN: (speech, "--where", "=".join(unseen)),
            "the same, joined with gaps": (
                write_joined(speech, [unseen], Path(scratch) / "a", setup.n_joined),
            ),
            "speechocean762, digit strings of its test set": (
                write_digit_strings(strings, [("split", "test")], Path(scratch) / "b"),
            ),
        }
        for label, (data, *where) in tests.items():
            for case in cases_of(setup.digits):
                evaluate = ("evaluate", setup.digits, "--data", str(data), *where)
                found = call(*evaluate, *case)
                yield only(
                    found,
                    "bundle engine engine_version precision depth threads"
                    " n_utterances n_left_out n_words n_errors wer cer",
                ) | {"data": label}


def _bundles(setup: Setup, _: Call) -> Iterator[Row]:
    for name in BUNDLES["bundles"]:
        for model in find_bundle(getattr(setup, name)).models:
            sharing = model.sharing
            yield {
                "file": model.path.name,
                "precision": model.precision,
                "file_bytes": model.bytes,
                "unique_bytes": sharing.unique_bytes,
                "stored_bytes": sharing.stored_bytes,
                "duplicate_bytes": sharing.duplicate_bytes,
            }


def _sharing(setup: Setup, _: Call) -> Iterator[Row]:
    yield from setup.compare()["rows"]


def _latency(setup: Setup, call: Call) -> Iterator[Row]:
    long_enough = ("--runs", str(setup.runs), "--seconds", f"{setup.seconds:g}")
    for name in BUNDLES["latency"]:
        bundle = getattr(setup, name)
        found = call("bench", bundle, "--all", *long_enough, "--threads", str(THREADS))
        yield from ({"bundle": found["bundle"], **row} for row in found["rows"])


def _dial(setup: Setup, _: Call) -> Iterator[Row]:
    yield from setup.dial()["rows"]


def _picture_speed(setup: Setup, _: Call) -> Iterator[Row]:
    yield from setup.speed()["rows"]


def _frame_budget(setup: Setup, _: Call) -> Iterator[Row]:
    precision = precision_of(setup.denoise)
    third = setup.paced_seconds / 3
    with open_filter(setup.denoise, ENGINE, precision, PACED_THREADS) as opened:
        same = {
            "bundle": opened.bundle.name,
            "engine": ENGINE,
            "engine_version": opened.engine.version,
            "precision": precision,
            "threads": PACED_THREADS,
            "fps": FPS,
        }
        busy = (third, 2 * third)
        for row in paced_run(opened, FPS, setup.paced_seconds, busy):
            yield same | row


MEASURES: dict[str, Callable[[Setup, Call], Iterator[Row]]] = {
    "denoise": denoise_rows,
    "denoise_peers": peer_rows,
    "denoise_gray": gray_rows,
    "denoise_live": live_profile_rows,
    "superres": superres_rows,
    "enhance": enhance_rows,
    "looks": looks_rows,
    "digits": _digits,
    "bundles": _bundles,
    "sharing": _sharing,
    "latency": _latency,
    "picture_speed": _picture_speed,
    "dial": _dial,
    "frame_budget": _frame_budget,
    "speech": lambda setup, _: speech_rows(setup),
    "speech_latency": lambda setup, _: latency_rows(setup),
    "long_recording": lambda setup, _: long_rows(setup),
}


if __name__ == "__main__":
    sys.exit(main())
