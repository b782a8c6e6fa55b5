"""What the training loop asks of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from training.recipe import Recipe


class Task(ABC):
    """One recipe made concrete: network, examples, loss and validation.

    `batch` is a function of the step and the example's index alone, so a run that
    resumes, or that is spread over processes, sees the same examples.
    """

    score: str
    """The key of `validate` that picks the best weights; higher is better."""

    gentle: tuple[str, ...] = ()
    """Weights with one of these in their name learn at a tenth of the rate."""

    kernels: tuple[str, ...] = ()
    """Weights with one of these in their name are Muon's where `muon_rate` is set."""

    keeps_norm: bool = False
    """Whether Muon turns the kernels without letting them grow."""

    @abstractmethod
    def __init__(self, recipe: Recipe, data: Path | None) -> None: ...

    @abstractmethod
    def contents(self) -> str:
        """Return how much there is to train on, and how much is held out."""

    def files(self) -> Mapping[str, str]:
        """Return texts, by file name, without which the weights mean nothing."""
        return {}

    @abstractmethod
    def network(self) -> nn.Module:
        """Return the network with fresh weights."""

    def translated(
        self, weights: Mapping[str, Tensor], network: nn.Module, checkpoint: Path
    ) -> Mapping[str, Tensor]:
        """Return a checkpoint's weights in the order of this run's symbols.

        `network` has fresh ones, for symbols that the checkpoint does not know.
        """
        return weights

    def prepared(self, network: nn.Module) -> nn.Module:
        """Return a network whose first weights come of a checkpoint, fit for this run.

        It is the same one; what it computes is not to change but for rounding.
        """
        return network

    @abstractmethod
    def batch(self, step: int, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return the examples of one step that `indices` name."""

    @abstractmethod
    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the scalar to minimize; calls `network` once."""

    @abstractmethod
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return the task's metrics on held-out data."""
