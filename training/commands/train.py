"""`tiedge train`: train a recipe, from nothing, from a checkpoint, or onwards."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from edge_runtime.errors import DataError, SettingError
from edge_runtime.options import Parser
from training.data import data_folder
from training.recipe import Recipe, override, restore
from training.recipe_help import settings_help, summary
from training.recipes import RECIPES
from training.record import STATE_FILE, check_checkpoint, check_output, read_record

if TYPE_CHECKING:  # what can be said about the arguments is said before torch loads
    from training.task import Task

RUNS = Path("runs")
EXIT_SIGNAL = 128
"""What shells add to the number of the signal that ended a program."""

EPILOG = """\
init=CHECKPOINT starts from a checkpoint's weights, as far as they fit; freeze=a,b keeps
the weights whose names start with a or b as they are. On several processes or machines:
torchrun --nproc-per-node N tiedge.py train RECIPE (or --no-python tiedge train RECIPE).
"""


def run(arguments: Sequence[str]) -> int:
    """Train as the arguments say and print where the checkpoint is."""
    options = _parser(arguments).parse_intermixed_args(arguments)
    transfer = read_transfer(options.settings)
    output = options.output or RUNS / (options.recipe or "")
    recipe = _recipe(options, transfer, output)
    if transfer.checkpoint is not None:
        check_checkpoint(transfer.checkpoint)
    elif recipe.clusters and not options.resume:
        raise SettingError(
            f"clusters={recipe.clusters}: reduces weights that are trained already;"
            " name their checkpoint with init="
        )
    data = data_folder() if options.data is None else options.data
    if not os.path.exists(data):  # noqa: PTH110 (Path.exists raises for long names)
        raise DataError(f"{data}: no such data; name yours with --data")

    with _stoppable(options.recipe, output):
        from training.loop import Start, train

        _tell(f"reads {data}")
        task = _task(options.recipe, recipe, options.data)
        _tell(task.contents())
        _quieten()
        own = None if options.data is None else options.data.resolve().name
        start = Start(options.resume, transfer.checkpoint, transfer.freeze, own)
        train(options.recipe, recipe, task, output, start)
    if _is_first():
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


def _recipe(options: argparse.Namespace, transfer: Transfer, output: Path) -> Recipe:
    """Return the recipe with the settings of the run in the folder, or the defaults."""
    if options.recipe not in RECIPES:
        named = f"{options.recipe}: no such recipe" if options.recipe else "no recipe"
        raise SettingError(f"{named}, expected one of {' '.join(sorted(RECIPES))}")
    if options.resume and transfer.checkpoint is not None:
        raise SettingError(
            f"init={transfer.checkpoint}: a run that resumes has weights of its own;"
            " leave out init= or --resume"
        )
    check_output(output, resume=options.resume)
    recorded = _recorded(options.recipe, output) if options.resume else {}
    kind = RECIPES[options.recipe].settings
    recipe = override(restore(kind, recorded, output), transfer.settings)
    return recipe if options.seed is None else replace(recipe, seed=options.seed)


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


def _task(name: str, recipe: Recipe, data: Path | None) -> Task:
    """Return the task that a recipe describes; reads its data."""
    module, kind = RECIPES[name].task.split(":")
    task: Task = getattr(import_module(module), kind)(recipe, data)
    return task


@contextmanager
def _stoppable(name: str, output: Path) -> Iterator[None]:
    """End the block in order on Ctrl-C or SIGTERM, and say how to go on."""
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        _tell(f"tiedge train: stopped; {_way_on(name, output)}")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(EXIT_SIGNAL + number)


def _way_on(name: str, output: Path) -> str:
    if not (output / STATE_FILE).exists():
        return "nothing was saved, for there was no validation yet"
    from training.checkpoint import saved_step

    return (
        f"{output} holds step {saved_step(output)}; go on with tiedge train {name}"
        f" --resume --output {output} and, if you gave them, --data and freeze="
    )


def _quieten() -> None:
    """Keep Fabric from announcing its arithmetic: stderr is for the run's own lines.

    It sets these levels as it is imported, so this comes after that.
    """
    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _is_first() -> bool:
    """Whether this is the process that speaks for all."""
    return os.environ.get("RANK", "0") == "0"


def _tell(line: str) -> None:
    if _is_first():
        print(line, file=sys.stderr, flush=True)


def _summary(output: Path) -> str:
    record = read_record(output)
    metrics = ", ".join(f"{k} {v:.4g}" for k, v in record["metrics"].items())
    origin = record.get("origin")
    began = f"; started from {origin['checkpoint']}" if origin else ""
    return f"{output}: step {record['step']}, {metrics}{began}"


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser; its help tells of the recipe that the arguments name."""
    named = next((a for a in arguments if a in RECIPES), None)
    if named is None:
        listed = "\n".join(
            f"  {name:<9} {summary(offer.settings)}" for name, offer in RECIPES.items()
        )
        more = f"recipes (tiedge train RECIPE --help lists the settings):\n{listed}"
    else:
        kind = RECIPES[named].settings
        more = f"settings of {named}: {summary(kind)}\n{settings_help(kind)}"
    parser = Parser(
        prog="tiedge train",
        usage="tiedge train RECIPE [NAME=VALUE ...] [options]",
        description="Train a recipe and leave a checkpoint, a log and curves.",
        epilog=f"{EPILOG}\n{more}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # "?" for parse_intermixed_args asks for settings, too, where the recipe is missing.
    parser.add_argument(
        "recipe",
        nargs="?",
        metavar="RECIPE",
        help=f"one of {' '.join(sorted(RECIPES))}",
    )
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="NAME=VALUE",
        help="settings of the recipe, init=CHECKPOINT, freeze=a,b",
    )
    parser.add_argument(
        "--data", type=Path, metavar="DATA", help="your own data, not the recipe's"
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
