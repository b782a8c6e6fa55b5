"""The training loop on a network of a few hundred weights."""

from __future__ import annotations

import csv
import hashlib
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from edge_runtime.errors import CheckpointError, SettingError
from training.checkpoint import read_weights
from training.commands.train import run
from training.curves import CURVES_FILE, LOG_FILE
from training.loop import Start, learning_rate, train
from training.recipe import Recipe
from training.recipes.denoise import DenoiseRecipe
from training.record import STATE_FILE, WEIGHTS_FILE, read_record
from training.task import Task
from training.tasks.denoise import DenoiseTask

ROOT = Path(__file__).parents[2]

TINY = DenoiseRecipe(
    muon_rate=0.02,
    steps=6,
    batch=4,
    channels=4,
    depths=(1, 8),
    depth_weights=(0.5, 1.0),
    patch_px=16,
    warmup_steps=2,
    validate_steps=2,
)


LINE = Recipe(steps=4, batch=4, learning_rate=0.1, validate_steps=2)


class PowerCutError(Exception):
    """The power went."""


class InterruptedTask(DenoiseTask):
    """A task whose batches end in an exception at one step."""

    def batch(self, step: int, indices: Sequence[int]) -> dict[str, Tensor]:
        if step == 5:
            raise PowerCutError
        return super().batch(step, indices)


class LineTask(Task):
    """Learns a line through points with dropout in between: random at every step."""

    score = "score"

    def __init__(self, recipe: Recipe, data: Path | None) -> None:
        self.recipe = recipe

    def contents(self) -> str:
        return "points on a line"

    def network(self) -> nn.Module:
        return nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.Linear(8, 1))

    def batch(self, step: int, indices: Sequence[int]) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(step)
        return {"x": torch.randn(self.recipe.batch, 8, generator=generator)}

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        target = batch["x"].sum(dim=1, keepdim=True)
        return (network(batch["x"]) - target).square().mean()

    def validate(self, network: nn.Module) -> dict[str, float]:
        torch.rand(7)  # whatever a validation draws must not show in training
        return {"score": float(network[0].weight.sum())}


class WideLineTask(LineTask):
    """The same line through a wider layer."""

    def network(self) -> nn.Module:
        return nn.Sequential(nn.Linear(8, 9), nn.Dropout(0.5), nn.Linear(9, 1))


class FallingTask(LineTask):
    """A task that scores worse at every validation."""

    def __init__(self, recipe: Recipe, data: Path | None) -> None:
        super().__init__(recipe, data)
        self._scores = iter(range(9, 0, -1))

    def validate(self, network: nn.Module) -> dict[str, float]:
        return {"score": float(next(self._scores))}


class BrokenTask(LineTask):
    """A task whose loss is no number."""

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return super().loss(network, batch) * math.nan


def run_denoise(
    photos: Path, output: Path, start: Start | None = None
) -> dict[str, Tensor]:
    """Train on the photos and return all that the run's state holds."""
    train("denoise", TINY, DenoiseTask(TINY, photos), output, start or Start())
    return state_of(output)


def run_line(output: Path, start: Start | None = None) -> dict[str, Tensor]:
    """Train the line and return all that the run's state holds."""
    train("line", LINE, LineTask(LINE, None), output, start or Start())
    return state_of(output)


def state_of(output: Path) -> dict[str, Tensor]:
    """Return network, average and optimizer of a run."""
    return load_file(output / STATE_FILE)


def rows_of(output: Path) -> list[dict[str, str]]:
    """Return the run's log without its timings."""
    with (output / LOG_FILE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def assert_same(expected: dict[str, Tensor], actual: dict[str, Tensor]) -> None:
    """Fail unless both hold the same names and the same bits."""
    assert expected.keys() == actual.keys()
    assert [] == [k for k in expected if not torch.equal(expected[k], actual[k])]


def test_run_leaves_checkpoint_log_and_curves(photos: Path, tmp_path: Path) -> None:
    """A run leaves weights, the record of how they came about, a log and curves."""
    output = tmp_path / "run"

    run_denoise(photos, output)

    record = read_record(output)
    assert "denoise" == record["recipe"]
    assert 4 == record["settings"]["channels"]
    assert ["2", "4", "6"] == [row["step"] for row in rows_of(output)]
    assert (output / CURVES_FILE).stat().st_size > 0
    assert set(read_weights(output)) == {
        name.removeprefix("average.")
        for name in state_of(output)
        if name.startswith("average.")
    }


def test_resumed_run_equals_uninterrupted_run(photos: Path, tmp_path: Path) -> None:
    """An interrupted run that resumes ends with the same weights, bit for bit."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    expected = run_denoise(photos, whole)
    with pytest.raises(PowerCutError):
        train("denoise", TINY, InterruptedTask(TINY, photos), broken, Start())
    assert "4" == rows_of(broken)[-1]["step"]

    actual = run_denoise(photos, broken, Start(resume=True))

    assert_same(expected, actual)
    assert rows_of(whole) == rows_of(broken)
    assert_same(read_weights(whole), read_weights(broken))


def test_resumed_run_drops_out_the_same_units(tmp_path: Path) -> None:
    """Randomness inside a network does not depend on where a run was interrupted."""
    expected = run_line(tmp_path / "whole")

    class CutTask(LineTask):
        def batch(self, step: int, indices: Sequence[int]) -> dict[str, Tensor]:
            if step == 3:
                raise PowerCutError
            return super().batch(step, indices)

    with pytest.raises(PowerCutError):
        train("line", LINE, CutTask(LINE, None), tmp_path / "broken", Start())
    actual = run_line(tmp_path / "broken", Start(resume=True))

    assert_same(expected, actual)


def test_finished_run_resumes_to_itself(tmp_path: Path) -> None:
    """Resuming a run that is complete changes nothing."""
    expected = run_line(tmp_path / "run")

    actual = run_line(tmp_path / "run", Start(resume=True))

    assert_same(expected, actual)


def test_two_processes_train_as_one(photos: Path, tmp_path: Path) -> None:
    """Under torchrun two processes share a batch and log the losses of one."""
    settings = (
        "steps=4 batch=4 channels=4 depths=1,8 depth_weights=0.5,1 patch_px=16"
        " warmup_steps=2 validate_steps=2 precision=32-true"
    ).split()
    common = ["denoise", *settings, "--data", str(photos), "--output"]
    one, two = tmp_path / "one", tmp_path / "two"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

    run([*common, str(one)])
    subprocess.run(
        [sys.executable, *torchrun, "tiedge.py", "train", *common, str(two)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        timeout=600,
    )

    losses = [[float(row["loss"]) for row in rows_of(run)] for run in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    weights = [read_weights(run) for run in (one, two)]
    for name, expected in weights[0].items():
        torch.testing.assert_close(expected, weights[1][name], rtol=1e-4, atol=1e-6)


def test_frozen_weights_stay(tmp_path: Path) -> None:
    """`freeze` keeps the weights whose names start so, and trains all others."""
    run_line(tmp_path / "first")

    run_line(tmp_path / "second", Start(checkpoint=tmp_path / "first", freeze=("0.",)))

    before, after = (read_weights(tmp_path / name) for name in ("first", "second"))
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {"0.weight", "0.bias"} == same


def test_resume_needs_the_same_freeze(tmp_path: Path) -> None:
    """A run that froze weights cannot go on with other weights frozen."""
    run_line(tmp_path / "run", Start(freeze=("0.",)))

    with pytest.raises(CheckpointError, match=r"resume with the same freeze="):
        run_line(tmp_path / "run", Start(resume=True))


def test_unknown_frozen_name_lists_the_legal_ones(tmp_path: Path) -> None:
    """A `freeze` that fits no weight says what weights there are."""
    with pytest.raises(SettingError) as caught:
        run_line(tmp_path / "run", Start(freeze=("neck",)))

    assert "freeze=neck: no weight starts so, expected one of 0 2" == str(caught.value)


def test_freezing_everything_is_refused(tmp_path: Path) -> None:
    """A run that could learn nothing does not start."""
    with pytest.raises(SettingError) as caught:
        run_line(tmp_path / "run", Start(freeze=("0.", "2")))

    assert "freeze=0.,2: leaves no weight to train, expected some others" == str(
        caught.value
    )


def test_a_run_says_what_it_trains_and_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Size, frozen part, device and folder are told before the first step."""
    exact, start = replace(LINE, precision="32-true"), Start(freeze=("0.",))

    train("line", exact, LineTask(exact, None), tmp_path / "run", start)

    assert [
        "line: 81 parameters, 72 of them frozen; on cpu (threads: 1)",
        f"writes to {tmp_path}/run",
    ] == capsys.readouterr().err.splitlines()[:2]


@pytest.mark.parametrize(("found", "n_lines"), [(True, 0), (False, 1)])
def test_a_run_says_where_its_precision_is_slow(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    found: bool,
    n_lines: int,
) -> None:
    """Once, and where the processor lacks the arithmetic alone."""
    monkeypatch.setattr("training.loop.has_bf16", lambda: found)

    run_line(tmp_path / "run")

    assert n_lines == capsys.readouterr().err.count("precision=32-true takes")


def test_transfer_copies_what_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`init` copies the weights whose shapes agree and says how many did."""
    first = tmp_path / "first"
    run_line(first)
    task = WideLineTask(LINE, None)

    train("line", LINE, task, tmp_path / "second", Start(checkpoint=first))

    assert f"{first}: 1 of 4 weights fit" in capsys.readouterr().err


def test_transfer_is_recorded(tmp_path: Path) -> None:
    """recipe.json names the weights that a run started from, and what stayed still."""
    first = tmp_path / "first"
    run_line(first)
    weights = (first / WEIGHTS_FILE).read_bytes()

    run_line(tmp_path / "second", Start(checkpoint=first, freeze=("0.",)))

    assert read_record(first)["origin"] is None
    assert {
        "checkpoint": "first",
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "freeze": ["0."],
    } == read_record(tmp_path / "second")["origin"]


def test_transfer_from_another_network_is_refused(photos: Path, tmp_path: Path) -> None:
    """A checkpoint of which nothing fits is no start."""
    other = tmp_path / "other"
    run_line(other)

    with pytest.raises(CheckpointError, match=r"none of its weights fits this network"):
        run_denoise(photos, tmp_path / "run", Start(checkpoint=other))


def test_second_run_does_not_overwrite_the_first(tmp_path: Path) -> None:
    """A folder that holds a run is written to by --resume alone."""
    output = tmp_path / "run"
    run_line(output)

    with pytest.raises(CheckpointError) as caught:
        run_line(output)

    assert (
        f"{output}: holds a run already; go on with --resume or name another folder"
        " with --output" == str(caught.value)
    )


def test_resume_needs_a_run(tmp_path: Path) -> None:
    """There must be a run for it to go on."""
    output = tmp_path / "run"

    with pytest.raises(CheckpointError) as caught:
        run_line(output, Start(resume=True))

    assert (
        f"{output}: holds no run to go on with; leave out --resume, or name the run's"
        " folder with --output" == str(caught.value)
    )


def test_unwritable_output_is_one_line(tmp_path: Path) -> None:
    """An output that cannot be a folder is found before the first step."""
    output = tmp_path / "file" / "run"
    output.parent.write_text("in the way")

    with pytest.raises(SettingError) as caught:
        run_line(output)

    assert (
        f"{output}: cannot be written: {output.parent} is no folder; name another"
        " folder with --output" == str(caught.value)
    )


def test_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    """A diverged run stops at its next validation and names the setting to change."""
    recipe = Recipe(steps=4, batch=4, learning_rate=0.5, validate_steps=2)
    task = BrokenTask(recipe, None)

    with pytest.raises(SettingError) as caught:
        train("line", recipe, task, tmp_path / "run", Start())

    assert (
        "line: the loss is nan at step 2; lower learning_rate (now 0.5) and run again"
        == str(caught.value)
    )
    assert not (tmp_path / "run" / STATE_FILE).exists()


def test_loss_that_gets_lost_later_leaves_a_way_back(tmp_path: Path) -> None:
    """What was saved before the run diverged can be gone on with."""

    class LaterTask(LineTask):
        def batch(self, step: int, indices: Sequence[int]) -> dict[str, Tensor]:
            spoilt = math.nan if step == 3 else 1.0
            return {"x": super().batch(step, indices)["x"] * spoilt}

    with pytest.raises(SettingError, match=r"with --resume, which goes on from step 2"):
        train("line", LINE, LaterTask(LINE, None), tmp_path / "run", Start())


def test_learning_rate_warms_up_and_cools_down() -> None:
    """The learning rate climbs linearly to its peak and ends near zero."""
    recipe = Recipe(steps=1000, batch=1, learning_rate=2.0, warmup_steps=10)

    rates = [learning_rate(recipe, step) for step in range(1000)]

    assert 0.2 == pytest.approx(rates[0])
    assert 2.0 == pytest.approx(max(rates), rel=1e-3)
    assert 9 == rates.index(max(rates))
    assert rates[500] == pytest.approx(1.0)
    assert rates[-1] < 1e-4


@pytest.mark.parametrize(("keep", "kept"), [("best", 2), ("last", 4)])
def test_a_run_leaves_the_weights_that_its_recipe_keeps(
    tmp_path: Path, keep: str, kept: int
) -> None:
    """A score that falls is no reason to keep earlier weights, where `last` is set."""
    recipe = replace(LINE, keep=keep)

    train("line", recipe, FallingTask(recipe, None), tmp_path / "run", Start())

    assert kept == read_record(tmp_path / "run")["step"]
