"""Checkpoints: what is written comes back, and damage is named."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edge_runtime.errors import CheckpointError, SettingError
from training.checkpoint import (
    Progress,
    initialize,
    load_into,
    load_state,
    read_weights,
    save_state,
    save_weights,
    saved_step,
)
from training.recipe import Recipe
from training.record import RECIPE_FILE, STATE_FILE, WEIGHTS_FILE, read_record

RECIPE = Recipe(steps=1, batch=1, learning_rate=0.1)


def network(width: int = 3) -> nn.Sequential:
    """Return two small layers with fresh weights."""
    return nn.Sequential(nn.Linear(4, width), nn.Linear(width, 2))


def trained() -> tuple[nn.Sequential, torch.optim.Optimizer]:
    """Return a network and its optimizer after one step."""
    module = network()
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    return module, optimizer


def test_weights_come_back(tmp_path: Path) -> None:
    """Written weights are read back bit for bit, with the record beside them."""
    weights = network().state_dict()

    save_weights(tmp_path, "line", RECIPE, weights, 7, {"score": 1.5})

    actual = read_weights(tmp_path)
    assert weights.keys() == actual.keys()
    assert all(torch.equal(weights[name], actual[name]) for name in weights)
    record = read_record(tmp_path)
    assert ("line", 7, {"score": 1.5}) == (
        record["recipe"],
        record["step"],
        record["metrics"],
    )


def test_state_comes_back(tmp_path: Path) -> None:
    """A run's state restores network, average, optimizer and progress."""
    module, optimizer = trained()
    average = {name: value * 0.5 for name, value in module.state_dict().items()}
    progress = Progress(step=5, best_score=0.1 + 0.2, best_step=4)
    save_state(tmp_path, module, average, [optimizer], progress)
    other = network()
    other_average = {name: value.clone() for name, value in other.state_dict().items()}
    other_optimizer = torch.optim.Adam(other.parameters())

    actual = load_state(tmp_path, other, other_average, [other_optimizer])

    assert progress == actual
    for name, value in module.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
        assert torch.equal(value * 0.5, other_average[name])
    expected_slots = optimizer.state_dict()["state"]
    for index, slots in other_optimizer.state_dict()["state"].items():
        for slot, value in slots.items():
            assert torch.equal(expected_slots[index][slot], value)


def test_state_of_other_weights_is_refused(tmp_path: Path) -> None:
    """An optimizer that moves fewer weights than the run's did cannot go on."""
    module, optimizer = trained()
    average = dict(module.state_dict())
    save_state(tmp_path, module, average, [optimizer], Progress(1, 0.0, 1))
    fewer = torch.optim.Adam(module[1].parameters())

    with pytest.raises(CheckpointError) as caught:
        load_state(tmp_path, module, average, [fewer])

    assert (
        f"{tmp_path / STATE_FILE}: the run trains other weights than this command;"
        " resume with the same freeze= and muon_rate=" == str(caught.value)
    )


def test_state_of_another_network_is_refused(tmp_path: Path) -> None:
    """A run does not go on with another width; the line says how it does."""
    module, optimizer = trained()
    save_state(tmp_path, module, {}, [optimizer], Progress(1, 0.0, 1))
    wide = network(width=5)

    with pytest.raises(CheckpointError) as caught:
        load_state(tmp_path, wide, {}, [torch.optim.Adam(wide.parameters())])

    assert (
        f"{tmp_path / STATE_FILE}: weight '0.weight' is (3, 4), the network's is"
        " (5, 4); resume with the run's own settings" == str(caught.value)
    )


def test_state_says_where_the_run_stands(tmp_path: Path) -> None:
    """The step can be asked for alone; a state without one is no state."""
    module, optimizer = trained()
    save_state(tmp_path, module, {}, [optimizer], Progress(5, 0.0, 1))
    other = tmp_path / "other"
    other.mkdir()
    save_file({"network.a": torch.zeros(1)}, other / STATE_FILE)

    assert 5 == saved_step(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        saved_step(other)
    assert (
        f"{other / STATE_FILE}: does not say where the run stands; start a new run"
        == str(caught.value)
    )


@pytest.mark.parametrize("keep", [0, 4, 20, -1])
def test_truncated_weights_are_refused(tmp_path: Path, keep: int) -> None:
    """Weights cut short anywhere are named, never loaded in part."""
    save_weights(tmp_path, "line", RECIPE, network().state_dict(), 1, {})
    path = tmp_path / WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(CheckpointError, match=r"weights cannot be read"):
        read_weights(tmp_path)


def test_weights_must_fit_exactly() -> None:
    """Loading names the first weight that is missing, of other shape, or unknown."""
    weights = network().state_dict()
    where = Path("run")

    def message(changed: dict[str, torch.Tensor]) -> str:
        with pytest.raises(CheckpointError) as caught:
            load_into(network(), changed, where)
        return str(caught.value)

    missing = {k: v for k, v in weights.items() if k != "0.bias"}
    assert "run: lacks weight '0.bias'" == message(missing)
    assert "run: weight '0.bias' is (9,), the network's is (3,)" == message(
        weights | {"0.bias": torch.zeros(9)}
    )
    assert "run: the network has no weight 'extra'" == message(
        weights | {"extra": torch.zeros(1)}
    )


def test_initialize_copies_what_fits() -> None:
    """Transfer copies weights of equal name and shape and counts them."""
    wide, narrow = network(width=5), network(width=3)
    weights = wide.state_dict()

    copied = initialize(narrow, weights)

    assert (1, 4) == copied
    assert torch.equal(weights["1.bias"], narrow.state_dict()["1.bias"])


def test_full_disk_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails keeps the weights that were there and leaves no litter."""
    save_weights(tmp_path, "line", RECIPE, network().state_dict(), 1, {})
    before = (tmp_path / WEIGHTS_FILE).read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SettingError, match=r"cannot be written: .*No space left"):
        save_weights(tmp_path, "line", RECIPE, network().state_dict(), 2, {})

    assert before == (tmp_path / WEIGHTS_FILE).read_bytes()
    assert {WEIGHTS_FILE, RECIPE_FILE} == {path.name for path in tmp_path.iterdir()}
    assert 1 == read_record(tmp_path)["step"]
