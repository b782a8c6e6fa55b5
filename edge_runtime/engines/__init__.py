"""The engines that a device may have, each in the one file that imports it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

from edge_runtime.bundle import ModelFile
from edge_runtime.engine import Engine
from edge_runtime.errors import EngineError, SettingError, missing_package
from edge_runtime.model_header import check_model_file
from edge_runtime.weight_cache import cache_file, proven_file

__all__ = ["FORMAT_OF_ENGINE", "installed_engines", "open_engine", "open_packed"]

FORMAT_OF_ENGINE = {"litert": "tflite", "tflite-runtime": "tflite", "executorch": "pte"}
"""Engine, as in `--engine`, to the model format that it runs."""

MODULE_OF_ENGINE = {
    "litert": "ai_edge_litert",
    "tflite-runtime": "tflite_runtime",
    "executorch": "executorch",
}

PACKAGE_OF_ENGINE = {
    "litert": "ai-edge-litert",
    "tflite-runtime": "tflite-runtime",
    "executorch": "executorch",
}


def installed_engines() -> list[str]:
    """Return the engines whose package is installed; imports none of them."""
    return [
        name
        for name, module in MODULE_OF_ENGINE.items()
        if importlib.util.find_spec(module) is not None
    ]


def open_engine(
    name: str, model: ModelFile, threads: int = 1, weight_cache: Path | None = None
) -> Engine:
    """Return the engine `name` with `model` loaded.

    `weight_cache` is a folder: weights used many times are then packed once, into a
    file there that is mapped, if that changes no output (`weight_cache.proven_file`).

    Raises SettingError where the engine is unknown or not installed, or `threads` is
    below 1; EngineError where the engine cannot run this model.
    """
    _check(name, model, threads)
    if weight_cache is None:
        return _open(name, model, threads, None)
    if name == "tflite-runtime":
        raise EngineError("tflite-runtime: has no weight cache; use --engine litert")
    file = cache_file(weight_cache, model, name, version_of(name))
    packed = proven_file(
        file, model, lambda packed: _open(name, model, threads, packed)
    )
    return _open(name, model, threads, packed)


def open_packed(
    name: str, model: ModelFile, threads: int, packed: Path | None
) -> Engine:
    """Return the engine with its packed weights in a file of its own, unproven.

    For measurements; everything else is as for `open_engine`.
    """
    _check(name, model, threads)
    return _open(name, model, threads, packed)


def version_of(name: str) -> str:
    """Return an engine's version; raises SettingError where it is not installed."""
    package = PACKAGE_OF_ENGINE[name]
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise missing_package(package, name) from error


def _check(name: str, model: ModelFile, threads: int) -> None:
    if name not in FORMAT_OF_ENGINE:
        raise SettingError(
            f"engine: found {name}, expected one of {' '.join(FORMAT_OF_ENGINE)}"
        )
    if threads < 1:
        raise SettingError(f"threads: found {threads}, expected 1 or more")
    if model.format != FORMAT_OF_ENGINE[name]:
        raise EngineError(
            f"{model.path.name}: {name} runs .{FORMAT_OF_ENGINE[name]} files,"
            f" found .{model.format}"
        )
    check_model_file(model)


def _open(name: str, model: ModelFile, threads: int, packed: Path | None) -> Engine:
    if name == "executorch":
        from edge_runtime.engines.executorch import ExecuTorchEngine

        return ExecuTorchEngine(model, threads, packed)
    _check_utf8(model.path)
    if name == "litert":
        from edge_runtime.engines.litert import LitertEngine

        return LitertEngine(model, threads, packed)
    from edge_runtime.engines.tflite_runtime import open_tflite_runtime

    return open_tflite_runtime(model, threads)


def _check_utf8(path: Path) -> None:
    """Refuse a path that the packages for `.tflite` files cannot take."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise EngineError(
            f"{path}: the path is not UTF-8, expected a path that is; rename it"
        ) from error
