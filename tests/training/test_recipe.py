"""Settings of a recipe: typed overrides, and the way back from a record."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from edge_runtime.errors import CheckpointError, SettingError
from training.recipe import Recipe, override, restore
from training.recipes import RECIPES
from training.recipes.digits import DigitsRecipe

DOCUMENT = Path(__file__).parents[2] / "docs" / "recipes.md"


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
        "step: no such setting, expected one of augment batch clip_norm clusters depths"
        " ema_decay keep learning_rate muon_rate precision seed steps validate_steps"
        " warmup_steps" == str(caught.value)
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


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("steps=0", "steps=0: expected 1 to 1000000000"),
        ("batch=0", "batch=0: expected 1 to 100000"),
        ("learning_rate=nan", "learning_rate=nan: expected 1e-09 to 10"),
        ("warmup_steps=-1", "warmup_steps=-1: expected 0 to 1000000000"),
        ("ema_decay=2", "ema_decay=2.0: expected 0 to 1"),
        ("validate_steps=0", "validate_steps=0: expected 1 to 1000000000"),
        ("seed=-1", "seed=-1: expected 0 to 4294967295"),
        ("precision=foo", "precision=foo: expected one of 32-true bf16-mixed"),
    ],
)
def test_value_outside_its_limits_is_refused(setting: str, message: str) -> None:
    """A setting that cannot work is answered with its limits."""
    with pytest.raises(SettingError) as caught:
        override(Sample(), [setting])

    assert message == str(caught.value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("hidden=0", "hidden=0: expected 1 to 8192"),
        ("dropout=1", "dropout=1.0: expected 0 to 0.95"),
        ("chunk_frames=4", "chunk_frames=4: expected a multiple of 3"),
        (
            "vocabulary=go,Stop",
            "vocabulary: word 'Stop', expected letters a to z and apostrophes",
        ),
        ("vocabulary=go,go", "vocabulary: a word stands in it twice"),
    ],
)
def test_digits_refuses_what_it_could_not_train(setting: str, message: str) -> None:
    """The digits recipe has limits of its own."""
    with pytest.raises(SettingError) as caught:
        override(DigitsRecipe(), [setting])

    assert message == str(caught.value)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe_survives_its_record(name: str) -> None:
    """Settings written to a checkpoint's JSON come back as the same recipe."""
    kind = RECIPES[name].settings
    recipe = kind()

    restored = restore(kind, json.loads(json.dumps(asdict(recipe))), Path("run"))

    assert recipe == restored


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": "many"}, "setting 'steps' is 'many', expected int"),
        ({"steps": True}, "setting 'steps' is True, expected int"),
        (
            {"depths": [1, "x"]},
            "setting 'depths' is [1, 'x'], expected int values separated by commas",
        ),
        ({"steps": 0}, "setting steps=0: expected 1 to 1000000000"),
    ],
)
def test_damaged_record_is_refused(settings: dict[str, object], message: str) -> None:
    """A recorded value of another type, or outside its limits, is named."""
    with pytest.raises(CheckpointError) as caught:
        restore(Sample, settings, Path("run"))

    assert f"run: {message}" == str(caught.value)


def test_record_of_another_version_is_refused() -> None:
    """A recorded setting that the recipe does not have is named."""
    with pytest.raises(CheckpointError) as caught:
        restore(Sample, {"steps": 1, "colour": "red"}, Path("run"))

    assert (
        "run: Sample has no setting 'colour'; the checkpoint was made by another"
        " version of tiedge" == str(caught.value)
    )


@pytest.mark.parametrize("name", RECIPES)
def test_documented_freeze_names_cover_the_weights(name: str) -> None:
    """docs/recipes.md lists what `freeze=` can begin with, all of it and no more."""
    table = DOCUMENT.read_text("utf-8").partition("| recipe | names begin with |")[2]
    (row, *_) = re.findall(rf"^\| {name} \| (.*) \|$", table, re.M)
    prefixes = set(re.findall(r"`(\w+)`", row))

    network = RECIPES[name].settings().network()

    weights = {weight.partition(".")[0] for weight, _ in network.named_parameters()}
    assert weights == prefixes
