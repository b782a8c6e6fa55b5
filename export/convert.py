"""Any PyTorch module to a bundle: right, every weight once, or refused."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edge_runtime.bundle import Bundle
from edge_runtime.bundle_reader import NAME
from edge_runtime.errors import ModuleError, SettingError
from export.inputs import Inputs, arrays_of, by_parameter, drawn_like, fitting, spec_of
from export.interrupt import Say, heeding
from export.order import FORMATS, OWN_RECIPE, PRECISIONS, USUAL_PRECISIONS, Order
from export.output_folder import check_output
from export.own_dial import Dial, dial_points
from export.pack import export_bundle
from export.plan import Arrays, EntryPoint, Plan, graph_weights, weights_sha256
from export.prepare import prepare
from export.trial import evaluated, outputs_of

N_FRESH = 4
"""Inputs, beside the example, that every file is compared on."""
INT8_SNR_FLOOR_DB = 20.0
NOT_STATED = "not stated"


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
    calibration: Sequence[Inputs] | None = None
    """Typical inputs; they set the ranges of static int8, which all entries then need.
    Without any, int8 is dynamic."""
    held_out: Sequence[Inputs] = ()
    """Inputs to compare on; without, numbers are drawn as those of example and
    calibration spread."""
    outputs: Sequence[str] = ()
    """Names; without, y0, y1, …"""
    states: Sequence[State] = ()


def convert(
    entries: Entry | Mapping[str, Entry] | Dial,
    output: str | Path,
    *,
    formats: Sequence[str] = FORMATS,
    precisions: Sequence[str] = USUAL_PRECISIONS,
    allow_duplicates: bool = False,
    licence: str = NOT_STATED,
    seed: int = 0,
    say: Say = lambda line: print(line, file=sys.stderr),
) -> Bundle:
    """Return the bundle that was written to the folder `output`.

    Every file in it was loaded, and compared with the modules on inputs that the
    conversion did not see; its sharing report stands in `bundle.models[…].sharing`.
    Modules are exported in eval mode, and are left in their own. Of PRECISIONS, fp16,
    int8-weight and int4-weight change how weights are stored and nothing else; int8
    is static where the entries have calibration inputs, else dynamic as int8-dynamic
    is. A bundle that stands in `output` is replaced when all went well. An interrupt
    is taken between two files, for a converter would swallow it. A Dial makes one file
    of many depths.

    Raises ModuleError for a module that cannot be traced, for inputs that do not fit
    and for calibration inputs that are missing, SettingError for a format, precision
    or folder that cannot be had, SharingError for a file that would hold a weight more
    than once, ParityError for one that does not compute what the module does, and
    EngineError for one that an engine does not load.
    """
    folder = Path(output)
    order = Order(
        folder,
        _legal("formats", formats, FORMATS),
        _legal("precisions", precisions, PRECISIONS),
        allow_duplicates,
    )
    modules = modules_of(entries)
    check_output(folder)
    with evaluated(modules), heeding(say) as heed:
        return export_bundle(own_plan(entries, folder, licence, seed), order, heed)


def modules_of(entries: Entry | Mapping[str, Entry] | Dial) -> Sequence[nn.Module]:
    """Return the modules of entries, which are checked as `by_name` does."""
    if isinstance(entries, Dial):
        return entries.modules
    return [entry.module for entry in by_name(entries).values()]


def by_name(entries: Entry | Mapping[str, Entry]) -> Mapping[str, Entry]:
    """Return entries by name, checked as far as can be without running a module."""
    named = {"forward": entries} if isinstance(entries, Entry) else entries
    if not isinstance(named, Mapping):
        raise ModuleError(
            f"entries: found {type(named).__name__}, expected export.convert.Entry,"
            " several by name, or export.own_dial.Dial"
        )
    for name, entry in named.items():
        if not isinstance(entry, Entry):
            raise ModuleError(
                f"{name}: found {type(entry).__name__}, expected export.convert.Entry"
            )
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            raise ModuleError(
                f"entry point {name!r}: expected letters, digits, dots, dashes and"
                " underscores"
            )
    if not named:
        raise ModuleError("no entry points, expected at least one Entry")
    calibrated = [name for name, entry in named.items() if entry.calibration]
    for name, entry in named.items():
        if entry.calibration is None and not calibrated:
            continue
        if not entry.calibration:
            others = f", and {calibrated[0]!r} has some" if calibrated else ""
            raise ModuleError(
                f"{name}: its calibration inputs are missing{others}; static int8 needs"
                " them for every entry point, dynamic int8 for none"
            )
    return named


def _legal(what: str, found: Sequence[str], legal: Sequence[str]) -> tuple[str, ...]:
    if isinstance(found, str):  # which is a sequence of letters
        found = (found,)
    if not found:
        raise SettingError(f"{what}: found none, expected some of {' '.join(legal)}")
    for name in found:
        if name not in legal:
            raise SettingError(
                f"{what}: found {name!r}, expected some of {' '.join(legal)}"
            )
    return tuple(dict.fromkeys(found))


def own_plan(
    entries: Entry | Mapping[str, Entry] | Dial,
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
    rng = np.random.default_rng(seed)
    dial = None
    entries = entries if isinstance(entries, Dial) else by_name(entries)
    if isinstance(entries, Dial):
        dial = dial_points(entries, rng)
        points, states = dial.points, []
    else:
        points = tuple(_entry_point(key, entry, rng) for key, entry in entries.items())
        states = _states(points, entries)
    graphs = prepare({point.name: (point.module, point.example) for point in points})
    source = graph_weights(graphs)
    if not source:
        raise ModuleError(f"{name}: holds no weights, expected at least one")
    static = all(point.calibration for point in points)
    kinds = dict.fromkeys(type(module).__name__ for module in modules_of(entries))
    return Plan(
        name=name,
        task="model",
        summary=f"{', '.join(kinds)} of your own",
        entry_points=points,
        source=source,
        quantization="static" if static else "dynamic",
        int8_snr_floor_db=INT8_SNR_FLOOR_DB,
        int8_metric_loss=0.0,
        measure=None,
        facts={
            "depths": [] if dial is None else list(dial.loop.depths),
            "states": states,
            "picture": None,
            "speech": None,
            "source": {
                "recipe": OWN_RECIPE,
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
        loop=None if dial is None else dial.loop,
        asked=() if dial is None else dial.asked,
    )


def _states(
    points: Sequence[EntryPoint], entries: Mapping[str, Entry]
) -> list[dict[str, Any]]:
    """Return the states of all entry points, each once."""
    found: dict[str, dict[str, Any]] = {}
    for point, entry in zip(points, entries.values(), strict=True):
        taken = {state.input for state in entry.states}
        if len(taken) < len(entry.states):
            raise ModuleError(
                f"{point.name}: {len(entry.states)} states for inputs"
                f" {' '.join(sorted(taken))}, expected one for each"
            )
        found |= {state.input: _state(point, state) for state in entry.states}
    return list(found.values())


def _entry_point(name: str, entry: Entry, rng: np.random.Generator) -> EntryPoint:
    example = arrays_of(name, entry.example)
    if isinstance(entry.example, Mapping):
        example = by_parameter(name, entry.module, example)
    given = [fitting(name, example, inputs) for inputs in entry.held_out]
    typical = [fitting(name, example, inputs) for inputs in entry.calibration or ()]
    fresh = given or [drawn_like([example, *typical], rng) for _ in range(N_FRESH)]
    results = outputs_of(name, entry.module, example)
    _check_whole(name, entry, example, results)
    names = entry.outputs or [f"y{i}" for i in range(len(results))]
    if len(names) != len(results):
        raise ModuleError(
            f"{name}: {len(names)} names of outputs, the module gives {len(results)}"
        )
    if len(set(names)) < len(names):
        raise ModuleError(
            f"{name}: outputs are named {' '.join(names)}, expected different names"
        )
    return EntryPoint(
        name=name,
        depth=None,
        module=entry.module,
        inputs=tuple(spec_of(n, v) for n, v in example.items()),
        outputs=tuple(
            spec_of(n, values) for n, values in zip(names, results, strict=True)
        ),
        held_out=(example, *fresh),
        calibration=tuple(typical),
    )


def _check_whole(
    name: str, entry: Entry, example: Arrays, results: Sequence[NDArray[Any]]
) -> None:
    """Raise ModuleError where 64 bits give other numbers than the engines' 32."""
    wide = arrays_of(name, entry.example, narrow=False)
    if all(wide[key].dtype == example[key].dtype for key in example):
        return
    exact = outputs_of(name, entry.module, {key: wide[key] for key in example})
    for number, (one, other) in enumerate(zip(results, exact, strict=True)):
        if not np.allclose(one, other, rtol=1e-4, atol=1e-6):
            raise ModuleError(
                f"{name}: output {number} is another one for int64 inputs than for"
                " int32, which the engines take; keep what it computes within 32 bits"
            )


def _state(point: EntryPoint, state: State) -> dict[str, Any]:
    what = f"{point.name}: state {state.input!r} to {state.output!r}"
    inputs = {spec.name: spec for spec in point.inputs}
    outputs = {spec.name: spec for spec in point.outputs}
    if state.input not in inputs or state.output not in outputs:
        raise ModuleError(
            f"{what}, expected an input of {' '.join(inputs)} and an output of"
            f" {' '.join(sorted(outputs))}; names come from an example that is a"
            " dictionary, and from outputs="
        )
    spec, given = inputs[state.input], outputs[state.output]
    if (spec.shape, spec.dtype) != (given.shape, given.dtype):
        raise ModuleError(
            f"{what}: takes {spec.dtype} {spec.shape} and gives {given.dtype}"
            f" {given.shape}, expected one like the other"
        )
    if not math.isfinite(state.reset):
        raise ModuleError(f"{what}: reset is {state.reset}, expected a number")
    return {
        "input": state.input,
        "output": state.output,
        "shape": list(spec.shape),
        "dtype": spec.dtype,
        "reset": state.reset,
    }
