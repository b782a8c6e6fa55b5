"""Settings of a recipe: typed overrides, and the way back from a record."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from edge_runtime.errors import CheckpointError, SettingError
from training.recipe import Recipe, override, restore
from training.recipes import RECIPES


@dataclass(frozen=True)
class Sample(Recipe):
    """A recipe with a setting of each kind."""

    steps: int = 10
    batch: int = 2
    learning_rate: float = 0.5
    depths: tuple[int, ...] = (1, 2)
    augment: bool = True


def test_settings_take_the_type_of_their_field() -> None:
    """Each NAME=VALUE becomes an int, float, bool, word or tuple, as declared."""
    changed = override(
        Sample(),
        ["steps=3", "learning_rate=1e-3", "depths=1,4,8", "augment=False"],
    )

    assert Sample(steps=3, learning_rate=1e-3, depths=(1, 4, 8), augment=False) == (
        changed
    )


def test_no_settings_change_nothing() -> None:
    """Without overrides the recipe is what it was."""
    assert Sample() == override(Sample(), [])


def test_unknown_setting_lists_the_legal_ones() -> None:
    """A typo is answered with every legal name."""
    with pytest.raises(SettingError) as caught:
        override(Sample(), ["step=3"])

    assert (
        "step: no such setting, expected one of augment batch clip_norm depths"
        " ema_decay learning_rate precision seed steps validate_steps warmup_steps"
        == str(caught.value)
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("steps=many", "steps=many: expected int"),
        ("learning_rate=", "learning_rate=: expected float"),
        ("depths=1,x", "depths=1,x: expected int values separated by commas"),
        ("augment=maybe", "augment=maybe: expected bool"),
        ("steps", "'steps': expected NAME=VALUE"),
    ],
)
def test_value_of_another_type_is_refused(setting: str, message: str) -> None:
    """A value that is not of the setting's type names setting, value and type."""
    with pytest.raises(SettingError) as caught:
        override(Sample(), [setting])

    assert message == str(caught.value)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe_survives_its_record(name: str) -> None:
    """Settings written to a checkpoint's JSON come back as the same recipe."""
    recipe = RECIPES[name][0]()

    restored = restore(
        RECIPES[name][0], json.loads(json.dumps(asdict(recipe))), Path("run")
    )

    assert recipe == restored


def test_record_of_another_version_is_refused() -> None:
    """A recorded setting that the recipe does not have is named."""
    with pytest.raises(CheckpointError) as caught:
        restore(Sample, {"steps": 1, "colour": "red"}, Path("run"))

    assert (
        "run: Sample has no setting 'colour'; the checkpoint was made by another"
        " version of tiedge" == str(caught.value)
    )
