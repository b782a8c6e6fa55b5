"""Read a `.tflite` or `.pte` file of any origin into one form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_runtime.errors import SharingError
from edge_runtime.file_cost import EntryPoints
from export.constants import Constant
from export.pte_file import read_pte


@dataclass(frozen=True)
class StoredFile:
    """What a file stores, and what it runs."""

    entry_points: tuple[str, ...]
    constants: tuple[Constant, ...]
    external: tuple[str, ...]
    """Constants that it reads from another file."""
    n_operators: Mapping[str, int]
    """Entry point to how many operators it has."""
    delegates: tuple[str, ...] | None
    """Backends that the file was made for; None for `.tflite`, whose engine chooses."""
    outside: Mapping[str, Mapping[str, int]] | None
    """Entry point to operators that no delegate takes, and how often; None for
    `.tflite`."""
    signatures: EntryPoints
    """What can be called, and with which tensors."""


def read_stored(data: bytes, format: str, where: str | None = None) -> StoredFile:
    """Return what a file holds; `where` begins error messages, by default the format.

    Raises BundleError on a damaged file, SharingError on an unknown format.
    """
    if format == "tflite":
        return _tflite(data, where or "tflite file")
    if format == "pte":
        return _pte(data, where or "pte file")
    raise SharingError(f"format {format!r}: expected tflite or pte")


def counted(operators: Sequence[str]) -> dict[str, int]:
    """Return how often each operator occurs, the most frequent first."""
    return dict(Counter(operators).most_common())


def _tflite(data: bytes, where: str) -> StoredFile:
    # Late: the schema comes with ai-edge-litert, which some devices lack.
    from export.tflite_file import read_tflite

    file = read_tflite(data, where)
    return StoredFile(
        tuple(graph.name for graph in file.graphs),
        file.constants,
        file.external,
        {graph.name: len(graph.operators) for graph in file.graphs},
        None,
        None,
        {
            name: (
                [(n, t.dtype, t.shape) for n, t in inputs.items()],
                [(n, t.dtype, t.shape) for n, t in outputs.items()],
            )
            for name, (inputs, outputs) in file.entry_points.items()
        },
    )


def _pte(data: bytes, where: str) -> StoredFile:
    file = read_pte(data, where)
    return StoredFile(
        file.methods,
        file.constants,
        file.external,
        {method: calls.n_operators for method, calls in file.operators.items()},
        file.delegates,
        {method: counted(calls.kernels) for method, calls in file.operators.items()},
        {
            method: (
                [(f"input_{n}", *argument) for n, argument in enumerate(inputs)],
                [(f"output_{n}", *argument) for n, argument in enumerate(outputs)],
            )
            for method, (inputs, outputs) in file.entry_points.items()
        },
    )
