"""Help of the recipes: every setting, with what it means."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest

from training.recipe import Recipe
from training.recipe_help import meanings, settings_help, summary
from training.recipes import RECIPES


@dataclass(frozen=True)
class Sample(Recipe):
    """Learn a line.

    Further text.
    """

    steps: int = 10
    batch: int = 2
    learning_rate: float = 0.5
    depths: tuple[int, ...] = (1, 2)
    """Depths on offer;
    the deepest last."""


def test_a_setting_is_shown_with_default_type_and_meaning() -> None:
    """The string under a field is its meaning; so is that of the field it replaces."""
    lines = settings_help(Sample).splitlines()

    assert [
        "  steps=10  (int)",
        "      Optimizer steps in all.",
    ] == lines[:2]
    assert [
        "  depths=1,2  (int values separated by commas)",
        "      Depths on offer; the deepest last.",
    ] == lines[6:8]


def test_a_recipe_in_one_line() -> None:
    """It is the first of the docstring."""
    assert "Learn a line." == summary(Sample)


@pytest.mark.parametrize("name", RECIPES)
def test_every_setting_of_every_recipe_has_a_meaning(name: str) -> None:
    """No field of a ready-made recipe lacks the string under it."""
    found = meanings(RECIPES[name].settings)

    expected = {field.name for field in dataclasses.fields(RECIPES[name].settings)}
    assert expected == {setting for setting, meaning in found.items() if meaning}
