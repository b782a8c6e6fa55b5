"""What every recipe has: frozen settings with limits and typed overrides.

Nothing here, nor in a recipe, needs torch: a mistake is answered at once.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edge_runtime.errors import CheckpointError, SettingError

BF16 = "bf16-mixed"
PRECISIONS = ("32-true", BF16)
CLUSTERS = (0, 16, 32)
KEPT = ("best", "last")


@dataclass(frozen=True)
class Recipe:
    """Settings of the one training loop; a recipe adds its own.

    Raises SettingError for a value outside its limits.
    """

    steps: int
    """Optimizer steps in all."""
    batch: int
    """Examples per step, over all processes together."""
    learning_rate: float
    """Peak; linear warm-up, then cosine to zero."""
    muon_rate: float = 0.0
    """Peak learning rate of Muon, which then moves the task's kernels; Adam moves the
    others, and with 0 all weights."""
    warmup_steps: int = 500
    """Steps in which the learning rate climbs to its peak."""
    clip_norm: float = 1.0
    """Largest gradient norm; longer gradients are scaled down to it."""
    ema_decay: float = 0.999
    """Decay per step of the averaged weights, the ones that are kept."""
    validate_steps: int = 1000
    """Steps between validations; each writes a checkpoint."""
    keep: str = "best"
    """Which validation's weights the run leaves: best, or last whatever it scores."""
    precision: str = BF16
    """Arithmetic of the forward and backward pass: bf16-mixed or 32-true."""
    seed: int = 0
    """Of the first weights, and of every example."""
    clusters: int = 0
    """Different numbers, 16 or 32, that each large weight of init= is reduced to, and
    that training then moves; 0 for all weights free."""

    def __post_init__(self) -> None:
        limit(
            self,
            steps=(1, 10**9),
            batch=(1, 10**5),
            learning_rate=(1e-9, 10),
            muon_rate=(0, 10),
            warmup_steps=(0, 10**9),
            clip_norm=(1e-9, 1e9),
            ema_decay=(0, 1),
            validate_steps=(1, 10**9),
            seed=(0, 2**32 - 1),
        )
        if self.precision not in PRECISIONS:
            raise SettingError(
                f"precision={self.precision}: expected one of {' '.join(PRECISIONS)}"
            )
        if self.keep not in KEPT:
            raise SettingError(f"keep={self.keep}: expected one of {' '.join(KEPT)}")
        if self.clusters not in CLUSTERS:
            raise SettingError(
                f"clusters={self.clusters}: expected one of"
                f" {' '.join(map(str, CLUSTERS))}"
            )


RecipeType = TypeVar("RecipeType", bound=Recipe)


def limit(recipe: Recipe, **limits: tuple[float, float]) -> None:
    """Raise SettingError for a setting, or an item of it, outside (least, most)."""
    for name, (least, most) in limits.items():
        value = getattr(recipe, name)
        for item in value if isinstance(value, tuple) else (value,):
            if not least <= item <= most:  # NaN fits nowhere
                raise SettingError(f"{name}={item}: expected {least} to {most}")


def override(recipe: RecipeType, settings: Sequence[str]) -> RecipeType:
    """Return the recipe with each `NAME=VALUE` applied.

    Raises SettingError for a name that the recipe lacks (listing the legal ones), a
    value of another type, or one that the recipe refuses.
    """
    types = setting_types(type(recipe))
    changes: dict[str, Any] = {}
    for setting in settings:
        name, separator, text = setting.partition("=")
        if not separator:
            raise SettingError(f"{setting!r}: expected NAME=VALUE")
        if name not in types:
            raise SettingError(
                f"{name}: no such setting, expected one of {' '.join(sorted(types))}"
            )
        changes[name] = _parse(name, text, types[name])
    return dataclasses.replace(recipe, **changes)


def restore(
    kind: type[RecipeType], settings: Mapping[str, Any], where: Path
) -> RecipeType:
    """Return the recipe whose settings a checkpoint recorded.

    A setting that the record lacks has its default. Raises CheckpointError for one
    that the recipe lacks, since the checkpoint was made by another version, and for a
    value that the recipe refuses.
    """
    types = setting_types(kind)
    unknown = sorted(settings.keys() - types.keys())
    if unknown:
        raise CheckpointError(
            f"{where}: {kind.__name__} has no setting {unknown[0]!r}; the checkpoint"
            " was made by another version of tiedge"
        )
    # JSON has no tuples.
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()
    }
    for name, value in values.items():
        if not _is_of(value, types[name]):
            raise CheckpointError(
                f"{where}: setting {name!r} is {settings[name]!r}, expected"
                f" {type_name(types[name])}"
            )
    try:
        return kind(**values)
    except SettingError as error:
        raise CheckpointError(f"{where}: setting {error}") from error


def type_name(kind: type) -> str:
    """Return how messages and help call a setting's type.

    >>> type_name(tuple[int, ...])
    'int values separated by commas'
    """
    item = typing.get_args(kind)
    name: str = (item[0] if item else kind).__name__
    return f"{name} values separated by commas" if item else name


def setting_types(kind: type[Recipe]) -> dict[str, type]:
    """Return each setting of a recipe and its type."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _is_of(value: object, kind: type) -> bool:
    item = typing.get_args(kind)
    if item:
        return isinstance(value, tuple) and all(_is_of(v, item[0]) for v in value)
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind


def _parse(name: str, text: str, kind: type) -> object:
    item = typing.get_args(kind)
    try:
        if item:  # tuple[int, ...] and its like, written 1,2,4
            return tuple(item[0](part) for part in text.split(",") if text)
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        return kind(text)
    except (ValueError, KeyError) as error:
        raise SettingError(f"{name}={text}: expected {type_name(kind)}") from error
