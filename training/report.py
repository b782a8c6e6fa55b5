"""The sharing report of a module: which weights it has, and how often each is used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class WeightUse:
    """One weight of a module."""

    name: str
    aliases: tuple[str, ...]
    """Other names of the same weight."""
    shape: tuple[int, ...]
    n_parameters: int
    uses: int
    """Operators that read it in one run; a fused GRU is one operator."""
    n_read: int
    """Parameters that they read together: a row of a table is less than the table."""


@dataclass(frozen=True)
class SharingReport:
    """Every weight of a module, in the order in which the module names them."""

    weights: tuple[WeightUse, ...]

    @property
    def unique_parameters(self) -> int:
        """Parameters that are stored."""
        return sum(weight.n_parameters for weight in self.weights)

    @property
    def effective_parameters(self) -> int:
        """Parameters that the same computation would need without sharing."""
        return sum(weight.n_read for weight in self.weights)

    def table(self) -> str:
        """Return the report as lines of text."""
        rows = [("weight", "shape", "parameters", "uses", "also named")]
        for weight in self.weights:
            shape = "×".join(str(size) for size in weight.shape) or "1"
            counts = f"{weight.n_parameters:,}", str(weight.uses)
            rows.append((weight.name, shape, *counts, " ".join(weight.aliases)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))
            for row in rows
        ]
        lines.append(
            f"{self.unique_parameters:,} unique parameters,"
            f" {self.effective_parameters:,} effective"
        )
        return "\n".join(line.rstrip() for line in lines)


def sharing_report(module: nn.Module, run: Callable[[], object]) -> SharingReport:
    """Return the report of `module` for one `run`, such as `lambda: module(x)`.

    Weights are told apart by storage, so two names of one tensor are one weight. A
    use is a call of a torch function that takes the weight, or a view of it, and
    returns a tensor that is no view of it: `weight.t()` alone is no use, the
    product with it is one. A module that runs another's parts is counted as it runs.
    """
    names: dict[int, list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(_storage(parameter), []).append((name, parameter))
    sizes = {storage: named[0][1].numel() for storage, named in names.items()}
    with torch.no_grad(), _UseCounter(sizes) as counter:
        run()
    return SharingReport(
        tuple(
            WeightUse(
                name=named[0][0],
                aliases=tuple(name for name, _ in named[1:]),
                shape=tuple(named[0][1].shape),
                n_parameters=named[0][1].numel(),
                uses=counter.uses[storage],
                n_read=counter.n_read[storage],
            )
            for storage, named in names.items()
        )
    )


class _UseCounter(TorchFunctionMode):
    """Counts the outermost torch functions that read each watched storage.

    `sizes` maps a storage to how many parameters it holds.
    """

    def __init__(self, sizes: Mapping[int, int]) -> None:
        super().__init__()
        self.uses: Counter[int] = Counter()
        self.n_read: Counter[int] = Counter()
        self._sizes = sizes

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        made = {_storage(tensor) for tensor in _tensors(result)}
        if made:  # asking for a shape returns no tensor and reads nothing
            read = {_storage(t): t.numel() for t in _tensors((args, kwargs))}
            for storage in read.keys() & self._sizes.keys() - made:
                self.uses[storage] += 1
                # A view that repeats a weight reads no more than the weight.
                self.n_read[storage] += min(read[storage], self._sizes[storage])
        return result


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
