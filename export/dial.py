"""Depth as a dial, on the side of PyTorch: what each part of a loop meets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_runtime.bundle_parts import Loop, Signature
from edge_runtime.loop import LoopRun
from export.plan import Arrays, EntryPoint


def with_inputs(
    parts: Sequence[EntryPoint],
    loop: Loop,
    held_out: Sequence[Arrays],
    calibration: Sequence[Arrays],
) -> tuple[EntryPoint, ...]:
    """Return a loop's entry points with the inputs that they meet in it.

    `held_out` and `calibration` are inputs of the loop as a whole. Every step of the
    deepest run counts, so that the one range that an activation of the step has in
    static int8 fits all of them.
    """
    proved = [visit for asked in held_out for visit in _visits(parts, loop, asked)]
    typical = [visit for asked in calibration for visit in _visits(parts, loop, asked)]
    return tuple(
        replace(
            part,
            held_out=tuple(inputs for name, inputs in proved if name == part.name),
            calibration=tuple(i for name, i in typical if name == part.name),
        )
        for part in parts
    )


def run_modules(
    parts: Sequence[EntryPoint], loop: Loop, asked: Arrays
) -> dict[int, Arrays]:
    """Return what the modules compute at each depth, by output name."""
    (after,) = (part for part in parts if part.name == loop.after)
    ends = [
        inputs for name, inputs in _visits(parts, loop, asked) if name == loop.after
    ]
    return {
        depth: module_outputs(after, inputs)
        for depth, inputs in zip(loop.depths, ends, strict=True)
    }


@torch.no_grad()
def module_outputs(entry: EntryPoint, inputs: Arrays) -> Arrays:
    """Return what an entry point's module computes, by output name."""
    values = entry.module(*(torch.from_numpy(inputs[t.name]) for t in entry.inputs))
    if isinstance(values, Tensor):
        values = (values,)
    return {
        tensor.name: np.ascontiguousarray(value.numpy())
        for tensor, value in zip(entry.outputs, values, strict=True)
    }


def _visits(
    parts: Sequence[EntryPoint], loop: Loop, asked: Arrays
) -> Iterator[tuple[str, Arrays]]:
    """Yield each part's name and inputs: the deepest run, and every depth's end."""
    by_name = {part.name: part for part in parts}
    signatures = {p.name: Signature(p.name, None, p.inputs, p.outputs) for p in parts}
    runs = {depth: LoopRun(loop, signatures, depth, asked) for depth in loop.depths}
    run = runs[loop.depths[-1]]
    inputs = _named(run.before, run.arguments(run.before))
    yield run.before.name, inputs
    (stream,) = module_outputs(by_name[run.before.name], inputs).values()
    for position in range(run.depth):
        inputs = _named(run.step, run.arguments(run.step, stream, position))
        yield run.step.name, inputs
        (stream,) = module_outputs(by_name[run.step.name], inputs).values()
        if position + 1 in runs:
            ending = runs[position + 1]
            inputs = _named(ending.after, ending.arguments(ending.after, stream))
            yield ending.after.name, inputs


def _named(part: Signature, arguments: Sequence[NDArray[Any]]) -> Arrays:
    return {t.name: a for t, a in zip(part.inputs, arguments, strict=True)}
