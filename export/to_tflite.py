"""PyTorch entry points to one `.tflite` that holds every weight once."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch

from edge_runtime.errors import SharingError, missing_package
from export.plan import Plan
from export.quiet import quiet
from export.tflite_rewrite import (
    copy_passthroughs,
    deduplicate,
    rename_signature_tensors,
)


def to_tflite(plan: Plan) -> bytes:
    """Return the plan's entry points as fp32 `.tflite`, tensors named as planned.

    Raises SharingError where the converter refuses a module.
    """
    os.environ.setdefault("LITERT_TORCH_SHOW_PROGRESS", "0")
    try:
        with quiet():
            import litert_torch
    except ImportError as error:
        raise missing_package("litert-torch", "export") from error
    example = tuple(torch.from_numpy(plan.held_out[0][t.name]) for t in plan.inputs)
    with quiet(), tempfile.TemporaryDirectory() as folder:
        converter = litert_torch
        for entry in plan.entry_points:
            converter = converter.signature(entry.name, entry.module, example)
        try:
            path = Path(folder) / "model.tflite"
            converter.convert().export(str(path))
        except (RuntimeError, ValueError, NotImplementedError) as error:
            raise SharingError(
                f"{plan.name}: litert-torch cannot convert it:"
                f" {' '.join(str(error).split())[:300]}"
            ) from error
        data = path.read_bytes()
    named = rename_signature_tensors(data, _names(plan))
    return deduplicate(copy_passthroughs(named))


def _names(plan: Plan) -> dict[str, dict[str, str]]:
    """Return the converter's tensor names, mapped to the plan's, by entry point."""
    renamed = {f"args_{i}": tensor.name for i, tensor in enumerate(plan.inputs)}
    renamed |= {f"output_{i}": tensor.name for i, tensor in enumerate(plan.outputs)}
    return {entry.name: renamed for entry in plan.entry_points}
