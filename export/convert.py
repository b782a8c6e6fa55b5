"""Any PyTorch module to a bundle: right, every weight once, or refused."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_runtime.bundle import Bundle
from edge_runtime.bundle_parts import DTYPE_BYTES, TensorSpec
from edge_runtime.bundle_reader import NAME
from edge_runtime.errors import ModuleError, SettingError
from export.order import FORMATS, PRECISIONS, Order
from export.pack import Say, export_bundle
from export.plan import Arrays, EntryPoint, Plan, graph_weights, weights_sha256
from export.prepare import prepare

N_FRESH = 4
"""Inputs, beside the example, that every file is compared on."""
INT8_SNR_FLOOR_DB = 20.0
NOT_STATED = "not stated"

Inputs = Mapping[str, Tensor] | Sequence[Tensor]
"""Tensors by name, or in order: those are named x0, x1, …"""


@dataclass(frozen=True)
class State:
    """A tensor that a step takes and hands on to the next."""

    input: str
    output: str
    reset: float = 0.0
    """Every element before the first step."""


@dataclass(frozen=True)
class Entry:
    """One entry point of a file: a module, and inputs of the shapes that it will take.

    Entry points share what their modules share. The same module twice, with inputs of
    two sizes, gives a file for both sizes.
    """

    module: nn.Module
    example: Inputs
    calibration: Sequence[Inputs] = ()
    """Typical inputs; they set the ranges of static int8."""
    held_out: Sequence[Inputs] = ()
    """Inputs to compare on; without, numbers like the example's are drawn."""
    outputs: Sequence[str] = ()
    """Names; without, y0, y1, …"""
    states: Sequence[State] = ()


def convert(
    entries: Entry | Mapping[str, Entry],
    output: str | Path,
    *,
    formats: Sequence[str] = FORMATS,
    precisions: Sequence[str] = PRECISIONS,
    allow_duplicates: bool = False,
    licence: str = NOT_STATED,
    seed: int = 0,
    say: Say = lambda line: print(line, file=sys.stderr),
) -> Bundle:
    """Return the bundle that was written to the folder `output`.

    Every file in it was loaded, and compared with the modules on inputs that the
    conversion did not see; its sharing report stands in `bundle.models[…].sharing`.
    Int8 is static where every entry has calibration inputs, else dynamic. A bundle
    that stands in `output` is replaced when all went well.

    Raises ModuleError for a module that cannot be traced and for inputs that do not
    fit, SettingError for a format, precision or folder that cannot be had,
    SharingError for a file that would hold a weight more than once, and ParityError
    for one that does not compute what the module does.
    """
    folder = Path(output)
    order = Order(
        folder,
        _legal("formats", formats, FORMATS),
        _legal("precisions", precisions, PRECISIONS),
        allow_duplicates,
    )
    return export_bundle(own_plan(entries, folder, licence, seed), order, say)


def _legal(what: str, found: Sequence[str], legal: Sequence[str]) -> tuple[str, ...]:
    for name in found:
        if name not in legal:
            raise SettingError(
                f"{what}: found {name!r}, expected some of {' '.join(legal)}"
            )
    return tuple(found)


def own_plan(
    entries: Entry | Mapping[str, Entry],
    output: Path,
    licence: str = NOT_STATED,
    seed: int = 0,
) -> Plan:
    """Return the plan of modules of the user's own; raises as `convert` does."""
    name = output.resolve().name
    if not NAME.fullmatch(name):
        raise SettingError(
            f"{output}: names the bundle; expected letters, digits, dots, dashes and"
            " underscores"
        )
    if isinstance(entries, Entry):
        entries = {"forward": entries}
    rng = np.random.default_rng(seed)
    points = tuple(
        _entry_point(entry_name, entry, rng) for entry_name, entry in entries.items()
    )
    graphs = prepare({point.name: (point.module, _first(point)) for point in points})
    source = graph_weights(graphs)
    states = {
        state.input: _state(point, state)
        for point, entry in zip(points, entries.values(), strict=True)
        for state in entry.states
    }
    static = all(point.calibration for point in points)
    return Plan(
        name=name,
        task="model",
        summary=f"{type(points[0].module).__name__} of your own",
        entry_points=points,
        source=source,
        quantization="static" if static else "dynamic",
        int8_snr_floor_db=INT8_SNR_FLOOR_DB,
        int8_metric_loss=0.0,
        measure=None,
        facts={
            "depths": [],
            "states": list(states.values()),
            "picture": None,
            "speech": None,
            "source": {
                "recipe": "convert",
                "settings": {"seed": seed},
                "revision": None,
                "weights_sha256": weights_sha256(source),
                "step": 0,
                "unique_parameters": sum(int(w.values.size) for w in source),
            },
            "licence": {"code": licence, "weights": licence, "data": [NOT_STATED]},
            "training_data": [NOT_STATED],
        },
        card=f"# {name}\n\nMade by `export.convert` from a PyTorch module.\n",
    )


def _first(point: EntryPoint) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(point.held_out[0][t.name]) for t in point.inputs)


def _entry_point(name: str, entry: Entry, rng: np.random.Generator) -> EntryPoint:
    example = _arrays(name, entry.example)
    module = entry.module.eval()
    given = [_fitting(name, example, inputs) for inputs in entry.held_out]
    fresh = given or [_like(example, rng) for _ in range(N_FRESH)]
    results = _results(name, module, example)
    names = entry.outputs or [f"y{i}" for i in range(len(results))]
    if len(names) != len(results):
        raise ModuleError(
            f"{name}: {len(names)} names of outputs, the module gives {len(results)}"
        )
    return EntryPoint(
        name=name,
        depth=None,
        module=module,
        inputs=tuple(_spec(n, v) for n, v in example.items()),
        outputs=tuple(
            _spec(n, np.asarray(v)) for n, v in zip(names, results, strict=True)
        ),
        held_out=(example, *fresh),
        calibration=tuple(_fitting(name, example, i) for i in entry.calibration),
    )


def _arrays(name: str, inputs: Inputs) -> Arrays:
    if not isinstance(inputs, Mapping):
        inputs = {f"x{i}": tensor for i, tensor in enumerate(inputs)}
    seen: dict[int, str] = {}
    for key, tensor in inputs.items():
        if not isinstance(tensor, Tensor):
            raise ModuleError(
                f"{name}: input {key!r} is {type(tensor).__name__}, expected a tensor"
            )
        # Tracers take one object at two places for one input.
        if tensor.untyped_storage().data_ptr() in seen:
            raise ModuleError(
                f"{name}: inputs {seen[tensor.untyped_storage().data_ptr()]!r} and"
                f" {key!r} are the same tensor; give each its own, as by clone()"
            )
        if tensor.numel():
            seen[tensor.untyped_storage().data_ptr()] = key
    if not inputs:
        raise ModuleError(f"{name}: no example inputs, expected at least one tensor")
    return {key: _array(tensor) for key, tensor in inputs.items()}


def _array(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor's numbers; whole ones in 32 bits, as the engines take them."""
    values = np.ascontiguousarray(tensor.detach().cpu().numpy())
    return values.astype(np.int32) if values.dtype == np.int64 else values


def _fitting(name: str, example: Arrays, inputs: Inputs) -> Arrays:
    found = _arrays(name, inputs)
    for key in example.keys() | found.keys():
        shapes = [
            f"{a[key].dtype} {a[key].shape}" if key in a else "nothing"
            for a in (example, found)
        ]
        if shapes[0] != shapes[1]:
            raise ModuleError(
                f"{name}: input {key!r} is {shapes[1]} in further inputs, and"
                f" {shapes[0]} in the example; they must be alike"
            )
    return found


def _like(example: Arrays, rng: np.random.Generator) -> Arrays:
    """Return numbers drawn like the example's: as they spread, whole ones in range."""
    drawn = {}
    for key, values in example.items():
        if values.dtype.kind in "iub":
            low, high = int(values.min(initial=0)), int(values.max(initial=0))
            drawn[key] = rng.integers(low, high + 1, values.shape).astype(values.dtype)
        else:
            spread = float(values.std()) or 1.0
            noise = rng.normal(float(values.mean()), spread, values.shape)
            drawn[key] = noise.astype(values.dtype)
    return drawn


@torch.no_grad()
def _results(name: str, module: nn.Module, example: Arrays) -> list[NDArray[Any]]:
    try:
        results = module(*(torch.from_numpy(values) for values in example.values()))
    except Exception as error:  # whatever the module raises
        shapes = ", ".join(f"{k} {v.dtype} {v.shape}" for k, v in example.items())
        raise ModuleError(
            f"{name}: fails on the example inputs ({shapes}):"
            f" {' '.join(str(error).split())[:200]}"
        ) from error
    if isinstance(results, Tensor):
        results = (results,)
    if not all(isinstance(result, Tensor) for result in results):
        raise ModuleError(f"{name}: gives {type(results).__name__}, expected tensors")
    return [result.numpy() for result in results]


def _spec(name: str, values: NDArray[Any]) -> TensorSpec:
    dtype = str(values.dtype)
    if dtype not in DTYPE_BYTES:
        raise ModuleError(
            f"tensor {name!r}: found {dtype}, expected one of {' '.join(DTYPE_BYTES)}"
        )
    layout = ascii_lowercase[: values.ndim]
    return TensorSpec(name, dtype, values.shape, layout, None, None, None)


def _state(point: EntryPoint, state: State) -> dict[str, Any]:
    inputs = {spec.name: spec for spec in point.inputs}
    outputs = {spec.name for spec in point.outputs}
    if state.input not in inputs or state.output not in outputs:
        raise ModuleError(
            f"{point.name}: state {state.input!r} to {state.output!r}, expected an"
            f" input of {' '.join(inputs)} and an output of {' '.join(sorted(outputs))}"
        )
    spec = inputs[state.input]
    return {
        "input": state.input,
        "output": state.output,
        "shape": list(spec.shape),
        "dtype": spec.dtype,
        "reset": state.reset,
    }
