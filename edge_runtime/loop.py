"""Depth as a dial: one step of a network, run as often as is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_runtime.bundle_parts import Loop, ModelFile, Signature, TensorSpec
from edge_runtime.errors import BundleError

if TYPE_CHECKING:  # a bundle is checked before numpy is imported
    from numpy.typing import NDArray


def calls(model: ModelFile) -> tuple[Signature, ...]:
    """Return what a model file offers to run.

    These are its entry points; of a file with a loop, `depth_N` for each depth N,
    which takes what the parts of the loop take from outside.
    """
    return offered(model.signatures, model.loop)


def find_call(model: ModelFile, name: str) -> Signature:
    """Return the call `name`; raises BundleError naming those there are."""
    known = calls(model)
    for call in known:
        if call.name == name:
            return call
    raise BundleError(
        f'{model.path}: no entry point "{name}", expected one of'
        f" {' '.join(call.name for call in known)}"
    )


def offered(
    signatures: Sequence[Signature], loop: Loop | None
) -> tuple[Signature, ...]:
    """Return the calls of entry points with a loop that fits them, or without one."""
    if loop is None:
        return tuple(signatures)
    parts = {signature.name: signature for signature in signatures}
    before, step, after = (parts[n] for n in (loop.before, loop.step, loop.after))
    inside = {loop.stream, loop.position, loop.exit}
    asked: dict[str, TensorSpec] = {}
    for tensor in before.inputs + step.inputs + after.inputs:
        if tensor.name not in inside:
            asked.setdefault(tensor.name, tensor)
    return tuple(
        Signature(f"depth_{depth}", depth, tuple(asked.values()), after.outputs)
        for depth in loop.depths
    )


@dataclass(frozen=True)
class LoopRun:
    """One run of a loop: which parts, how often, and on what."""

    loop: Loop
    signatures: Mapping[str, Signature]
    """The file's entry points by name."""

    depth: int
    """One that is on offer."""

    given: Mapping[str, NDArray[Any]]
    """The caller's inputs."""

    @property
    def before(self) -> Signature:
        """The part that gives the stream."""
        return self.signatures[self.loop.before]

    @property
    def step(self) -> Signature:
        """The part that runs `depth` times."""
        return self.signatures[self.loop.step]

    @property
    def after(self) -> Signature:
        """The part that ends it."""
        return self.signatures[self.loop.after]

    def arguments(
        self,
        part: Signature,
        stream: NDArray[Any] | None = None,
        position: int = 0,
    ) -> tuple[NDArray[Any], ...]:
        """Return a part's inputs in its order."""
        known = {**self.given, **self.numbers(part, position)}
        if stream is not None:
            known[self.loop.stream] = stream
        return tuple(known[tensor.name] for tensor in part.inputs)

    def numbers(self, part: Signature, position: int) -> dict[str, NDArray[Any]]:
        """Return what tells a part where in the loop it stands, by name."""
        import numpy as np

        numbers = {}
        if part is self.step and self.loop.position is not None:
            numbers[self.loop.position] = position
        if part is self.after and self.loop.exit is not None:
            numbers[self.loop.exit] = self.loop.depths.index(self.depth)
        return {name: np.array([n], np.int32) for name, n in numbers.items()}
