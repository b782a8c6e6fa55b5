"""What a model file of any origin costs in RAM, in a process that does nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_runtime.bundle import ModelFile, Signature, TensorSpec
from edge_runtime.bundle_parts import DTYPE_BYTES, UNNAMED_LETTERS, Sharing
from edge_runtime.child import answer, run_apart
from edge_runtime.engines import open_engine
from edge_runtime.errors import EngineError
from edge_runtime.first_run import own_peak_bytes
from edge_runtime.packed_bytes import measure_packed
from edge_runtime.sample_inputs import sample_inputs

BYTES_PER_KB, BYTES_PER_MB = 10**3, 10**6
LONGEST_S = 300.0
"""A file that takes longer to load and run is not waited for."""

Tensors = Sequence[tuple[str, str, Sequence[int]]]
"""Name, type and shape of each."""
EntryPoints = dict[str, tuple[Tensors, Tensors]]
"""Name to inputs and outputs."""


@dataclass(frozen=True)
class FileCost:
    """Memory of a process that opens a file and runs each entry point once."""

    packed_bytes: int | None
    """What the engine keeps for weights, as `measure_packed` has it."""
    peak_rss_bytes: int | None
    """Resident memory at its highest, Python and the engine's libraries included."""


def measure_file(
    path: Path, model_format: str, engine: str, entry_points: EntryPoints
) -> FileCost:
    """Return what a model file costs on an engine, one thread, made-up inputs.

    Raises EngineError where the engine refuses the file, crashes, or takes longer than
    LONGEST_S.
    """
    words = (str(path), model_format, engine, json.dumps(entry_points))
    found = run_apart(__name__, words, f"{path.name}: {engine}", LONGEST_S)
    return FileCost(**found)


def model_file(path: Path, model_format: str, entry_points: EntryPoints) -> ModelFile:
    """Return the record by which an engine opens a file without a bundle.

    Raises EngineError for a tensor of a type that no engine takes.
    """
    signatures = tuple(
        Signature(name, None, _specs(path, inputs), _specs(path, outputs))
        for name, (inputs, outputs) in entry_points.items()
    )
    return ModelFile(
        path=path.resolve(),
        bytes=path.stat().st_size,
        sha256="",
        format=model_format,
        precision="fp32",
        quantization="none",
        converters={},
        signatures=signatures,
        loop=None,
        sharing=Sharing(0, 0, 0, 0, ()),
        parity=(),
        metrics=(),
    )


def measure_here(words: Sequence[str]) -> dict[str, Any]:
    """Measure what `words` say, in this process; return FileCost's fields."""
    path, model_format, name, entry_points = words
    model = model_file(Path(path), model_format, json.loads(entry_points))
    with open_engine(name, model) as engine:
        for signature in model.signatures:
            engine.run(signature.name, sample_inputs(signature, seed=0))
    peak = own_peak_bytes()
    return asdict(FileCost(measure_packed(name, model), peak))


def _specs(path: Path, tensors: Tensors) -> tuple[TensorSpec, ...]:
    for name, dtype, _ in tensors:
        if dtype not in DTYPE_BYTES:
            raise EngineError(
                f'{path.name}: tensor "{name}" is {dtype}, expected one of'
                f" {' '.join(DTYPE_BYTES)}"
            )
    return tuple(
        TensorSpec(
            name, dtype, tuple(shape), UNNAMED_LETTERS[: len(shape)], None, None, None
        )
        for name, dtype, shape in tensors
    )


def size_text(n_bytes: int) -> str:
    """Return bytes in the unit in which they are seen.

    >>> size_text(85_320_000), size_text(12_300)
    ('85.32 MB', '12.3 KB')
    """
    if n_bytes < BYTES_PER_MB:
        return f"{n_bytes / BYTES_PER_KB:.1f} KB"
    return f"{n_bytes / BYTES_PER_MB:.2f} MB"


if __name__ == "__main__":
    answer(lambda: measure_here(sys.argv[1:]))
