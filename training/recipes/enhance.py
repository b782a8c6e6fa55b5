"""`enhance`: light for photographs that lack it, or have too much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_runtime.errors import SettingError
from training.recipe import limit
from training.recipes.repeated import RepeatedRecipe

if TYPE_CHECKING:  # settings are checked before torch is imported
    from training.enhancer import Enhancer


@dataclass(frozen=True)
class EnhanceRecipe(RepeatedRecipe):
    """Give dark photographs light."""

    steps: int = 5_000
    batch: int = 8
    learning_rate: float = 1e-3
    validate_steps: int = 500
    channels: int = 32
    dark_part: float = 0.7
    """Part of the examples that are dark."""
    bright_part: float = 0.15
    """Part that got too much light; the others are as the photograph is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        limit(self, dark_part=(0, 1), bright_part=(0, 1))
        if self.dark_part + self.bright_part > 1:
            raise SettingError(
                f"dark_part and bright_part: found {self.dark_part:g} and"
                f" {self.bright_part:g}, expected 1 at most together"
            )

    def network(self) -> Enhancer:
        """Return the network that these settings describe, with fresh weights."""
        from training.enhancer import Enhancer

        return Enhancer(
            self.channels,
            self.depths,
            n_convolutions=self.convolutions,
            rounding=self.quantize_aware,
        )
