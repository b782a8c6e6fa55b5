"""A file of `export.side_by_side`, run in a process that holds the engine alone.

Reads `model.tflite` or `model.pte`, `case.json` and `case.npz` of a folder; writes
`outputs.npz` and `run.json`.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle_parts import ModelFile, Sharing, Signature, TensorSpec
from edge_runtime.engines import open_engine
from edge_runtime.errors import TiedgeError
from edge_runtime.native import build

STATM = Path("/proc/self/statm")

Arrays = Sequence[NDArray[Any]]
Run = Callable[[str, Arrays], Arrays]
"""Takes entry point and inputs in order, gives the outputs in order."""


def measure(format: str, folder: Path) -> None:
    """Load and run the folder's file; memory is that after the first run, less before.

    One thread; both exporters' files run on the same engine.
    """
    signatures = _signatures(folder / "case.json")
    with np.load(folder / "case.npz") as arrays:
        cases = {s.name: list(_cases(arrays, s)) for s in signatures}
    opened = _open_tflite if format == "tflite" else _open_pte
    path = folder / f"model.{format}"
    load, engine, version = opened(path, signatures)
    before = _resident_bytes()
    run = load()
    outputs = {
        f"{name}/{n}/{i}": values
        for name, found in cases.items()
        for n, inputs in enumerate(found[:1])
        for i, values in enumerate(run(name, inputs))
    }
    ram = _resident_bytes() - before
    for name, found in cases.items():
        for n, inputs in enumerate(found):
            for i, values in enumerate(run(name, inputs)):
                outputs[f"{name}/{n}/{i}"] = values
    np.savez(folder / "outputs.npz", **outputs)  # type: ignore[arg-type]
    told = {"engine": engine, "engine_version": version, "ram_bytes": ram}
    (folder / "run.json").write_text(json.dumps(told), encoding="utf-8")


def _signatures(path: Path) -> list[Signature]:
    told = json.loads(path.read_text(encoding="utf-8"))
    return [
        Signature(
            one["name"],
            None,
            *(tuple(_spec(tensor) for tensor in one[r]) for r in ("inputs", "outputs")),
        )
        for one in told
    ]


def _spec(tensor: Mapping[str, Any]) -> TensorSpec:
    shape = tuple(tensor["shape"])
    return TensorSpec(tensor["name"], tensor["dtype"], shape, "", None, None, None)


def _cases(arrays: Mapping[str, Any], signature: Signature) -> Iterator[Arrays]:
    n = 0
    while f"{signature.name}/{n}/0/input" in arrays:
        yield [
            arrays[f"{signature.name}/{n}/{i}/input"]
            for i in range(len(signature.inputs))
        ]
        n += 1


def _resident_bytes() -> int:
    pages = int(STATM.read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


Opened = tuple[Callable[[], Run], str, str]
"""What loads the file, once the engine's libraries are in memory; engine, version."""


def _open_tflite(path: Path, signatures: Sequence[Signature]) -> Opened:
    from ai_edge_litert.interpreter import Interpreter

    specs = {signature.name: signature for signature in signatures}

    def load() -> Run:
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        runners = {name: interpreter.get_signature_runner(name) for name in specs}

        def run(name: str, inputs: Arrays) -> Arrays:
            runner = runners[name]
            found = runner.get_input_details(), runner.get_output_details()
            given = {
                spec.name: _to_integers(found[0][spec.name], values)
                for spec, values in zip(specs[name].inputs, inputs, strict=True)
            }
            outputs = runner(**given)
            return [
                _to_numbers(found[1][spec.name], outputs[spec.name])
                for spec in specs[name].outputs
            ]

        return run

    return load, "litert", importlib.metadata.version("ai-edge-litert")


def _to_integers(detail: Mapping[str, Any], values: NDArray[Any]) -> NDArray[Any]:
    """Return what a quantized input takes; any other one takes the values."""
    scale, zero_point = detail["quantization"]
    if not scale or values.dtype == detail["dtype"]:
        return values
    limits = np.iinfo(detail["dtype"])
    codes = np.clip(np.round(values / scale) + zero_point, limits.min, limits.max)
    return np.asarray(codes, dtype=detail["dtype"])


def _to_numbers(detail: Mapping[str, Any], values: NDArray[Any]) -> NDArray[Any]:
    scale, zero_point = detail["quantization"]
    if not scale or values.dtype == np.float32:
        return values.copy()
    return np.asarray((values.astype(np.float32) - zero_point) * scale, np.float32)


def _open_pte(path: Path, signatures: Sequence[Signature]) -> Opened:
    ctypes.CDLL(str(build.build()))
    nothing = Sharing(0, 0, 0, 0, ())
    model = ModelFile(
        path=path,
        bytes=path.stat().st_size,
        sha256="",
        format="pte",
        precision="",
        quantization="",
        converters={},
        signatures=tuple(signatures),
        loop=None,
        sharing=nothing,
        parity=(),
        metrics=(),
    )
    specs = {signature.name: signature for signature in signatures}

    def load() -> Run:
        engine = open_engine("executorch", model)

        def run(name: str, inputs: Arrays) -> Arrays:
            names = [spec.name for spec in specs[name].inputs]
            found = engine.run(name, dict(zip(names, inputs, strict=True)))
            return [found[spec.name] for spec in specs[name].outputs]

        return run

    return load, "executorch", build.find_wheel().version


if __name__ == "__main__":
    try:
        measure(sys.argv[1], Path(sys.argv[2]))
    except (TiedgeError, RuntimeError, ValueError) as error:
        print(" ".join(str(error).split())[:300], file=sys.stderr)
        sys.exit(1)
