"""The TFLite interpreter, as several packages offer it under the same interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle import ModelFile, Signature
from edge_runtime.engine import Engine, FoundSignature, FoundTensor, check_agreement
from edge_runtime.errors import EngineError


class InterpreterEngine(Engine):
    """A `.tflite` file in a package's `Interpreter`."""

    def __init__(
        self,
        name: str,
        version: str,
        model: ModelFile,
        threads: int,
        load: Callable[[str, int], Any],
    ) -> None:
        """Load `model` by `load`, which takes its path and the number of threads.

        Raises EngineError where the package refuses the file.
        """
        where = model.path.name
        super().__init__(name, version, where, model.signatures, threads, model.loop)
        try:
            self._interpreter = load(str(model.path), threads)
            found = _describe(self._interpreter)
        except (RuntimeError, ValueError) as error:
            raise EngineError(
                f"{where}: {name} cannot load it: {' '.join(str(error).split())}"
            ) from error
        self._runners: dict[str, Any] = {}
        check_agreement(where, model.signatures, found)

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
