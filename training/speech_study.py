"""What sharing costs and buys in speech, measured: `python -m training.speech_study`.

Three questions, each by short trainings that differ in one thing alone, with three
seeds: one cell over all layers against a cell for each, of equal depth and of equal
size; a table of words that is read and written with against two, of equal width and of
equal size; letters alone against letters with phones beside. Runs lie in a folder and
go on where they stopped; results/speech_study.json and a plot of each question are
written when all of its runs are there.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import TiedgeError
from edge_runtime.files import write_text
from edge_runtime.options import Parser
from training.commands.train import run as train
from training.curves import LOG_FILE
from training.recipe import restore
from training.recipes import RECIPES
from training.recipes.lm import LmRecipe
from training.recipes.transcribe import TranscribeRecipe
from training.record import STATE_FILE, read_record
from training.result_rows import Row
from training.result_sources import ROOT, conditions
from training.result_tables import put_table, told_conditions
from training.study_figures import Rows, draw_study, study_tables

NAME = "speech_study"
DOCUMENT = "docs/speech.md"
SEEDS = (0, 1, 2)
STUDENT_95 = 4.303
"""Two-sided 95 % quantile of Student's t with two degrees of freedom: three seeds."""


@dataclass(frozen=True)
class Variant:
    """One way to do it."""

    name: str
    settings: str
    """`NAME=VALUE` apart by spaces."""


@dataclass(frozen=True)
class Question:
    """Trainings of one recipe that differ in one thing."""

    name: str
    recipe: str
    common: str
    """Settings of all of them."""
    variants: tuple[Variant, ...]
    metrics: tuple[str, ...]
    """Of the last validation; lower is better."""


SMALL = (
    "steps=1500 batch=16 hidden=128 layers=4 synthetic=0 distorted=0"
    " validate_steps=150 warmup_steps=100"
)
"""Five epochs of recordings by a network that one core trains in a quarter hour."""

QUESTIONS = (
    Question(
        "layers",
        "transcribe",
        SMALL,
        (
            Variant("one cell for 4 layers", ""),
            Variant("4 cells, equal width", "shared=false"),
            Variant("4 cells, equal size", "shared=false hidden=78"),
        ),
        ("cer_speechocean762", "cer_wuw-corpus-ii"),
    ),
    Question(
        "words",
        "lm",
        "steps=2000 hidden=128 validate_steps=200",
        (
            Variant("one table of words", ""),
            Variant("two tables, equal width", "tied=false"),
            Variant("two tables, equal size", "tied=false hidden=67"),
        ),
        (
            "perplexity_ljspeech",
            "perplexity_doyle",
            "perplexity_speechocean762",
            "perplexity_wuw-corpus-ii",
        ),
    ),
    Question(
        "phones",
        "transcribe",
        SMALL,
        (
            Variant("letters, phones beside", ""),
            Variant("letters alone", "phones=0"),
        ),
        ("cer_speechocean762", "cer_wuw-corpus-ii"),
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing, and write what was found."""
    parser = Parser(prog="python -m training.speech_study", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--only", choices=[q.name for q in QUESTIONS], help="one question"
    )
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs/speech_study"),
        help="folder of the trainings; default runs/speech_study",
    )
    try:
        options = parser.parse_args(arguments)
        for question in QUESTIONS:
            if options.only in (None, question.name):
                write(ROOT, question.name, list(measure(question, options.runs)))
    except TiedgeError as error:
        print(f"speech_study: {error}", file=sys.stderr)
        return 1
    return 0


def measure(question: Question, runs: Path) -> Iterator[Row]:
    """Yield a row for each variant, of runs that are made or gone on with."""
    for variant in question.variants:
        folders = [_folder(runs, question, variant, seed) for seed in SEEDS]
        for seed, folder in zip(SEEDS, folders, strict=True):
            _train(question, variant, seed, folder)
        yield summarize(question, variant, folders)


def summarize(question: Question, variant: Variant, folders: Sequence[Path]) -> Row:
    """Return a variant's figures: means over seeds, and half of their 95 % interval."""
    last = [_rows(folder)[-1] for folder in folders]
    found: Row = {
        "question": question.name,
        "recipe": question.recipe,
        "common": question.common,
        "variant": variant.name,
        "settings": variant.settings,
        "metrics": question.metrics,
        "n_seeds": len(folders),
        "n_parameters": _n_parameters(folders[0]),
    }
    for metric in question.metrics:
        values = [float(row[metric]) for row in last]
        spread = statistics.stdev(values) / math.sqrt(len(values))
        found[metric] = statistics.mean(values)
        found[f"{metric}_half_interval"] = STUDENT_95 * spread
    first = question.metrics[0]
    found["curves"] = [
        [[int(row["step"]), float(row[first])] for row in _rows(folder)]
        for folder in folders
    ]
    return found


def write(root: Path, question: str, rows: Rows) -> None:
    """Put a question's rows into results, table and plot, others staying as they are.

    Raises DataError where the document has no place for the table.
    """
    results = root / "results" / f"{NAME}.json"
    kept: Rows = []
    if results.is_file():
        kept = json.loads(results.read_text(encoding="utf-8"))["rows"]
    order = [question.name for question in QUESTIONS]
    found = [*(row for row in kept if row["question"] != question), *rows]
    found.sort(key=lambda row: order.index(row["question"]))
    result: Row = {"conditions": conditions(NAME), "rows": found}
    document = root / DOCUMENT
    shown = f"{study_tables(found)}\n\n{told_conditions(result['conditions'])}"
    filled = put_table(document.read_text(encoding="utf-8"), NAME, shown, DOCUMENT)
    write_text(results, json.dumps(result, indent=1) + "\n")
    draw_study(found, root / "docs" / f"{NAME}.png")
    write_text(document, filled)


def _train(question: Question, variant: Variant, seed: int, folder: Path) -> None:
    settings = [*question.common.split(), *variant.settings.split()]
    arguments = [question.recipe, *settings, "--seed", str(seed)]
    if (folder / STATE_FILE).exists():
        arguments.append("--resume")
    train([*arguments, "--output", str(folder)])


def _folder(runs: Path, question: Question, variant: Variant, seed: int) -> Path:
    """Return where a training lies; questions with one in common share it."""
    return runs / "_".join([question.recipe, *variant.settings.split(), f"{seed}"])


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / LOG_FILE).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _n_parameters(folder: Path) -> int:
    """Return how many weights a run's network has."""
    record = read_record(folder)
    kind = RECIPES[record["recipe"]].settings
    recipe = restore(kind, record["settings"], folder)
    assert isinstance(recipe, TranscribeRecipe | LmRecipe)
    return sum(parameter.numel() for parameter in recipe.network().parameters())


if __name__ == "__main__":
    sys.exit(main())
