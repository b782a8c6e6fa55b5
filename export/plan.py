"""What is to be exported: entry points, their tensors, and how to check them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_runtime.bundle import Bundle
from edge_runtime.bundle_parts import Loop, TensorSpec
from edge_runtime.engine import Engine
from export.audit import SourceWeight
from export.trace import identity

Arrays = dict[str, NDArray[Any]]
"""Inputs or outputs of an entry point by name."""


@dataclass(frozen=True)
class EntryPoint:
    """One function of the file; all of a plan share their module's weights."""

    name: str
    depth: int | None
    """How often the repeated block runs; None where there is no dial."""
    module: nn.Module
    """Takes the inputs in order and returns a tuple of the outputs."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    held_out: tuple[Arrays, ...]
    """Inputs that neither training nor calibration saw; parity is proved on them."""
    calibration: tuple[Arrays, ...] = ()
    """Typical inputs, from training data; they set the ranges of static int8."""

    @property
    def example(self) -> tuple[Tensor, ...]:
        """The first held-out inputs, in the module's order."""
        return tuple(torch.from_numpy(self.held_out[0][t.name]) for t in self.inputs)


@dataclass(frozen=True)
class TaskMetric:
    """The task's own measure of a file, beside that of the source module."""

    name: str
    """As in `tiedge evaluate --json`."""
    value: float
    reference_value: float
    loss: float
    """How much worse the file is; negative where it is better."""
    n: int
    data: str
    conditions: str


@dataclass(frozen=True)
class Plan:
    """Everything that the exporters, the audit, parity and the pack step ask for."""

    name: str
    task: str
    summary: str
    entry_points: tuple[EntryPoint, ...]
    source: tuple[SourceWeight, ...]
    """Each distinct parameter once; the audit holds the files against these."""
    quantization: str
    """The scheme of the file of precision int8: "static" or "dynamic"."""
    int8_snr_floor_db: float
    """Least signal-to-noise ratio of a file that computes in int8."""
    int8_metric_loss: float
    """How much worse a file of less than fp32 may be on the task's metric."""
    measure: Callable[[Bundle, Engine], TaskMetric] | None
    """Measures the task's metric on held-out data; None where there is no task."""
    facts: Mapping[str, Any]
    """The parts of bundle.json that only the recipe knows: depths, states, picture,
    speech, source, licence, training_data."""
    card: str
    """CARD.md up to the measured tables."""
    loop: Loop | None = None
    """How the entry points make one network of many depths; None without a dial."""
    asked: tuple[Arrays, ...] = ()
    """With a loop, held-out inputs of it as a whole; parity is proved on them at every
    depth."""


def source_weights(module: nn.Module) -> tuple[SourceWeight, ...]:
    """Return each distinct parameter of the module once, by storage.

    Its first name counts; the others are aliases. Buffers are no weights.
    """
    names: dict[tuple[int, int, tuple[int, ...]], list[str]] = {}
    values: dict[tuple[int, int, tuple[int, ...]], NDArray[Any]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        storage = parameter.untyped_storage().data_ptr()
        key = (storage, int(parameter.storage_offset()), tuple(parameter.shape))
        names.setdefault(key, []).append(name)
        values[key] = parameter.detach().cpu().numpy()
    return tuple(
        SourceWeight(known[0], tuple(known[1:]), values[key])
        for key, known in names.items()
    )


def graph_weights(graphs: Mapping[str, nn.Module]) -> tuple[SourceWeight, ...]:
    """Return each distinct tensor that the graphs of entry points hold once.

    A name that stands for two tensors has the entry point's before it.
    """
    held: dict[Hashable, list[tuple[str, str]]] = {}
    values: dict[Hashable, NDArray[Any]] = {}
    for entry, graph in graphs.items():
        for name, tensor in (
            *graph.named_parameters(remove_duplicate=False),
            *graph.named_buffers(remove_duplicate=False),
        ):
            key = identity(tensor)
            held.setdefault(key, []).append((entry, name))
            values[key] = tensor.detach().cpu().numpy()
    n_weights = Counter(
        name for names in held.values() for name in {n for _, n in names}
    )
    found = []
    for key, places in held.items():
        names = dict.fromkeys(
            name if n_weights[name] == 1 else f"{entry}/{name}"
            for entry, name in places
        )
        first, *others = names
        found.append(SourceWeight(first, tuple(others), values[key]))
    return tuple(found)


def shared_names(modules: Iterable[nn.Module]) -> tuple[tuple[str, ...], ...]:
    """Return the names of each parameter that stands at several places."""
    names: dict[Hashable, dict[str, None]] = {}
    for module in modules:
        for name, tensor in module.named_parameters(remove_duplicate=False):
            names.setdefault(identity(tensor), {})[name] = None
    return tuple(tuple(found) for found in names.values() if len(found) > 1)


def source_facts(
    record: Mapping[str, Any], source: Sequence[SourceWeight]
) -> dict[str, Any]:
    """Return the "source" object of bundle.json, of a checkpoint's record."""
    return {
        "recipe": record["recipe"],
        "settings": record["settings"],
        "revision": record.get("revision"),
        "weights_sha256": weights_sha256(source),
        "step": record.get("step", 0),
        "unique_parameters": sum(int(weight.values.size) for weight in source),
    }


def weights_sha256(source: Sequence[SourceWeight]) -> str:
    """Return one hash over all weights, in their order."""
    total = hashlib.sha256()
    for weight in source:
        total.update(np.ascontiguousarray(weight.values).tobytes())
    return total.hexdigest()
