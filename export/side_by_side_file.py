"""One file of `export.side_by_side`, made in this process: it may be the last thing.

The folder then holds `model.tflite` or `model.pte`; `case.json`, its tensors by entry
point; `case.npz`, inputs and the module's outputs; and `made.json`, what is known of
the file. Where it cannot be made, `failure.txt` says why.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_runtime.errors import TiedgeError
from export.audit import audit
from export.comparison_modules import COMPARISONS, Comparison
from export.convert import Entry, convert
from export.plain_exporters import PlainOrder, plain_pte, plain_tflite
from export.plan import graph_weights
from export.prepare import prepare

PLAIN, TIEDGE = "plain", "tiedge"
FAILURE = "failure.txt"
N_CALIBRATION = 8
N_FRESH = 4
"""Inputs that no exporter saw; the first seeds are the calibration's."""

Tensors = list[dict[str, Any]]


@dataclass(frozen=True)
class Cell:
    """One file that is to be made."""

    module: str
    format: str
    precision: str
    exporter: str


def make_or_tell(cell: Cell, folder: Path) -> None:
    """Fill a folder with a cell's file, or with the reason in one line."""
    try:
        make(cell, folder)
    except Exception as error:  # exporters raise whatever they like
        kind = "" if isinstance(error, TiedgeError) else f"{type(error).__name__}: "
        reason = kind + " ".join(str(error).split())[:300]
        (folder / FAILURE).write_text(reason, encoding="utf-8")


def make(cell: Cell, folder: Path) -> None:
    """Fill a folder with a cell's file; raises whatever the exporter raises."""
    comparison = COMPARISONS[cell.module]
    expected = _write_case(comparison, folder)
    static = "static" if comparison.static else "dynamic"
    graphs = prepare(
        {
            entry: (module, tuple(comparison.inputs(0).values()))
            for entry, module in comparison.modules().items()
        }
    )
    source = graph_weights(graphs)
    made: dict[str, Any] = {
        "scheme": "none" if cell.precision == "fp32" else static,
        "n_parameters": sum(int(weight.values.size) for weight in source),
    }
    _write(folder / "made.json", made)
    path = folder / f"model.{cell.format}"
    if cell.exporter == PLAIN:
        entries = _plain(comparison, cell, expected, path)
    else:
        entries = _tied(comparison, cell, path)
    _write(folder / "case.json", entries)
    data = path.read_bytes()
    report = audit(data, cell.format, source, path.name)
    made |= {
        "file_bytes": len(data),
        "unique_bytes": report.unique_bytes,
        "stored_bytes": report.stored_bytes,
        "duplicate_bytes": report.duplicate_bytes,
    }
    _write(folder / "made.json", made)


@torch.no_grad()
def _write_case(comparison: Comparison, folder: Path) -> dict[str, list[NDArray[Any]]]:
    """Write fresh inputs with the module's outputs; return the last ones by entry."""
    arrays: dict[str, NDArray[Any]] = {}
    last = {}
    for entry, module in comparison.modules().items():
        for n in range(N_FRESH):
            inputs = comparison.inputs(1 + N_CALIBRATION + n)
            outputs = _outputs(module, inputs)
            for i, tensor in enumerate(inputs.values()):
                arrays[f"{entry}/{n}/{i}/input"] = tensor.numpy()
            for i, values in enumerate(outputs):
                arrays[f"{entry}/{n}/{i}/expected"] = values
            last[entry] = outputs
    np.savez(folder / "case.npz", **arrays)  # type: ignore[arg-type]
    return last


def _outputs(module: nn.Module, inputs: Mapping[str, Tensor]) -> list[NDArray[Any]]:
    results = module(*inputs.values())
    if isinstance(results, Tensor):
        results = (results,)
    return [np.ascontiguousarray(result.numpy()) for result in results]


def _plain(
    comparison: Comparison,
    cell: Cell,
    expected: Mapping[str, list[NDArray[Any]]],
    path: Path,
) -> list[dict[str, Any]]:
    """Write the plain exporter's file; return its tensors by entry point."""
    order = PlainOrder(
        comparison.modules(),
        tuple(comparison.inputs(0).values()),
        [tuple(inputs.values()) for inputs in _calibration(comparison)],
        cell.precision,
        comparison.static,
    )
    exporter = plain_tflite if cell.format == "tflite" else plain_pte
    path.write_bytes(exporter(order))
    inputs = [t.numpy() for t in comparison.inputs(0).values()]
    return [
        {
            "name": entry,
            "inputs": _tensors([f"args_{i}" for i in range(len(inputs))], inputs),
            "outputs": _tensors([f"output_{i}" for i in range(len(outputs))], outputs),
        }
        for entry, outputs in expected.items()
    ]


def _tensors(names: list[str], arrays: list[NDArray[Any]]) -> Tensors:
    return [
        {"name": name, "dtype": str(array.dtype), "shape": list(array.shape)}
        for name, array in zip(names, arrays, strict=True)
    ]


def _tied(comparison: Comparison, cell: Cell, path: Path) -> list[dict[str, Any]]:
    """Write tiedge's file; return its tensors by entry point."""
    calibration = _calibration(comparison) if comparison.static else None
    bundle = convert(
        {
            name: Entry(module, comparison.inputs(0), calibration=calibration)
            for name, module in comparison.modules().items()
        },
        path.parent / "bundle",
        formats=(cell.format,),
        precisions=(cell.precision,),
        say=lambda line: None,
    )
    (model,) = bundle.models
    shutil.copyfile(model.path, path)
    return [
        {
            "name": signature.name,
            "inputs": [_spec(tensor) for tensor in signature.inputs],
            "outputs": [_spec(tensor) for tensor in signature.outputs],
        }
        for signature in model.signatures
    ]


def _spec(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)}


def _calibration(comparison: Comparison) -> list[dict[str, Tensor]]:
    return [comparison.inputs(1 + n) for n in range(N_CALIBRATION)]


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
