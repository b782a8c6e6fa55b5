"""PyTorch entry points to one `.tflite` that holds every weight once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from edge_runtime.errors import SharingError, missing_package
from export.bias_terms import part_unlike_biases
from export.layout import CHANNELS_LAST, prefer
from export.lift import kernels_of_both_kinds, lift
from export.plan import Arrays, EntryPoint, Plan
from export.prepare import prepare
from export.quiet import quiet
from export.tflite_bake import bake
from export.tflite_rewrite import (
    copy_passthroughs,
    deduplicate,
    rename_signature_tensors,
)

SETTINGS = {
    "LITERT_TORCH_SHOW_PROGRESS": "0",
    # The default weighs layouts by the number of tensors, not by their size: a few
    # factors as inputs, and it transposes the whole picture around every convolution.
    "LAYOUT_OPTIMIZE_PARTITIONER": "GREEDY",
}
"""Environment variables that litert-torch (0.10.0) reads."""


@dataclass(frozen=True)
class TfliteDraft:
    """A `.tflite` some of whose constants are inputs still."""

    data: bytes
    lifted: Mapping[str, Arrays]
    """By entry point, the inputs that are to be constants, and their values."""

    def finish(self) -> bytes:
        """Return the file, every constant in its place and stored once."""
        return deduplicate(copy_passthroughs(bake(self.data, self.lifted)))


def to_tflite(plan: Plan, *, biases_apart: bool = False) -> TfliteDraft:
    """Return the plan's entry points as fp32 `.tflite`, tensors named as planned.

    With `biases_apart`, `part_unlike_biases` has had the graphs, for static int8.
    Raises ModuleError where a module cannot be traced, SharingError where the converter
    refuses it.
    """
    os.environ.update(SETTINGS)
    try:
        with quiet():
            import litert_torch
    except ImportError as error:
        raise missing_package("litert-torch", "export") from error
    examples = {entry.name: entry.example for entry in plan.entry_points}
    graphs = prepare({e.name: (e.module, e.example) for e in plan.entry_points})
    if biases_apart:
        part_unlike_biases(graphs, plan)
    for graph in graphs.values():
        prefer(graph, CHANNELS_LAST)
    both = kernels_of_both_kinds(list(graphs.values()))
    lifted = {name: lift(graph, both) for name, graph in graphs.items()}
    with (
        quiet(),
        _infinities_kept(graphs.values()),
        tempfile.TemporaryDirectory() as folder,
    ):
        converter = litert_torch
        for name, graph in graphs.items():
            inputs = (*examples[name], *(one.value for one in lifted[name]))
            converter = converter.signature(name, graph, inputs)
        try:
            path = Path(folder) / "model.tflite"
            converter.convert().export(str(path))
        except Exception as error:  # an exporter raises whatever it likes
            raise SharingError(
                f"{plan.name}: litert-torch cannot convert it:"
                f" {' '.join(str(error).split())[:300]}"
            ) from error
        data = path.read_bytes()
    names = {
        entry.name: _names(entry, [one.name for one in lifted[entry.name]])
        for entry in plan.entry_points
    }
    values = {
        name: {one.name: np.asarray(one.value.numpy()) for one in found}
        for name, found in lifted.items()
    }
    return TfliteDraft(rename_signature_tensors(data, names), values)


@contextmanager
def _infinities_kept(graphs: Iterable[nn.Module]) -> Iterator[None]:
    """Give infinite weights, such as those of a mask, their numbers back.

    litert-torch (0.10.0) writes the largest finite ones over them, in the very tensors
    that the user's module holds.
    """
    kept = [
        (weight, weight.detach().clone())
        for graph in graphs
        for weight in (*graph.parameters(), *graph.buffers())
        if weight.is_floating_point() and not weight.isfinite().all()
    ]
    try:
        yield
    finally:
        for weight, numbers in kept:
            weight.data.copy_(numbers)


def _names(entry: EntryPoint, lifted: list[str]) -> dict[str, str]:
    """Return the converter's tensor names, mapped to the plan's."""
    inputs = [*(tensor.name for tensor in entry.inputs), *lifted]
    renamed = {f"args_{i}": name for i, name in enumerate(inputs)}
    return renamed | {f"output_{i}": t.name for i, t in enumerate(entry.outputs)}
