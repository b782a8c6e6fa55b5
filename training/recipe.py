"""What every recipe has: frozen settings with typed overrides, and a task."""

from __future__ import annotations

import dataclasses
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from edge_runtime.errors import CheckpointError, SettingError


@dataclass(frozen=True)
class Recipe:
    """Settings of the one training loop; a recipe adds its own."""

    steps: int
    """Optimizer steps in all."""
    batch: int
    """Examples per step, over all processes together."""
    learning_rate: float
    """Peak; linear warm-up, then cosine to zero."""
    warmup_steps: int = 500
    clip_norm: float = 1.0
    """Largest gradient norm; longer gradients are scaled down to it."""
    ema_decay: float = 0.999
    """Decay per step of the averaged weights, the ones that are kept."""
    validate_steps: int = 1000
    """Steps between validations; each writes a checkpoint."""
    precision: str = "bf16-mixed"
    """Arithmetic of the forward and backward pass, as Lightning Fabric names it."""
    seed: int = 0


class Task(ABC):
    """One recipe made concrete: network, examples, loss and validation.

    `batch` is a function of the step and the example's index alone, so a run that
    resumes, or that is spread over processes, sees the same examples.
    """

    score: str
    """The key of `validate` that picks the best weights; higher is better."""

    gentle: tuple[str, ...] = ()
    """Weights with one of these in their name learn at a tenth of the rate."""

    @abstractmethod
    def __init__(self, recipe: Recipe, data: Path | None) -> None: ...

    @abstractmethod
    def network(self) -> nn.Module:
        """Return the network with fresh weights."""

    @abstractmethod
    def batch(self, step: int, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return the examples of one step that `indices` name."""

    @abstractmethod
    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the scalar to minimize; calls `network` once."""

    @abstractmethod
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return the task's metrics on held-out data."""


RecipeType = TypeVar("RecipeType", bound=Recipe)


def override(recipe: RecipeType, settings: Sequence[str]) -> RecipeType:
    """Return the recipe with each `NAME=VALUE` applied.

    Raises SettingError for a name that the recipe lacks (listing the legal ones) or
    a value of another type.
    """
    legal = {field.name for field in dataclasses.fields(recipe)}
    types = typing.get_type_hints(type(recipe))
    changes: dict[str, Any] = {}
    for setting in settings:
        name, separator, text = setting.partition("=")
        if not separator:
            raise SettingError(f"{setting!r}: expected NAME=VALUE")
        if name not in legal:
            raise SettingError(
                f"{name}: no such setting, expected one of {' '.join(sorted(legal))}"
            )
        changes[name] = _parse(name, text, types[name])
    return dataclasses.replace(recipe, **changes)


def restore(
    kind: type[RecipeType], settings: Mapping[str, Any], where: Path
) -> RecipeType:
    """Return the recipe whose settings a checkpoint recorded.

    A setting that the record lacks has its default. Raises CheckpointError for one
    that the recipe lacks: the checkpoint was made by another version.
    """
    legal = {field.name for field in dataclasses.fields(kind)}
    unknown = sorted(settings.keys() - legal)
    if unknown:
        raise CheckpointError(
            f"{where}: {kind.__name__} has no setting {unknown[0]!r}; the checkpoint"
            " was made by another version of tiedge"
        )
    # JSON has no tuples.
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()
    }
    return kind(**values)


def _parse(name: str, text: str, kind: type) -> object:
    item = typing.get_args(kind)
    try:
        if item:  # tuple[int, ...] and its like, written 1,2,4
            return tuple(item[0](part) for part in text.split(",") if text)
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        return kind(text)
    except (ValueError, KeyError) as error:
        expected = (
            f"{item[0].__name__} values separated by commas" if item else kind.__name__
        )
        raise SettingError(f"{name}={text}: expected {expected}") from error
