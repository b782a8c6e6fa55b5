"""tflite-runtime: the small interpreter for 32-bit and old systems.

It needs numpy below 2, so it lives in an environment of its own. On numpy 2 the
package imports and then fails at the first interpreter, hence the check.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle import ModelFile, Signature
from edge_runtime.engine import Engine, FoundSignature, FoundTensor, check_agreement
from edge_runtime.errors import EngineError, missing_package

PACKAGE = "tflite-runtime"


class TfliteRuntimeEngine(Engine):
    """A `.tflite` file in tflite-runtime's interpreter."""

    def __init__(self, model: ModelFile, threads: int) -> None:
        """Load `model`; raises EngineError, SettingError if the package is missing."""
        where = model.path.name
        super().__init__(PACKAGE, _version(), where, model.signatures, threads)
        _check_numpy(np.__version__)
        from tflite_runtime.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(str(model.path), num_threads=threads)
        except (RuntimeError, ValueError) as error:
            raise EngineError(
                f"{where}: {PACKAGE} cannot load it: {' '.join(str(error).split())}"
            ) from error
        self._runners: dict[str, Any] = {}
        check_agreement(where, model.signatures, _describe(self._interpreter))

    def _call(
        self, signature: Signature, inputs: tuple[NDArray[Any], ...]
    ) -> Sequence[NDArray[Any]]:
        names = [spec.name for spec in signature.inputs]
        try:
            runner = self._runner(signature.name)
            outputs = runner(**dict(zip(names, inputs, strict=True)))
        except (RuntimeError, ValueError) as error:
            raise EngineError(
                f"{self.where}: {signature.name} failed: {' '.join(str(error).split())}"
            ) from error
        return [outputs[spec.name] for spec in signature.outputs]

    def _release(self) -> None:
        self._runners.clear()
        self._interpreter = None

    def _runner(self, name: str) -> Any:
        if name not in self._runners:
            self._runners[name] = self._interpreter.get_signature_runner(name)
        return self._runners[name]


def _version() -> str:
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError as error:
        raise missing_package(PACKAGE, "tflite-runtime") from error


def _check_numpy(version: str) -> None:
    if int(version.split(".")[0]) >= 2:
        raise EngineError(
            f"tflite-runtime: found numpy {version}, expected a version below 2;"
            " give it an environment of its own"
        )


def _describe(interpreter: Any) -> dict[str, FoundSignature]:
    found = {}
    for name in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(name)
        found[name] = FoundSignature(
            _tensors(runner.get_input_details()), _tensors(runner.get_output_details())
        )
    return found


def _tensors(details: dict[str, dict[str, Any]]) -> dict[str, FoundTensor]:
    return {
        name: FoundTensor(np.dtype(detail["dtype"]).name, tuple(detail["shape"]))
        for name, detail in details.items()
    }
