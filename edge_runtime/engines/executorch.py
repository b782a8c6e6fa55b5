"""ExecuTorch through our C++ interface: no torch, threads and weight cache settable.

Threads belong to one pool per process, as wide as the machine; an engine uses as many
of them as it was opened with.
"""

from __future__ import annotations

import ctypes
import functools
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle import ModelFile, Signature
from edge_runtime.engine import (
    Engine,
    FoundSignature,
    FoundTensor,
    by_position,
    check_agreement,
)
from edge_runtime.errors import EngineError
from edge_runtime.loop import LoopRun
from edge_runtime.native import build


class ExecuTorchEngine(Engine):
    """A `.pte` file in ExecuTorch; a method is loaded at its first call."""

    def __init__(self, model: ModelFile, threads: int, packed: Path | None) -> None:
        """Load `model`; raises EngineError, SettingError if the wheel is missing.

        `packed` is a file for packed weights: taken from there, or put there.
        """
        version = build.find_wheel().version
        where = model.path.name
        super().__init__(
            "executorch", version, where, model.signatures, threads, model.loop
        )
        self._library = _library(build.build())
        most = self._library.tiedge_most_threads()
        if threads > most:
            raise EngineError(
                f"executorch: found {threads} threads, this machine has {most};"
                f" use --threads {most}"
            )
        self._packed = packed
        file = b"" if packed is None else bytes(packed)
        self._handle: int | None = self._library.tiedge_load(
            bytes(model.path), threads, file
        )
        if self._handle is None:
            raise EngineError(f"{where}: {self._error()}")
        try:
            check_agreement(where, model.signatures, self._describe(model))
        except EngineError:
            self.close()
            raise

    @property
    def packed_bytes(self) -> int | None:
        """Bytes of the methods' packed weights, known where they lie in a file."""
        return None if self._packed is None else self._packed.stat().st_size

    def _call(
        self, signature: Signature, inputs: tuple[NDArray[Any], ...]
    ) -> Sequence[NDArray[Any]]:
        outputs = [np.empty(spec.shape, spec.dtype) for spec in signature.outputs]
        self._fill(signature, inputs, outputs)
        return outputs

    def _call_loop(self, run: LoopRun) -> Sequence[NDArray[Any]]:
        """Run a loop on two streams that take turns."""
        (spec,) = run.before.outputs
        stream, other = (np.empty(spec.shape, spec.dtype) for _ in range(2))
        self._fill(run.before, run.arguments(run.before), [stream])
        for position in range(run.depth):
            arguments = run.arguments(run.step, stream, position)
            self._fill(run.step, arguments, [other])
            stream, other = other, stream
        return self._call(run.after, run.arguments(run.after, stream))

    def _fill(
        self,
        signature: Signature,
        inputs: Sequence[NDArray[Any]],
        outputs: Sequence[NDArray[Any]],
    ) -> None:
        """Run an entry point into arrays of its outputs' types and shapes."""
        status = self._library.tiedge_run(
            self._handle, signature.name.encode(), _pointers(inputs), _pointers(outputs)
        )
        if status != 0:
            raise EngineError(f"{self.where}: {self._error()}")

    def _release(self) -> None:
        self._library.tiedge_unload(self._handle)
        self._handle = None

    def __del__(self) -> None:
        # Not there if the constructor failed early.
        if self.__dict__.get("_handle") is not None:
            self.close()

    def _error(self) -> str:
        text: bytes = self._library.tiedge_error()
        return f"executorch: {text.decode(errors='replace')}"

    def _describe(self, model: ModelFile) -> dict[str, FoundSignature]:
        text: bytes = self._library.tiedge_describe(self._handle)
        try:
            tensors = _parse(text.decode())
        except ValueError as error:  # names that hold spaces, or are not UTF-8
            raise EngineError(
                f"{self.where}: executorch: its entry points cannot be told: {error}"
            ) from error
        specs = {signature.name: signature for signature in model.signatures}
        return {
            name: FoundSignature(
                by_position(specs[name].inputs, roles["input"]),
                by_position(specs[name].outputs, roles["output"]),
            )
            for name, roles in tensors.items()
            if name in specs
        }


@functools.cache
def _library(path: Path) -> ctypes.CDLL:
    """Return the interface at `path` with its functions' types declared."""
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise EngineError(
            f"{path}: cannot be loaded: {error};"
            " run: python -m edge_runtime.native.build --force"
        ) from error
    handle, text, arrays = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
    for name, result, arguments in (
        ("tiedge_error", text, ()),
        ("tiedge_most_threads", ctypes.c_int, ()),
        ("tiedge_load", handle, (text, ctypes.c_int, text)),
        ("tiedge_describe", text, (handle,)),
        ("tiedge_run", ctypes.c_int, (handle, text, arrays, arrays)),
        ("tiedge_unload", None, (handle,)),
    ):
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


def _parse(text: str) -> dict[str, dict[str, list[FoundTensor]]]:
    """Return method → "input" or "output" → tensors, from tiedge_describe's lines."""
    methods: dict[str, dict[str, list[FoundTensor]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for line in text.splitlines():
        method, role, dtype, *sizes = line.split(" ")
        methods[method][role].append(FoundTensor(dtype, tuple(map(int, sizes))))
    return methods


def _pointers(arrays: Sequence[NDArray[Any]]) -> Any:
    """Return a C array of the arrays' addresses; the caller keeps the arrays alive."""
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
