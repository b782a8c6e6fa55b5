"""A dial of the user's own modules: one step, run as often as is asked for."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_runtime.bundle_parts import Loop, TensorSpec
from edge_runtime.errors import ModuleError
from export.dial import with_inputs
from export.inputs import arrays_of, drawn_like, fitting, spec_of
from export.layout import CHANNELS_FIRST, CHANNELS_LAST
from export.plan import Arrays, EntryPoint
from export.trial import outputs_of

N_FRESH = 2
"""Inputs, beside the example, that every depth is compared on."""
STREAM, POSITION, EXIT = "stream", "position", "exit"


@dataclass(frozen=True)
class Dial:
    """One network of many depths, in one file whose size and memory no depth changes.

    `before` gives the stream, `step` takes one and gives the next, `after` makes the
    outputs. The names of their arguments tell what they get: `stream`; in `step`,
    `position`, int32 of shape (1,), the number of steps before it; in `after`, `exit`,
    int32 of shape (1,), the place of the depth in `depths`; and any input of `example`.
    """

    before: nn.Module
    step: nn.Module
    after: nn.Module
    example: Mapping[str, Tensor]
    """What the network takes from outside."""
    depths: Sequence[int]
    """How many steps are on offer, rising."""
    calibration: Sequence[Mapping[str, Tensor]] = ()
    """Typical inputs; they set the ranges of static int8, one for all steps."""
    held_out: Sequence[Mapping[str, Tensor]] = ()
    """Inputs to compare on; without, numbers are drawn as those of example and
    calibration spread."""

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The three parts."""
        return self.before, self.step, self.after


@dataclass(frozen=True)
class DialPoints:
    """The entry points of a dial, and how they make one network."""

    points: tuple[EntryPoint, ...]
    loop: Loop
    asked: tuple[Arrays, ...]


def dial_points(dial: Dial, rng: np.random.Generator) -> DialPoints:
    """Return the entry points of a dial, with the inputs that they meet in it.

    Raises ModuleError for depths that do not rise, arguments that nothing fits, and a
    step whose stream has another type or shape than the one that it took.
    """
    depths = _depths(dial.depths)
    asked = arrays_of("example", dial.example)
    for name in (STREAM, POSITION, EXIT):
        if name in asked:
            raise ModuleError(
                f"example: input {name!r}, which is a dial's own; choose another name"
            )
    known: Arrays = {
        **asked,
        POSITION: np.zeros(1, np.int32),
        EXIT: np.zeros(1, np.int32),
    }
    before, streams = _point(
        "before", dial.before, known, without=(STREAM, POSITION, EXIT)
    )
    stream = _stream(before)
    known[STREAM] = streams[0]
    step, _ = _point("step", dial.step, known, without=(EXIT,))
    following = _stream(step)
    if (following.dtype, following.shape) != (stream.dtype, stream.shape):
        raise ModuleError(
            f"step: gives {following.dtype} {following.shape} for a stream of"
            f" {stream.dtype} {stream.shape}, expected another like it"
        )
    after, _ = _point("after", dial.after, known, without=(POSITION,))
    if _convolves(dial.step, streams[0].shape, step, known):
        before, step, after = (_with_pixels(part) for part in (before, step, after))
    for name, point in (("step", step), ("after", after)):
        if STREAM not in {tensor.name for tensor in point.inputs}:
            raise ModuleError(f"{name}: takes no argument {STREAM!r}, expected one")
    told = {t.name for t in step.inputs}, {t.name for t in after.inputs}
    loop = Loop(
        before="before",
        step="step",
        after="after",
        stream=STREAM,
        position=POSITION if POSITION in told[0] else None,
        exit=EXIT if EXIT in told[1] else None,
        depths=depths,
    )
    given = [fitting("held_out", asked, inputs) for inputs in dial.held_out]
    typical = [fitting("calibration", asked, inputs) for inputs in dial.calibration]
    fresh = given or [drawn_like([asked, *typical], rng) for _ in range(N_FRESH)]
    proved = (asked, *fresh)
    points = with_inputs((before, step, after), loop, proved, typical)
    return DialPoints(points, loop, proved)


def _depths(found: Sequence[int]) -> tuple[int, ...]:
    try:
        depths = tuple(operator.index(depth) for depth in found)
    except TypeError:  # no sequence, or not of whole numbers
        depths = ()
    if not depths or list(depths) != sorted({d for d in depths if d > 0}):
        raise ModuleError(
            f"depths: found {found}, expected rising whole numbers from 1"
        )
    return depths


def _point(
    name: str, module: nn.Module, known: Arrays, without: Sequence[str]
) -> tuple[EntryPoint, list[NDArray[Any]]]:
    """Return a part without its inputs, and what it gives for the known ones."""
    arguments = list(inspect.signature(module.forward).parameters)
    names = [key for key in known if key not in without]
    for argument in arguments:
        if argument not in names:
            raise ModuleError(
                f"{name}: forward takes {argument!r}, expected some of"
                f" {' '.join(names)}"
            )
    inputs = {argument: known[argument] for argument in arguments}
    results = outputs_of(name, module, inputs)
    point = EntryPoint(
        name=name,
        depth=None,
        module=module,
        inputs=tuple(spec_of(key, values) for key, values in inputs.items()),
        outputs=tuple(
            spec_of(f"y{i}" if name == "after" else f"next_{STREAM}", values)
            for i, values in enumerate(results)
        ),
        held_out=(),
    )
    return point, results


def _convolves(
    module: nn.Module, stream: tuple[int, ...], step: EntryPoint, known: Arrays
) -> bool:
    """Return whether a step convolves its stream as it is: (B, C, Y, X)."""
    met: set[tuple[int, ...]] = set()
    hooks = [
        layer.register_forward_pre_hook(lambda _, args: met.add(tuple(args[0].shape)))
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    try:
        outputs_of(step.name, module, {t.name: known[t.name] for t in step.inputs})
    finally:
        for hook in hooks:
            hook.remove()
    return stream in met and min(stream[1:]) > 1


def _with_pixels(part: EntryPoint) -> EntryPoint:
    """Return a part whose stream lies in memory as engines convolve it: (B, Y, X, C).

    As (B, C, Y, X) it would be transposed at both ends of every step.
    """

    def turned(tensors: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
        return tuple(
            replace(t, shape=tuple(t.shape[axis] for axis in CHANNELS_LAST.inward))
            if t.name in (STREAM, f"next_{STREAM}")
            else t
            for t in tensors
        )

    takes = tuple(t.name == STREAM for t in part.inputs)
    gives = tuple(t.name == f"next_{STREAM}" for t in part.outputs)
    return replace(
        part,
        module=_WithPixels(part.module, takes, gives),
        inputs=turned(part.inputs),
        outputs=turned(part.outputs),
    )


class _WithPixels(nn.Module):
    """A part of a dial that takes or gives a stream as (B, Y, X, C)."""

    def __init__(
        self, part: nn.Module, takes: Sequence[bool], gives: Sequence[bool]
    ) -> None:
        super().__init__()
        self.part = part
        self.takes, self.gives = takes, gives

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        inward, outward = CHANNELS_FIRST.inward, CHANNELS_FIRST.outward
        outputs = self.part(
            *(
                tensor.permute(inward) if stream else tensor
                for tensor, stream in zip(inputs, self.takes, strict=True)
            )
        )
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        return tuple(
            tensor.permute(outward) if stream else tensor
            for tensor, stream in zip(outputs, self.gives, strict=True)
        )


def _stream(point: EntryPoint) -> TensorSpec:
    if len(point.outputs) != 1:
        raise ModuleError(
            f"{point.name}: gives {len(point.outputs)} tensors, expected the stream"
            " alone"
        )
    return point.outputs[0]
