"""The one training loop: any task, one process or many."""

from __future__ import annotations

import csv
import io
import math
import os
import sys
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from edge_runtime.errors import CheckpointError, SettingError
from edge_runtime.files import write_text
from training.checkpoint import (
    Progress,
    initialize,
    load_state,
    read_weights,
    save_state,
    save_weights,
)
from training.clustering import cluster_weights, plain_weights
from training.curves import LOG_FILE, draw_curves
from training.optimizers import make_optimizers, set_rate
from training.pace import Pace
from training.processor import has_bf16
from training.recipe import BF16, Recipe
from training.record import RECIPE_FILE, check_output, origin_of, read_record
from training.task import Task

N_AHEAD = 4
"""Batches made ahead of the step that uses them."""


@dataclass(frozen=True)
class Start:
    """Where a run takes its first weights from."""

    resume: bool = False
    """Go on with the run that stands in the output folder."""
    checkpoint: Path | None = None
    """Folder of a checkpoint whose fitting weights are copied first."""
    freeze: tuple[str, ...] = ()
    """Weights whose name starts with one of these stay as they are."""
    data: str | None = None
    """Name of what is trained on in place of the recipe's own data."""


def train(name: str, recipe: Recipe, task: Task, output: Path, start: Start) -> None:
    """Train `task` and leave a checkpoint in `output`.

    Every process of a `torchrun` calls this; the first one writes. A run that was
    interrupted goes on from its last validation with `Start(resume=True)`. What is
    trained, on what, and how far it is, is told on stderr.

    Raises CheckpointError or SettingError for a start or an output that do not fit,
    for a loss that is no number, and for a disk that is full.
    """
    fabric = Fabric(
        accelerator="auto",
        devices=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        num_nodes=_n_nodes(),
        precision=recipe.precision,  # type: ignore[arg-type]  # Fabric checks it
    )
    fabric.launch()
    check_output(output, resume=start.resume)
    torch.manual_seed(recipe.seed)
    network = task.network()
    _prepare(network, task, start, recipe.clusters, fabric)
    network = fabric.to_device(network)
    optimizers = make_optimizers(network, task, recipe)
    average = {k: v.clone() for k, v in network.state_dict().items()}
    progress = Progress(step=0, best_score=-math.inf, best_step=0)
    origin = None
    if start.checkpoint is not None:
        origin = origin_of(start.checkpoint, start.freeze)
    if start.resume:
        progress = load_state(output, network, average, optimizers)
        origin = _recorded(output).get("origin")
        fabric.print(
            f"resuming at step {progress.step} of {recipe.steps}", file=sys.stderr
        )
    data = _own_data(start, output)
    fabric.print(f"{name}: {_size(network)}; {_place(fabric)}", file=sys.stderr)
    if fabric.device.type == "cpu" and recipe.precision == BF16 and not has_bf16():
        fabric.print(
            f"precision={BF16} is slow on this processor, which has no such arithmetic;"
            " precision=32-true takes about a third of the time",
            file=sys.stderr,
        )
    fabric.print(f"writes to {output}", file=sys.stderr)
    wrapped, *optimizers = fabric.setup(network, *optimizers)
    log = _Log(output, progress, recipe.steps) if fabric.is_global_zero else None

    clock, since = time.monotonic(), progress.step
    loss_sum = torch.zeros((), device=fabric.device)
    with closing(_batches(fabric, recipe, task, progress.step)) as batches:
        for step, batch in batches:
            # A run that resumes, or that validates in between, drops out the same
            # units.
            torch.manual_seed(_seed_of_step(recipe.seed, step))
            rate = learning_rate(recipe, step)
            set_rate(optimizers, rate)
            loss = task.loss(wrapped, batch)
            _descend(fabric, network, optimizers, loss, recipe.clip_norm)
            _average(average, network, min(recipe.ema_decay, (1 + step) / (10 + step)))
            loss_sum += loss.detach()

            done = step + 1
            if log is not None:
                log.pace.step(done, loss.item)
            if done % recipe.validate_steps and done != recipe.steps:
                continue
            mean_loss = _mean_loss(fabric, loss_sum / (done - since))
            if not math.isfinite(mean_loss):
                raise _diverged(name, recipe, mean_loss, done, since)
            if log is not None:
                weights = plain_weights(average)
                metrics = _validate(task, weights)
                score = metrics[task.score]
                is_best = score > progress.best_score
                if is_best:
                    progress = replace(progress, best_score=score, best_step=done)
                if is_best or recipe.keep == "last":
                    save_weights(
                        output,
                        name,
                        recipe,
                        weights,
                        done,
                        metrics,
                        origin,
                        task.files(),
                        data,
                    )
                progress = replace(progress, step=done)
                save_state(output, network, average, optimizers, progress)
                log.row(done, mean_loss, rate, time.monotonic() - clock, metrics)
                draw_curves(output)
            fabric.barrier()
            clock, since = time.monotonic(), done
            loss_sum.zero_()


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the learning rate of a step: linear warm-up, then cosine to zero."""
    warm = min(1.0, (step + 1) / max(1, recipe.warmup_steps))
    return (
        recipe.learning_rate
        * warm
        * 0.5
        * (1.0 + math.cos(math.pi * step / recipe.steps))
    )


def _descend(
    fabric: Fabric,
    network: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    loss: Tensor,
    clip_norm: float,
) -> None:
    network.zero_grad()
    fabric.backward(loss)
    nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
    for optimizer in optimizers:
        optimizer.step()


def _mean_loss(fabric: Fabric, loss: Tensor) -> float:
    """Return the mean over processes."""
    reduced = fabric.all_reduce(loss, reduce_op="mean")
    assert isinstance(reduced, Tensor)  # a tensor went in
    return float(reduced)


def _diverged(
    name: str, recipe: Recipe, loss: float, step: int, saved: int
) -> SettingError:
    again = f" with --resume, which goes on from step {saved}" if saved else ""
    return SettingError(
        f"{name}: the loss is {loss} at step {step}; lower learning_rate (now"
        f" {recipe.learning_rate}) and run again{again}"
    )


def _size(network: nn.Module) -> str:
    """Return how many weights there are, each counted once."""
    sizes = [(p.numel(), p.requires_grad) for p in network.parameters()]
    n_all = sum(size for size, _ in sizes)
    n_frozen = sum(size for size, trained in sizes if not trained)
    return f"{n_all} parameters" + (f", {n_frozen} of them frozen" if n_frozen else "")


def _place(fabric: Fabric) -> str:
    """Return what the run computes on."""
    if fabric.device.type == "cpu":
        place = f"on cpu (threads: {torch.get_num_threads()})"
    else:
        place = f"on {fabric.device}"
    n = fabric.world_size
    return f"{place}, {n} processes" if n > 1 else place


def _seed_of_step(seed: int, step: int) -> int:
    return seed * 1_000_003 + step + 1


def _recorded(folder: Path) -> dict[str, Any]:
    """Return what a run recorded; nothing where it did not get that far."""
    return read_record(folder) if (folder / RECIPE_FILE).is_file() else {}


def _own_data(start: Start, output: Path) -> list[str]:
    """Return the names of all data that were given, for the first weights too."""
    before = output if start.resume else start.checkpoint
    names = [] if before is None else _recorded(before).get("data", [])
    return list(dict.fromkeys([*names, *filter(None, [start.data])]))


def _n_nodes() -> int:
    world = int(os.environ.get("WORLD_SIZE", "1"))
    return world // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _prepare(
    network: nn.Module, task: Task, start: Start, clusters: int, fabric: Fabric
) -> None:
    if start.checkpoint is not None:
        weights = read_weights(start.checkpoint)
        copied, n_all = initialize(
            network, task.translated(weights, network, start.checkpoint)
        )
        fabric.print(
            f"{start.checkpoint}: {copied} of {n_all} weights fit", file=sys.stderr
        )
        if not copied:
            raise CheckpointError(
                f"{start.checkpoint}: none of its weights fits this network"
            )
        if clusters and copied < n_all:
            raise CheckpointError(
                f"{start.checkpoint}: {copied} of {n_all} weights fit this network,"
                f" clusters={clusters} needs all of them; leave out clusters= at first"
            )
        task.prepared(network)
    names = [name for name, _ in network.named_parameters()]
    if all(name.startswith(start.freeze) for name in names):
        raise SettingError(
            f"freeze={','.join(start.freeze)}: leaves no weight to train, expected"
            " some others"
        )
    for prefix in start.freeze:
        if not any(name.startswith(prefix) for name in names):
            raise SettingError(
                f"freeze={prefix}: no weight starts so, expected one of"
                f" {' '.join(sorted({name.split('.')[0] for name in names}))}"
            )
    for name, parameter in network.named_parameters():
        if name.startswith(start.freeze):
            parameter.requires_grad_(False)
    # A run that resumes only takes the shapes from here: its state has the clusters.
    if clusters:
        sizes = cluster_weights(network, clusters)
        fabric.print(
            f"clusters={clusters}: {sum(sizes.values())} numbers of {len(sizes)}"
            f" weights reduced to {clusters} values each",
            file=sys.stderr,
        )


def _batches(
    fabric: Fabric, recipe: Recipe, task: Task, first: int
) -> Generator[tuple[int, dict[str, Tensor]], None, None]:
    """Yield (step, batch) to the end of the run, making batches ahead."""
    if recipe.batch % fabric.world_size:
        raise SettingError(
            f"batch={recipe.batch}: cannot be split over {fabric.world_size} processes"
        )
    mine = range(fabric.global_rank, recipe.batch, fabric.world_size)
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        ahead = [
            pool.submit(task.batch, step, mine)
            for step in range(first, min(first + N_AHEAD, recipe.steps))
        ]
        for step in range(first, recipe.steps):
            batch = fabric.to_device(ahead.pop(0).result())
            if step + N_AHEAD < recipe.steps:
                ahead.append(pool.submit(task.batch, step + N_AHEAD, mine))
            yield step, batch
    finally:  # whoever stops the run does not wait for batches that nobody uses
        pool.shutdown(cancel_futures=True)


@torch.no_grad()
def _average(average: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1.0 - decay)
        else:
            average[name].copy_(value)


@torch.no_grad()
def _validate(task: Task, weights: dict[str, Tensor]) -> dict[str, float]:
    network = task.network()
    network.load_state_dict(weights)
    return task.validate(network.eval())


class _Log:
    """The run's rows: log.csv, TensorBoard, and one line each on stderr."""

    def __init__(self, output: Path, progress: Progress, n_steps: int) -> None:
        self.pace = Pace(progress.step, n_steps)
        self._n_steps = n_steps
        self._path = output / LOG_FILE
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(
                f"{output}: cannot be written: {error.strerror}; name another folder"
                " with --output"
            ) from error
        self._rows: list[dict[str, str]] = []
        if progress.step and self._path.exists():
            with self._path.open(newline="", encoding="utf-8") as file:
                self._rows = [
                    r for r in csv.DictReader(file) if int(r["step"]) <= progress.step
                ]
        self._board = SummaryWriter(str(output / "tensorboard"))

    def row(
        self,
        step: int,
        loss: float,
        rate: float,
        seconds: float,
        metrics: dict[str, float],
    ) -> None:
        values = {"loss": loss, "learning_rate": rate, "seconds": seconds} | metrics
        self._rows.append(
            {"step": str(step)} | {k: f"{v:.6g}" for k, v in values.items()}
        )
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, fieldnames=list(self._rows[-1]))
        writer.writeheader()
        writer.writerows(self._rows)
        write_text(self._path, text.getvalue())
        for key, value in values.items():
            self._board.add_scalar(key, value, step)
        self._board.flush()
        shown = "  ".join(f"{k} {v:.4g}" for k, v in values.items())
        self.pace.clear()
        print(f"step {step}/{self._n_steps}  {shown}", file=sys.stderr, flush=True)
