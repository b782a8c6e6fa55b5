"""`superres`: photographs at twice their size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.recipe import limit
from training.recipes.repeated import RepeatedRecipe

if TYPE_CHECKING:  # settings are checked before torch is imported
    from training.upscaler import Upscaler


@dataclass(frozen=True)
class SuperresRecipe(RepeatedRecipe):
    """Double the size of photographs."""

    steps: int = 20_000
    batch: int = 6
    learning_rate: float = 1e-3
    validate_steps: int = 1000
    shrink: tuple[float, ...] = (1.0, 0.75, 0.6)
    """Sizes at which each photograph is trained on, as parts of its own; a smaller one
    is sharper."""

    def __post_init__(self) -> None:
        super().__post_init__()
        limit(self, shrink=(0.1, 1.0))

    def network(self) -> Upscaler:
        """Return the network that these settings describe, with fresh weights."""
        from training.upscaler import Upscaler

        return Upscaler(
            self.channels,
            self.depths,
            n_convolutions=self.convolutions,
            rounding=self.quantize_aware,
        )
