"""`tiedge train`: train a recipe, from nothing, from a checkpoint, or onwards."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_runtime.errors import SettingError
from edge_runtime.options import Parser
from training.checkpoint import read_record
from training.loop import Start, train
from training.recipe import override, restore
from training.recipes import RECIPES

RUNS = Path("runs")

EPILOG = """\
init=CHECKPOINT starts from a checkpoint's weights, as far as they fit; freeze=a,b keeps
the weights whose names start with a or b as they are. On several processes or machines:
torchrun --nproc-per-node N tiedge.py train RECIPE (or --no-python tiedge train RECIPE).
"""


def run(arguments: Sequence[str]) -> int:
    """Train as the arguments say and print where the checkpoint is."""
    # Fabric announces its arithmetic and processes; stderr is for the run's own lines.
    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    options = _parser().parse_intermixed_args(arguments)
    output = options.output or RUNS / options.recipe
    if options.recipe not in RECIPES:
        raise SettingError(
            f"{options.recipe}: no such recipe, expected one of"
            f" {' '.join(sorted(RECIPES))}"
        )
    kind, task = RECIPES[options.recipe]
    transfer = read_transfer(options.settings)
    if options.resume and transfer.checkpoint is not None:
        raise SettingError(
            f"init={transfer.checkpoint}: a run that resumes has weights of its own;"
            " leave out init= or --resume"
        )
    recorded = _recorded(options.recipe, output) if options.resume else {}
    recipe = override(restore(kind, recorded, output), transfer.settings)
    if options.seed is not None:
        recipe = replace(recipe, seed=options.seed)
    start = Start(options.resume, transfer.checkpoint, transfer.freeze)
    train(options.recipe, recipe, task(recipe, options.data), output, start)
    if os.environ.get("RANK", "0") == "0":  # one line, not one per process
        print(_summary(output))
    return 0


@dataclass(frozen=True)
class Transfer:
    """The `NAME=VALUE` arguments, told apart."""

    settings: tuple[str, ...]
    """Those that set the recipe."""
    checkpoint: Path | None
    """What `init=` names."""
    freeze: tuple[str, ...]
    """What `freeze=` lists."""


def read_transfer(arguments: Sequence[str]) -> Transfer:
    """Return `init=` and `freeze=` apart from the recipe's own settings.

    >>> read_transfer(["steps=9", "freeze=head,body"]).freeze
    ('head', 'body')
    """
    named = {"init": "", "freeze": ""}
    settings = []
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name not in named:
            settings.append(argument)
        elif value:
            named[name] = value
        else:
            raise SettingError(f"{argument}: expected {name}=VALUE")
    return Transfer(
        settings=tuple(settings),
        checkpoint=Path(named["init"]) if named["init"] else None,
        freeze=tuple(part for part in named["freeze"].split(",") if part),
    )


def _recorded(name: str, run_folder: Path) -> dict[str, Any]:
    """Return the settings of the run in a folder."""
    record = read_record(run_folder)
    if record["recipe"] != name:
        raise SettingError(
            f"{run_folder}: holds a run of {record['recipe']}, not of {name}; name"
            " another folder with --output"
        )
    settings: dict[str, Any] = record["settings"]
    return settings


def _summary(output: Path) -> str:
    record = read_record(output)
    metrics = ", ".join(f"{k} {v:.4g}" for k, v in record["metrics"].items())
    return f"{output}: step {record['step']}, {metrics}"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="tiedge train",
        description="Train a recipe and leave a checkpoint, a log and curves.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", help=f"one of {' '.join(sorted(RECIPES))}")
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="NAME=VALUE",
        help="settings of the recipe, init=CHECKPOINT, freeze=a,b",
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="your own data, not the recipe's"
    )
    parser.add_argument(
        "--output", type=Path, metavar="RUN", help="folder; default runs/RECIPE"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in the output folder, with its settings",
    )
    parser.add_argument("--seed", type=int, help="default 0")
    return parser
