"""`tiedge evaluate`: the task's own measure of a bundle or a checkpoint."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edge_runtime.bundle_parts import Interval
from edge_runtime.errors import DataError, SettingError, missing_package
from edge_runtime.files import check_regular
from edge_runtime.image_filter import SIGMA
from edge_runtime.options import Parser, add_engine_options, path, print_json
from edge_runtime.pictures import list_pictures
from edge_runtime.progress import Progress
from edge_runtime.resample import LOWEST_RATE_HZ
from edge_runtime.speech.options import add_decoding_options, decoding_choice
from training import sphinx
from training.data import data_folder
from training.evaluation_pictures import PictureWork, evaluate_pictures
from training.evaluation_speech import (
    INTENT_COLUMNS,
    Reader,
    Reading,
    evaluate_intents,
    evaluate_speech,
    labels_of,
    scored_clips,
)
from training.exposure import KINDS
from training.opencv import opencv_threads
from training.problems import (
    PROTOCOLS,
    Denoising,
    Enlarging,
    Exposing,
    Noise,
    Problem,
    Styling,
)
from training.scaling import SCALE
from training.speech import named_by, read_clip, told_foreign
from training.subject import Choice, Subject, open_subject
from training.table import TABLE_ENDING, check_files, read_rows

ALL_DEPTHS = "all"
PHOTOS = Path("photos/test_CBSD68.txt")
"""Default pictures, in the data folder."""
SMALL_PHOTOS = Path("photos/Set5")
"""Those to be enlarged."""
SPEECH = Path("speech/free-spoken-digit/transcripts.tsv")
"""Default recordings, in the data folder."""

NOISE_ONLY = ("sigma", "protocol", "blind")
"""Options that mean nothing where no noise is taken away."""
LIGHT_OR_LOOK = ("exposure", "strength", "look")
PICTURES_ONLY = ("depth", *NOISE_ONLY, *LIGHT_OR_LOOK, "plot")
"""Options that mean nothing for speech."""

SAME_FOR_LOOKS = (
    *("bundle", "engine", "engine_version", "precision", "threads"),
    *("depth", "data", "strength", "n_pictures", "untouched_psnr_db"),
)
"""What one object says of all looks together."""

EPILOG = """\
WHAT is a ready-made bundle's name, a bundle's folder, or a checkpoint's folder, which
torch runs. Pictures get Gaussian noise of --sigma: unclipped, as papers do it, or as a
camera would store it (--protocol camera); the network is told sigma, or an estimate
(--blind). Networks that enlarge get pictures of half the size, those that give light
get pictures that lack it (--exposure), and looks (--look) are held against what
OpenCV's operators make. The default data are the CBSD68 photographs, Set5 for
enlarging, and free-spoken-digit's clips, in the folder that TIEDGE_DATA names.
"""


def run(arguments: Sequence[str]) -> int:
    """Measure as the arguments say."""
    options = _parser().parse_args(arguments)
    where = [_condition(text) for text in options.where]
    # os.path, for Path.exists raises where a name is too long to be one.
    if options.data is not None and not os.path.exists(options.data):  # noqa: PTH110
        raise DataError(f"{options.data}: no such data; name yours with --data")
    if options.plot is not None:
        _check_plot(options.plot)
    options.decoding = decoding_choice(options)
    choice = Choice(
        options.what,
        options.engine,
        options.precision,
        options.threads,
        options.decoding,
    )
    with open_subject(choice) as subject:
        work = subject.work
        if isinstance(work, PictureWork):
            looks = work.looks if options.look is None else ()
            results = [
                _pictures(subject, work, options, look, where)
                for look in looks or (options.look,)
            ]
        else:
            results = [_speech(subject, work, options, where)]
    if options.json:
        print_json(results[0] if len(results) == 1 else _all_looks(results))
    else:
        for line in _mistakes(results[0]):
            print(line, file=sys.stderr)
        print("\n\n".join("\n".join(_summary(result)) for result in results))
    if options.plot is not None:  # last: what was measured is told all the same
        _draw(results, options.plot)
    return 0


def _all_looks(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what was found of each look as one object, a row per look and depth."""
    return {
        **{key: results[0][key] for key in SAME_FOR_LOOKS},
        "rows": [row for result in results for row in _with_look(result)],
        "beside": [
            {"look": result["look"], **row}
            for result in results
            for row in result.get("beside", ())
        ],
    }


def _with_look(result: dict[str, Any]) -> list[dict[str, Any]]:
    look = {"look": result["look"]} if "look" in result else {}
    keys = ("depth", "psnr_db", "ssim", "ms")
    return [look | {key: row[key] for key in keys} for row in _per_depth(result)]


def _pictures(
    subject: Subject,
    work: PictureWork,
    options: argparse.Namespace,
    look: str | None,
    where: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    problem, photos = _problem(subject, work, options, look)
    data = data_folder() / photos if options.data is None else options.data
    depth = work.depths[-1] if options.depth is None else options.depth
    depths = work.depths if depth == ALL_DEPTHS else (depth,)
    peers = problem.peers() if options.beside else ()
    if options.beside and not peers:
        _say(
            f"--beside: knows nothing else for {subject.name}; bicubic is measured in"
            " any case"
        )
    # Peers get the threads that the network gets.
    peers_run = opencv_threads(options.threads) if options.beside else nullcontext()
    pictures = list_clean(data, where)
    if options.plot is not None:
        _check_no_input(options.plot, [data, *pictures])
    if len(depths) > 1 or look is not None:
        of_look = "" if look is None else f", {look}"
        _say(f"{subject.name}{of_look}: PSNR of each picture at depth {depths[-1]}")
    with peers_run:
        found = evaluate_pictures(work, pictures, depths, problem, peers)
    return {
        **subject.conditions,
        "depth": work.depths[-1] if depth == ALL_DEPTHS else depth,
        "data": str(data),
        **problem.conditions,
        **found,
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _check_plot(path: Path) -> None:
    # os.path, as in `run`.
    is_folder = os.path.isdir(path.parent)  # noqa: PTH112
    if path.suffix.lower() != ".png" or not is_folder:
        raise SettingError(
            f"--plot {path}: expected a file ending in .png, in a folder that is there"
        )
    check_regular(path, "a file to draw to", SettingError)
    try:
        path.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise SettingError(
            f"--plot {path}: cannot be written: {error.strerror}"
        ) from error
    if find_spec("matplotlib") is None:
        raise missing_package("matplotlib", "evaluate")


def _check_no_input(plot: Path, inputs: Sequence[Path]) -> None:
    """Refuse to draw over a picture that is measured, or their list."""
    if plot.exists() and any(plot.samefile(one) for one in inputs if one.exists()):
        raise SettingError(
            f"--plot {plot}: is one of the inputs, expected another file"
        )


def _draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw quality over time as PNG, beside peers where they were measured."""
    # Imported here: measuring needs no matplotlib.
    from training.quality_plot import draw_quality

    rows = [row for result in results for row in _with_look(result)]
    beside = [row for result in results for row in result.get("beside", ())]
    draw_quality(results[0]["bundle"], rows, beside, path, _title(results[0]))


def _title(result: dict[str, Any]) -> str:
    """Return what the points of a plot have in common."""
    threads = result["threads"]
    width = "1 thread" if threads == 1 else f"{threads} threads"
    return (
        f"{result['bundle']}: {Path(result['data']).name}, {result['n_pictures']}"
        f" pictures{_problem_text(result)}; {result['engine']} {result['precision']},"
        f" {width}"
    )


def _problem_text(result: dict[str, Any]) -> str:
    """Return what the pictures of a plot were made of, looks being named in it."""
    if "sigma" in result:
        blind = ", sigma estimated" if result["blind"] else ""
        return f", sigma {result['sigma']:g} {result['protocol']}{blind}"
    if "exposure" in result:
        return f", {result['exposure']}"
    return "" if "look" in result else ", half the size, PSNR of Y"


def _per_depth(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of depths; of one depth, the rows are pictures."""
    return [row for row in result["rows"] if "path" not in row] or [result]


def _problem(
    subject: Subject,
    work: PictureWork,
    options: argparse.Namespace,
    look: str | None,
) -> tuple[Problem, Path]:
    """Return what the network is for, and the usual pictures to measure it on."""
    name = subject.name
    if work.sigma is None:
        _refuse(options, NOISE_ONLY, f"is about noise, which {name} is not told")
    if work.strength is None:
        _refuse(options, ("strength",), f"is no setting of {name}")
    if not work.looks:
        _refuse(options, ("look",), f"is no setting of {name}")
    if work.strength is None or work.looks:
        _refuse(options, ("exposure",), f"is about light, of which {name} gives none")
    if work.sigma is not None:
        noise = Noise(
            SIGMA if options.sigma is None else options.sigma,
            options.protocol or PROTOCOLS[0],
            options.seed,
            bool(options.blind),
        )
        return Denoising(noise, work.sigma), PHOTOS
    if work.strength is not None:
        _check_within("strength", options.strength, work.strength)
    if work.looks:
        assert look is not None  # the one asked for, or one of all
        return Styling(look, options.strength), PHOTOS
    if work.strength is not None:
        exposure = options.exposure or KINDS[0]
        return Exposing(exposure, options.strength, options.seed), PHOTOS
    if work.scale != SCALE:
        raise SettingError(
            f"{name}: is none of the filters that pictures are measured by: it takes no"
            " noise away, gives no light, has no looks and doubles no picture"
        )
    return Enlarging(), SMALL_PHOTOS


def _check_within(name: str, value: float | None, offered: Interval) -> None:
    if value is not None and not offered.minimum <= value <= offered.maximum:
        raise SettingError(
            f"--{name}: found {value:g}, expected {offered.minimum:g} to"
            f" {offered.maximum:g}"
        )


def _refuse(options: argparse.Namespace, names: Sequence[str], why: str) -> None:
    for name in names:
        if getattr(options, name) is not None:
            raise SettingError(f"--{name}: {why}; leave it out")


def _speech(
    subject: Subject,
    reader: Reader,
    options: argparse.Namespace,
    where: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    _refuse(options, PICTURES_ONLY, f"is for pictures, {subject.name} reads speech")
    data = data_folder() / SPEECH if options.data is None else options.data
    version = sphinx.require() if options.beside else ""
    labels = labels_of(data)
    if labels is not None and options.decoding.grammar is None:
        raise SettingError(
            f"{labels}: holds intents; name the grammar that has them with --grammar"
        )
    paths = _clips(data, labels, where)
    for place, clip in paths:  # a bad one is found before the others are heard
        with named_by(place):
            read_clip(clip, LOWEST_RATE_HZ)

    def measured(name: str, reads: Reader) -> dict[str, Any]:
        with Progress(len(paths)) as progress:

            def told(path: Path) -> Reading:
                reading = reads(path)
                progress.step(f"{name}{path.name}: {reading.text}")
                return reading

            if labels is not None:
                return evaluate_intents(told, labels, where)
            return evaluate_speech(told, data, where)

    found = {
        **subject.conditions,
        "depth": None,
        "data": str(data),
        "decoding": options.decoding.told(),
        **measured("", reader),
    }
    if options.beside:
        peer = sphinx.sphinx_reader(options.decoding.words, options.decoding.grammar)
        beside = measured("PocketSphinx: ", peer)
        found["beside"] = [{"name": "PocketSphinx", "version": version, **beside}]
    return found


def _clips(
    data: Path, labels: Path | None, where: Sequence[tuple[str, str]]
) -> list[tuple[str, Path]]:
    """Return places and paths of clips; raises DataError for one that is not there."""
    if labels is not None:
        rows = read_rows(labels, INTENT_COLUMNS, where)
        files = [(row.place, labels.parent / row.values["path"]) for row in rows]
    else:
        scored = scored_clips(data, where)
        files = [(utterance.place, utterance.path) for utterance in scored.utterances]
        if scored.foreign:
            _say(told_foreign(scored.foreign))
    check_files(files)
    return files


def list_clean(data: Path, where: Sequence[tuple[str, str]]) -> list[Path]:
    """Return the pictures of a folder, a list or a table; of a table, those that fit.

    A table is tab-separated, with a column `path` relative to the table. Raises
    DataError where nothing is there, nothing fits, or `where` has no table to ask.
    """
    if data.suffix.lower() != TABLE_ENDING:
        if where:
            raise DataError(
                f"{data}: is no table, --where needs one ({TABLE_ENDING} with a column"
                " path)"
            )
        return _listed(data)
    rows = read_rows(data, ("path",), where)
    files = [(row.place, data.parent / row.values["path"]) for row in rows]
    check_files(files)
    return [path for _, path in files]


def _listed(data: Path) -> list[Path]:
    try:
        return list_pictures(data)
    except DataError as error:
        if not data.is_file():
            raise
        hint = "a list's paths are relative to its own folder"
        raise DataError(f"{error}; {hint}") from error


def _condition(text: str) -> tuple[str, str]:
    column, separator, value = text.partition("=")
    if not column or not separator:
        raise SettingError(f"--where {text}: expected COLUMN=VALUE")
    return column, value


def _depth(text: str) -> int | str:
    if text == ALL_DEPTHS:
        return text
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected a number or {ALL_DEPTHS}"
        ) from error


def _mistakes(result: dict[str, Any]) -> list[str]:
    """Return a line per recording that was not heard right; pictures have none."""
    return [
        f"{row['path']}: expected {row['expected']!r}, heard {row['found']!r}"
        for row in result["rows"]
        if row.get("n_errors")
    ]


def _summary(result: dict[str, Any]) -> list[str]:
    on = f"{result['bundle']} ({result['engine']} {result['precision']}"
    if "rtf" in result:
        rows = [(f"{on})", result)]
        rows += [(row["name"], row) for row in result.get("beside", ())]
        return [f"{name}: {_told(row)}" for name, row in rows]
    if "sigma" in result:
        blind = ", sigma estimated" if result["blind"] else ""
        done = f"sigma {result['sigma']:g} {result['protocol']}{blind}"
        before = f"noisy {_decibel(result['noisy_psnr_db'])}"
    elif "strength" in result:
        strength = result["strength"]
        told = "" if strength is None else f" at strength {strength:g}"
        done = result.get("look") or f"{result['exposure']} pictures"
        done += told
        before = f"untouched {_decibel(result['untouched_psnr_db'])}"
    else:
        done = "twice the size, PSNR of Y"
        before = f"bicubic {_decibel(result['bicubic_psnr_db'])}"
    lines = [f"{on}), {done}, {result['n_pictures']} pictures, {before}"]
    lines += [f"depth {row['depth']}: {_quality(row)}" for row in _per_depth(result)]
    for row in result.get("beside", ()):
        is_reference = "look" in result and row["psnr_db"] is None
        found = f"the reference, {row['ms']:.0f} ms each"
        lines.append(f"{row['name']}: {found if is_reference else _quality(row)}")
    return lines


def _told(row: dict[str, Any]) -> str:
    """Return what was found of speech."""
    pace = f"{row['n_utterances']} utterances, real-time factor {row['rtf']:.3f}"
    if "accuracy" in row:
        return (
            f"{row['accuracy']:.2%} of the intents right, all slots included"
            f" ({row['n_right']}), {row['n_rejected']} clips without one; {pace}"
        )
    understood = f" {row['n_understood']} intents," if row["n_understood"] else ""
    return (
        f"{row['wer']:.2%} word errors ({row['n_errors']} of {row['n_words']}),"
        f" {row['cer']:.2%} character errors,{understood}"
        f" {row['n_left_out']} left out; {pace}"
    )


def _quality(row: dict[str, Any]) -> str:
    return (
        f"{_decibel(row['psnr_db'])}, SSIM {row['ssim']:.4f}, {row['ms']:.0f} ms each"
    )


def _decibel(value: float | None) -> str:
    return "no difference" if value is None else f"{value:.2f} dB"


def _parser() -> argparse.ArgumentParser:
    # "resolve": a depth may be "all" here, and a default engine depends on WHAT.
    parser = Parser(
        prog="tiedge evaluate",
        description="Measure a bundle or a checkpoint on its task.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        conflict_handler="resolve",
    )
    parser.add_argument("what", metavar="WHAT", help="a bundle or a checkpoint")
    parser.add_argument(
        "--data", type=path, help="a folder or list of pictures; a table (.tsv)"
    )
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="only the table's rows that have this; may be given several times",
    )
    parser.add_argument(
        "--sigma", type=float, help=f"noise in units of 255; default {SIGMA:g}"
    )
    parser.add_argument("--protocol", choices=PROTOCOLS, help=f"default {PROTOCOLS[0]}")
    parser.add_argument(
        "--blind",
        action="store_const",
        const=True,
        help="tell the network an estimate of sigma instead of sigma",
    )
    parser.add_argument(
        "--exposure",
        choices=KINDS,
        help="light of the pictures given to a network that mends it; default"
        f" {KINDS[0]}: gain 1/10 to 1/2, gamma 1 to 2.5, and noise",
    )
    parser.add_argument(
        "--strength",
        type=float,
        help="how much a network that gives light or a look does; default all",
    )
    parser.add_argument(
        "--look", help="which one, of a network that has several; default all"
    )
    parser.add_argument(
        "--beside",
        action="store_const",
        const=True,
        help="measure what others do to the same pictures, too: scikit-image's and"
        " OpenCV's non-local means; histogram equalization, automatic gain and the best"
        " gamma; OpenCV's operators; and BM3D, if bm3d is installed (extra compare)."
        " Bicubic enlarging is measured in any case. Of speech: PocketSphinx",
    )
    add_decoding_options(parser)
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE.png",
        help="draw quality over time, with --depth all for each depth",
    )
    add_engine_options(parser)
    parser.add_argument(
        "--depth", type=_depth, help=f"default the deepest; {ALL_DEPTHS} for each"
    )
    parser.set_defaults(engine=None, precision=None)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object on stdout"
    )
    return parser
