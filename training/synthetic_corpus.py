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

from edge_runtime.audio import write_opus
from edge_runtime.errors import TiedgeError
from edge_runtime.files import replacing, write_text
from edge_runtime.options import Parser
from edge_runtime.progress import Progress
from training.corpora import DEV, TRAIN
from training.data import data_folder
from training.speech import TABLE_FILE
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

DrawText = Callable[[np.random.Generator], str]
"""Gives a text to be spoken."""


def make_corpus(
    folder: Path, n_clips: int, seed: int, draw: DrawText | None = None
) -> Path:
    """Write `n_clips` clips and a table of them; return the table's path.

    `draw` gives what is said, else phrases of the texts at hand. What an interrupted
    call has spoken is kept. Raises DataError if a program or a text is missing,
    SettingError where the folder cannot be written.
    """
    for program in PACKAGES:
        require(program)
    draw = draw or _phrases()
    jobs = [_job(draw, seed, number) for number in range(n_clips)]
    numbers = range(n_clips)
    paths = [folder / f"{n // CLIPS_PER_FOLDER}" / f"{n}.opus" for n in numbers]
    with (
        Progress(n_clips) as progress,
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
    ):
        for path in pool.map(_speak_into, paths, jobs):
            progress.step(f"clips spoken: {path.name}")
    rows = [("path", "speaker", "text", "split")]
    for path, (text, voice, split) in zip(paths, jobs, strict=True):
        name = f"{voice.program}:{voice.name}"
        rows.append((str(path.relative_to(folder)), name, text, split))
    table = folder / TABLE_FILE
    write_text(table, "".join("\t".join(row) + "\n" for row in rows))
    return table


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
    if not path.exists():
        samples = speak_one(job[0], job[1], RATE_HZ)
        with replacing(path) as temporary:
            write_opus(temporary, samples, RATE_HZ)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the corpus that the arguments ask for; print its table's path."""
    parser = Parser(
        prog="python -m training.synthetic_corpus",
        description=__doc__.partition("\n")[0],
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
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
