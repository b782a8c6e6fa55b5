"""TensorFlow's own interpreter: an independent second opinion on a `.tflite` file."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from edge_runtime.bundle import ModelFile
from edge_runtime.engine import Engine
from edge_runtime.engines.interpreter import InterpreterEngine
from edge_runtime.errors import missing_package

PACKAGE = "tensorflow"


def open_tensorflow(model: ModelFile, threads: int) -> Engine:
    """Return TensorFlow's interpreter with `model` loaded.

    It runs TensorFlow Lite's built-in kernels, not XNNPACK's, which every other
    engine runs. Raises EngineError, SettingError if the package is missing.
    """
    try:
        version = importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError as error:
        raise missing_package(PACKAGE, PACKAGE) from error
    return InterpreterEngine(PACKAGE, version, model, threads, _load)


def _load(path: str, threads: int) -> Any:
    import tensorflow

    lite = tensorflow.lite
    kernels = lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    return lite.Interpreter(
        path, num_threads=threads, experimental_op_resolver_type=kernels
    )
