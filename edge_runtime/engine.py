"""The engine: what runs the entry points of one model file."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle import Signature, TensorSpec
from edge_runtime.bundle_parts import Loop
from edge_runtime.errors import EngineError
from edge_runtime.loop import LoopRun, offered


@dataclass(frozen=True)
class FoundTensor:
    """An input or output as the model file itself describes it."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


@dataclass(frozen=True)
class FoundSignature:
    """An entry point as the model file itself describes it."""

    inputs: Mapping[str, FoundTensor]
    outputs: Mapping[str, FoundTensor]


class Engine(ABC):
    """Runs the entry points of one model file; safe to share between threads."""

    def __init__(
        self,
        name: str,
        version: str,
        where: str,
        signatures: Sequence[Signature],
        threads: int,
        loop: Loop | None = None,
    ) -> None:
        self.name = name
        """As in `--engine`."""
        self.version = version
        self.threads = threads
        self.where = where
        """The model file's name; error messages start with it."""
        self._signatures = {signature.name: signature for signature in signatures}
        self._loop = loop
        self._calls = {
            call.name: call for call in (*signatures, *offered(signatures, loop))
        }
        self._lock = threading.Lock()
        self._closed = False

    @property
    def packed_bytes(self) -> int | None:
        """Bytes that the engine keeps in RAM for weights; None if it does not tell."""
        return None

    @final
    def run(
        self, signature: str, inputs: Mapping[str, NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        """Return the outputs of one entry point, or of `depth_N` of a loop, by name.

        `inputs` holds every input by name, in exactly the dtype and shape that the
        bundle states, in any memory order. Outputs are fresh arrays.

        Raises EngineError for an unknown entry point, for inputs that do not fit,
        after close(), and where the engine itself fails.
        """
        spec = self._find(signature)
        arrays = _in_order(f"{self.where}: {signature}", spec.inputs, inputs)
        with self._lock:
            if self._closed:
                raise EngineError(f"{self.where}: the {self.name} engine is closed")
            outputs = self._outputs(spec, arrays)
        return {
            tensor.name: output
            for tensor, output in zip(spec.outputs, outputs, strict=True)
        }

    @final
    def close(self) -> None:
        """Free the model; closing twice does nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def _call(
        self, signature: Signature, inputs: tuple[NDArray[Any], ...]
    ) -> Sequence[NDArray[Any]]:
        """Return fresh outputs in the signature's order.

        `inputs` are checked, row-major and in the signature's order. One call at a
        time.
        """

    @abstractmethod
    def _release(self) -> None:
        """Free what the model holds; called once."""

    def _call_loop(self, run: LoopRun) -> Sequence[NDArray[Any]]:
        """Return what the loop's last part gives; an engine may spare the copies."""
        (stream,) = self._call(run.before, run.arguments(run.before))
        for position in range(run.depth):
            (stream,) = self._call(run.step, run.arguments(run.step, stream, position))
        return self._call(run.after, run.arguments(run.after, stream))

    def _outputs(
        self, spec: Signature, arrays: tuple[NDArray[Any], ...]
    ) -> Sequence[NDArray[Any]]:
        if self._loop is None or spec.name in self._signatures:
            return self._call(spec, arrays)
        given = {t.name: a for t, a in zip(spec.inputs, arrays, strict=True)}
        assert spec.depth is not None  # as `offered` makes it
        return self._call_loop(LoopRun(self._loop, self._signatures, spec.depth, given))

    def _find(self, name: str) -> Signature:
        if name not in self._calls:
            raise EngineError(
                f'{self.where}: no entry point "{name}", expected one of'
                f" {' '.join(self._calls)}"
            )
        return self._calls[name]


def check_agreement(
    where: str, signatures: Sequence[Signature], found: Mapping[str, FoundSignature]
) -> None:
    """Refuse a model file whose own description differs from the bundle's.

    Raises EngineError naming the entry point and tensor.
    """
    for signature in signatures:
        if signature.name not in found:
            raise EngineError(
                f'{where}: no entry point "{signature.name}", found'
                f" {' '.join(sorted(found))}; run tiedge export again"
            )
        file = found[signature.name]
        _check_role(where, f"{signature.name} input", signature.inputs, file.inputs)
        _check_role(where, f"{signature.name} output", signature.outputs, file.outputs)


def by_position(
    specs: Sequence[TensorSpec], tensors: Sequence[FoundTensor]
) -> dict[str, FoundTensor]:
    """Return the tensors of a file that has no names under the bundle's names.

    Tensors beyond the bundle's get their position as a name, which no bundle uses.
    """
    names = [spec.name for spec in specs]
    names += [f"number {position}" for position in range(len(names), len(tensors))]
    return dict(zip(names, tensors, strict=False))


def _check_role(
    where: str,
    role: str,
    specs: Sequence[TensorSpec],
    found: Mapping[str, FoundTensor],
) -> None:
    _check_names(f"{where}: {role}s", [spec.name for spec in specs], list(found))
    for spec in specs:
        said = FoundTensor(spec.dtype, spec.shape)
        if found[spec.name] != said:
            raise EngineError(
                f'{where}: {role} "{spec.name}" is {found[spec.name]},'
                f" bundle.json says {said}; run tiedge export again"
            )


def _in_order(
    where: str, specs: Sequence[TensorSpec], inputs: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[Any], ...]:
    """Return the inputs in the signature's order, row-major; copies only if needed."""
    _check_names(f"{where} inputs", [spec.name for spec in specs], list(inputs))
    for spec in specs:
        _check_array(f'{where} input "{spec.name}"', spec, inputs[spec.name])
    return tuple(np.ascontiguousarray(inputs[spec.name]) for spec in specs)


def _check_names(where: str, expected: Sequence[str], found: Sequence[str]) -> None:
    if sorted(expected) != sorted(found):
        raise EngineError(
            f"{where}: found {' '.join(sorted(found)) or 'none'},"
            f" expected {' '.join(sorted(expected)) or 'none'}"
        )


def _check_array(where: str, spec: TensorSpec, array: NDArray[Any]) -> None:
    if not isinstance(array, np.ndarray):
        raise EngineError(f"{where}: found {type(array).__name__}, expected an array")
    if array.dtype != np.dtype(spec.dtype) or array.shape != spec.shape:
        raise EngineError(
            f"{where}: found {array.dtype} {array.shape},"
            f" expected {spec.dtype} {spec.shape}"
        )
