"""A corpus of synthesized speech: `python -m training.synthetic_corpus --output DIR`.

Texts at hand, cut to phrases, are spoken by espeak-ng, flite and festival in many
voices, speeds and pitches. It serves for training alone, nothing is scored on it; the
voice of festival is held out of training, for tuning (`dev`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from edge_runtime.audio import read_audio, write_opus
from edge_runtime.cache import cache_folder
from edge_runtime.errors import AudioError, SettingError, TiedgeError
from edge_runtime.files import replacing, write_text
from edge_runtime.options import Parser
from edge_runtime.progress import Progress
from training.cached import alone, damaged
from training.corpora import DEV, TRAIN, read_corpora
from training.data import data_folder
from training.speech import TABLE_FILE, Utterance
from training.synthetic_speech import (
    PACKAGES,
    Voice,
    draw_festival_voice,
    draw_flite_voice,
    draw_voice,
    require,
    speak_one,
)
from training.texts import TRAINING_TEXTS, UNKNOWN, Sentence, read_sentences

RATE_HZ = 16_000
FLITE_NAMES = ("awb", "rms", "slt")
"""All but the voice of the person whom festival, held out, has too."""
LONGEST_WORDS = 12
FLITE_PART = 0.3
"""Of the clips, those that flite speaks: its voices were recorded from people."""
DEV_PART = 0.03
"""Of the clips, those that festival speaks; they are not trained on."""
SHORT_PART = 0.3
"""Of the phrases, those of one to three words."""
COMMAND_PART = 0.15
"""Of the phrases, whole sentences of the last text, which are commands."""
DEFAULT_CLIPS = 8000
"""About eight hours."""
CLIPS_PER_FOLDER = 1000
MOST_CLIPS = 10**7
PLAN_FILE = "planned.tsv"
"""What the table is to be, as long as clips are missing."""
EXIT_INTERRUPTED = 130

DrawText = Callable[[np.random.Generator], str]
"""Gives a text to be spoken."""


def make_corpus(
    folder: Path, n_clips: int, seed: int, draw: DrawText | None = None
) -> Path:
    """Write `n_clips` clips and a table of them; return the table's path.

    `draw` gives what is said, else phrases of the texts at hand. Clips that an earlier
    call has spoken are kept, also where it was interrupted or asked for fewer.

    Raises DataError if a program or a text is missing or a clip is damaged,
    SettingError where the folder cannot be written or holds another corpus, and for
    numbers beyond their limits.
    """
    if not 1 <= n_clips <= MOST_CLIPS:
        raise SettingError(f"clips: found {n_clips}, expected 1 to {MOST_CLIPS}")
    if seed < 0:
        raise SettingError(f"seed: found {seed}, expected 0 or more")
    if folder.exists() and not folder.is_dir():
        raise SettingError(f"{folder}: is no folder, expected one for the corpus")
    draw = draw or _phrases()
    jobs = [_job(draw, seed, number) for number in range(n_clips)]
    names = [f"{n // CLIPS_PER_FOLDER}/{n}.opus" for n in range(n_clips)]
    planned = _table(names, jobs)
    _check_same(folder, planned)
    missing = [(folder / n, j) for n, j in zip(names, jobs, strict=True)]
    missing = [(path, job) for path, job in missing if not _is_spoken(path)]
    if missing:
        for program in PACKAGES:
            require(program)
        write_text(folder / PLAN_FILE, planned)
        _speak_all(missing)
    write_text(folder / TABLE_FILE, planned)
    (folder / PLAN_FILE).unlink(missing_ok=True)
    return folder / TABLE_FILE


def cached_corpus(
    name: str, n_clips: int, draw: DrawText | None = None
) -> list[Utterance]:
    """Return the corpus that `make_corpus` makes, kept in the user's cache folder."""
    folder = cache_folder() / f"{name}-{n_clips}"
    with alone(folder.parent):
        make_corpus(folder, n_clips, seed=0, draw=draw)
    return read_corpora(folder)


def _table(names: Sequence[str], jobs: Sequence[tuple[str, Voice, str]]) -> str:
    rows = [("path", "speaker", "text", "split")]
    for name, (text, voice, split) in zip(names, jobs, strict=True):
        rows.append((name, f"{voice.program}:{voice.name}", text, split))
    return "".join("\t".join(row) + "\n" for row in rows)


def _check_same(folder: Path, planned: str) -> None:
    """Raise SettingError where the clips in a folder say other texts than `planned`."""
    for path in (folder / TABLE_FILE, folder / PLAN_FILE):
        try:
            before = path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise SettingError(f"{path}: cannot be read: {reason}") from error
        if not (planned.startswith(before) or before.startswith(planned)):
            raise SettingError(
                f"{path}: holds other texts or voices than are asked for now; delete"
                f" {folder}, or name another folder"
            )


def _is_spoken(path: Path) -> bool:
    """Whether a clip is there; raises DataError for an empty file."""
    try:
        n_bytes = path.stat().st_size
    except OSError:
        return False
    if not n_bytes:
        raise damaged(path)
    return True


def _speak_all(missing: Sequence[tuple[Path, tuple[str, Voice, str]]]) -> None:
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        with Progress(len(missing)) as progress:
            for path in pool.map(_speak_into, *zip(*missing, strict=True)):
                progress.step(f"clips spoken: {path.name}")
    finally:  # whoever stops it does not wait for all the others
        pool.shutdown(cancel_futures=True)


def _phrases() -> DrawText:
    """Return what draws phrases of the texts at hand."""
    texts = [read_sentences(data_folder() / "text" / name) for name in TRAINING_TEXTS]
    return lambda rng: _draw_phrase(rng, texts)


def _job(draw: DrawText, seed: int, number: int) -> tuple[str, Voice, str]:
    """Return what clip `number` says, in whose voice, and for which split."""
    rng = np.random.default_rng((seed, number))
    text = draw(rng)
    kind = rng.random()
    if kind < DEV_PART:
        return text, draw_festival_voice(rng), DEV
    if kind < DEV_PART + FLITE_PART:
        return text, draw_flite_voice(rng, FLITE_NAMES), TRAIN
    return text, draw_voice(rng), TRAIN


def _draw_phrase(rng: np.random.Generator, texts: Sequence[Sequence[Sentence]]) -> str:
    if rng.random() < COMMAND_PART:
        commands = texts[-1]
        return " ".join(commands[int(rng.integers(len(commands)))])
    sizes = np.array([len(sentences) for sentences in texts])
    while True:
        sentences = texts[int(rng.choice(len(texts), p=sizes / sizes.sum()))]
        words = sentences[int(rng.integers(len(sentences)))]
        most = 3 if rng.random() < SHORT_PART else LONGEST_WORDS
        n_words = int(rng.integers(1, most + 1))
        first = int(rng.integers(max(1, len(words) - n_words + 1)))
        phrase = words[first : first + n_words]
        if UNKNOWN not in phrase:
            return " ".join(phrase)


def _speak_into(path: Path, job: tuple[str, Voice, str]) -> Path:
    samples = speak_one(job[0], job[1], RATE_HZ)
    with replacing(path) as temporary:
        try:
            write_opus(temporary, samples, RATE_HZ)
            n_written = len(read_audio(temporary)[0])
        except (RuntimeError, AudioError) as error:  # the library knows no reason
            raise SettingError(f"{path}: cannot be written: {error}") from error
        if n_written != len(samples):
            raise SettingError(f"{path}: cannot be written whole; make room there")
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the corpus that the arguments ask for; print its table's path."""
    parser = Parser(
        prog="python -m training.synthetic_corpus",
        description=__doc__.partition("\n")[0],
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder of the clips"
    )
    parser.add_argument(
        "--clips",
        type=int,
        default=DEFAULT_CLIPS,
        help=f"of four seconds on average; default {DEFAULT_CLIPS}",
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    print(make_corpus(options.output, options.clips, options.seed))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TiedgeError as error:
        sys.exit(f"synthetic_corpus: {error}")
    except KeyboardInterrupt:
        print("synthetic_corpus: stopped; the same call goes on", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
