"""Runs of the training loop in which large weights share a few values."""

from __future__ import annotations

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

from edge_runtime.errors import CheckpointError
from training.checkpoint import read_weights
from training.commands.train import run
from training.loop import Start, train
from training.recipe import Recipe
from training.record import STATE_FILE, read_record
from training.task import Task

ROOT = Path(__file__).parents[2]
WIDTH = 91

FREE = Recipe(steps=4, batch=4, learning_rate=0.1, validate_steps=2)
SHARED = replace(FREE, clusters=16)


class PowerCutError(Exception):
    """The power went."""


class LineTask(Task):
    """Learns a line; its first layer is just large enough to be clustered."""

    score = "score"
    first = WIDTH
    cut_at: int | None = None

    def __init__(self, recipe: Recipe, data: Path | None) -> None:
        self.recipe = recipe

    def contents(self) -> str:
        return "points on a line"

    def network(self) -> nn.Module:
        return nn.Sequential(
            nn.Linear(WIDTH, self.first), nn.Dropout(0.5), nn.Linear(self.first, 1)
        )

    def batch(self, step: int, indices: Sequence[int]) -> dict[str, Tensor]:
        if step == self.cut_at:
            raise PowerCutError
        generator = torch.Generator().manual_seed(step)
        return {"x": torch.randn(self.recipe.batch, WIDTH, generator=generator)}

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        target = batch["x"].sum(dim=1, keepdim=True)
        return (network(batch["x"]) - target).square().mean()

    def validate(self, network: nn.Module) -> dict[str, float]:
        return {"score": float(network[0].weight.sum())}


class CutTask(LineTask):
    """The same, but the power goes before its fourth step."""

    cut_at = 3


class WiderTask(LineTask):
    """The same line through a wider layer."""

    first = WIDTH + 1


def run_line(
    output: Path,
    start: Start,
    recipe: Recipe = SHARED,
    task: type[LineTask] = LineTask,
) -> dict[str, Tensor]:
    """Train the line and return all that the run's state holds."""
    train("line", recipe, task(recipe, None), output, start)
    return load_file(output / STATE_FILE)


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """Return the checkpoint of a run without clusters."""
    run_line(tmp_path / "first", Start(), FREE)
    return tmp_path / "first"


def n_different(weight: Tensor) -> int:
    """Return how many different numbers a weight holds."""
    return len(weight.unique())


def test_checkpoint_holds_plain_weights_of_few_numbers(
    first: Path, tmp_path: Path
) -> None:
    """Names and shapes are those of any checkpoint; the large weight has 16 numbers."""
    run_line(tmp_path / "run", Start(checkpoint=first))

    before, after = read_weights(first), read_weights(tmp_path / "run")
    assert {k: v.shape for k, v in before.items()} == {
        k: v.shape for k, v in after.items()
    }
    assert 16 == n_different(after["0.weight"])
    assert WIDTH == n_different(after["2.weight"])
    assert 16 == read_record(tmp_path / "run")["settings"]["clusters"]


def test_training_moves_the_values(first: Path, tmp_path: Path) -> None:
    """They are others than before, and some numbers take another one."""
    run_line(tmp_path / "run", Start(checkpoint=first), replace(SHARED, steps=1))
    start = read_weights(tmp_path / "run")["0.weight"]

    run_line(tmp_path / "longer", Start(checkpoint=first))

    moved = read_weights(tmp_path / "longer")["0.weight"]
    pairs = set(zip(start.flatten().tolist(), moved.flatten().tolist(), strict=True))
    assert not set(start.flatten().tolist()) & set(moved.flatten().tolist()) - {0.0}
    assert 16 < len(pairs)


def test_resumed_run_equals_uninterrupted_run(first: Path, tmp_path: Path) -> None:
    """A clustered run that was cut off ends with the same bits, without init=."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    expected = run_line(whole, Start(checkpoint=first))
    with pytest.raises(PowerCutError):
        run_line(broken, Start(checkpoint=first), task=CutTask)

    actual = run_line(broken, Start(resume=True))

    assert expected.keys() == actual.keys()
    assert [] == [k for k in expected if not torch.equal(expected[k], actual[k])]
    first_kept, then_kept = read_weights(whole), read_weights(broken)
    assert [] == [k for k in first_kept if not torch.equal(first_kept[k], then_kept[k])]


@pytest.mark.parametrize("clusters", [0, 32])
def test_resume_needs_the_same_clusters(
    first: Path, tmp_path: Path, clusters: int
) -> None:
    """A run cannot go on with other clusters than it began with."""
    run_line(tmp_path / "run", Start(checkpoint=first))

    with pytest.raises(CheckpointError, match=r"; resume with the run's own settings$"):
        run_line(
            tmp_path / "run", Start(resume=True), replace(SHARED, clusters=clusters)
        )


def test_frozen_weights_are_not_clustered(first: Path, tmp_path: Path) -> None:
    """`freeze` keeps a weight as it is, to the bit, beside others that share values."""

    class DeepTask(LineTask):
        def network(self) -> nn.Module:
            return nn.Sequential(
                nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 1)
            )

    deep = tmp_path / "deep"
    run_line(deep, Start(), FREE, DeepTask)

    run_line(tmp_path / "run", Start(checkpoint=deep, freeze=("1.",)), SHARED, DeepTask)

    after = read_weights(tmp_path / "run")
    assert torch.equal(read_weights(deep)["1.weight"], after["1.weight"])
    assert 16 == n_different(after["0.weight"])


def test_clustered_checkpoint_is_a_start_like_any_other(
    first: Path, tmp_path: Path
) -> None:
    """From it the weights may be freed again, or go on to share what they share."""
    run_line(tmp_path / "run", Start(checkpoint=first))
    shared = read_weights(tmp_path / "run")["0.weight"]
    still = replace(SHARED, learning_rate=1e-9, steps=1)

    run_line(tmp_path / "freed", Start(checkpoint=tmp_path / "run"), FREE)
    run_line(tmp_path / "kept", Start(checkpoint=tmp_path / "run"), still)

    assert n_different(read_weights(tmp_path / "freed")["0.weight"]) > 16
    torch.testing.assert_close(shared, read_weights(tmp_path / "kept")["0.weight"])


def test_weights_that_do_not_all_fit_are_refused(first: Path, tmp_path: Path) -> None:
    """Fresh weights among the trained ones would be reduced before they learnt."""
    with pytest.raises(CheckpointError) as caught:
        run_line(tmp_path / "run", Start(checkpoint=first), task=WiderTask)

    assert (
        f"{first}: 1 of 4 weights fit this network, clusters=16 needs all of them;"
        " leave out clusters= at first" == str(caught.value)
    )


def test_a_run_says_what_it_reduced(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """How many numbers became how few is told before the first step."""
    capsys.readouterr()

    run_line(tmp_path / "run", Start(checkpoint=first))

    assert [
        f"{first}: 4 of 4 weights fit",
        "clusters=16: 8281 numbers of 1 weights reduced to 16 values each",
        "line: 8480 parameters; on cpu (threads: 1)",
    ] == capsys.readouterr().err.splitlines()[:3]


def test_two_processes_train_as_one(photos: Path, tmp_path: Path) -> None:
    """Under torchrun the values move as they do in one process, and stay 16."""
    settings = (
        "steps=2 batch=4 channels=31 depths=1,8 depth_weights=0.5,1 patch_px=16"
        " warmup_steps=0 validate_steps=2 precision=32-true"
    ).split()
    common = ["denoise", *settings, "--data", str(photos), "--output"]
    first, one, two = (tmp_path / name for name in ("first", "one", "two"))
    run([*common, str(first)])
    clustered = [f"init={first}", "clusters=16"]
    second = ["tiedge.py", "train", *common, str(two), *clustered]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

    run([*common, str(one), *clustered])
    subprocess.run(
        [sys.executable, *torchrun, *second],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        timeout=600,
    )

    weights = [read_weights(run) for run in (one, two)]
    for name, expected in weights[0].items():
        torch.testing.assert_close(expected, weights[1][name], rtol=1e-4, atol=1e-6)
    assert 16 == n_different(weights[1]["body.first.weight"])


def test_data_that_is_given_is_recorded(tmp_path: Path) -> None:
    """What the first weights were trained on stays part of it."""
    first, second = tmp_path / "first", tmp_path / "second"
    run_line(first, Start(data="mine"), FREE)
    run_line(second, Start(checkpoint=first, data="more"), FREE)

    assert ["mine"] == read_record(first)["data"]
    assert ["mine", "more"] == read_record(second)["data"]

    run_line(
        second, Start(resume=True, data="more"), replace(FREE, steps=FREE.steps + 2)
    )

    assert ["mine", "more"] == read_record(second)["data"]
