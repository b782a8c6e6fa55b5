"""Store equal constants of a `.tflite` file once, and prove that nothing changed."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle import Signature, TensorSpec
from edge_runtime.child import answer, run_apart
from edge_runtime.engines import open_engine
from edge_runtime.errors import EngineError, ParityError, SettingError
from edge_runtime.file_cost import EntryPoints, model_file
from edge_runtime.files import replacing
from export.stored_file import StoredFile, read_stored

ENGINE = "litert"
N_INPUTS = 3
"""Random inputs that each entry point is compared on."""
LONGEST_S = 600.0
_SMALL_INTEGERS = ("int8", "uint8", "int16", "bool")
"""Types whose whole range is legal input; wider integers may be indices."""


@dataclass(frozen=True)
class Repair:
    """What a repair did."""

    path: Path
    """The repaired file."""
    bytes: int
    saved_bytes: int
    """Of constants that were copies of others, or that nothing read."""
    n_constants: int
    """How many those were."""
    n_entry_points: int

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.bytes:,} bytes; {self.saved_bytes:,} bytes in"
            f" {self.n_constants} constants were copies, or unread; outputs equal to"
            f" the bit on {ENGINE}, {N_INPUTS} random inputs to each entry point"
            f" ({self.n_entry_points})"
        )


def repair(path: Path, data: bytes, output: Path | None) -> Repair | None:
    """Write the file with each constant once; None, and no file, if it is so already.

    `output` is by default NAME.repaired.tflite beside it, and must not be there then.
    Raises BundleError on a damaged file, SettingError where `output` cannot be
    written, EngineError where LiteRT cannot run the file, and ParityError if an output
    changed; nothing is written then.
    """
    # Late: the schema comes with ai-edge-litert, which some devices lack.
    from export.tflite_rewrite import deduplicate

    before = read_stored(data, "tflite", str(path))
    repaired = deduplicate(data, str(path))
    after = read_stored(repaired, "tflite", str(path))
    if len(after.constants) == len(before.constants):
        return None
    if not before.signatures:
        raise EngineError(f"{path}: has no entry point to compare")
    place = output or path.with_suffix(".repaired.tflite")
    if output is None and place.exists():
        raise SettingError(f"{place}: is there already; name the output with -o")
    with replacing(place) as temporary:
        temporary.write_bytes(repaired)
        prove_equal(path, temporary, before.signatures)
    return Repair(
        place,
        len(repaired),
        _constant_bytes(before) - _constant_bytes(after),
        len(before.constants) - len(after.constants),
        len(before.signatures),
    )


def prove_equal(one: Path, other: Path, entry_points: EntryPoints) -> None:
    """Raise ParityError unless two files give the same bytes for the same inputs."""
    words = (str(one), str(other), json.dumps(entry_points))
    where = f"{one.name}: {ENGINE}"
    difference = run_apart(__name__, words, where, LONGEST_S)
    if difference is not None:
        raise ParityError(
            f"{one.name}: the repaired file gives another {difference}; the file is"
            " left as it was"
        )


def _difference(words: Sequence[str]) -> str | None:
    """Return the first output that differs between two files, None if none does."""
    entry_points = json.loads(words[2])
    one, other = (model_file(Path(p), "tflite", entry_points) for p in words[:2])
    random = np.random.default_rng(0)
    with open_engine(ENGINE, one) as first, open_engine(ENGINE, other) as second:
        for signature in one.signatures:
            for _ in range(N_INPUTS):
                inputs = _inputs(signature, random)
                expected = first.run(signature.name, inputs)
                found = second.run(signature.name, inputs)
                for name, values in expected.items():
                    if values.tobytes() != found[name].tobytes():
                        return f"{signature.name} output {name!r}"
    return None


def _inputs(
    signature: Signature, random: np.random.Generator
) -> dict[str, NDArray[Any]]:
    return {spec.name: _sample(spec, random) for spec in signature.inputs}


def _sample(spec: TensorSpec, random: np.random.Generator) -> NDArray[Any]:
    if spec.dtype.startswith("float"):
        return random.standard_normal(spec.shape).astype(spec.dtype)
    if spec.dtype in _SMALL_INTEGERS:
        return random.integers(-(2**15), 2**15, spec.shape).astype(spec.dtype)
    return random.integers(0, 2, spec.shape).astype(spec.dtype)


def _constant_bytes(file: StoredFile) -> int:
    return sum(len(constant.data) for constant in file.constants)


if __name__ == "__main__":
    answer(lambda: _difference(sys.argv[1:]))
