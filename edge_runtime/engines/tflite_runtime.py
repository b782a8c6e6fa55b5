"""tflite-runtime: the small interpreter for 32-bit and old systems.

It needs numpy below 2, so it lives in an environment of its own. On numpy 2 the
package imports and then fails at the first interpreter, hence the check.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

import numpy as np

from edge_runtime.bundle import ModelFile
from edge_runtime.engine import Engine
from edge_runtime.engines.interpreter import InterpreterEngine
from edge_runtime.errors import EngineError, missing_package

PACKAGE = "tflite-runtime"


def open_tflite_runtime(model: ModelFile, threads: int) -> Engine:
    """Return tflite-runtime with `model` loaded.

    Raises EngineError, SettingError if the package is missing.
    """
    version = _version()
    _check_numpy(np.__version__)
    return InterpreterEngine(PACKAGE, version, model, threads, _load)


def _load(path: str, threads: int) -> Any:
    from tflite_runtime.interpreter import Interpreter

    return Interpreter(path, num_threads=threads)


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
