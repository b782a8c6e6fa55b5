"""LiteRT through its compiled-model interface, the one with a weight cache."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle import ModelFile, Signature
from edge_runtime.engine import Engine, FoundSignature, FoundTensor, check_agreement
from edge_runtime.errors import EngineError, SettingError
from edge_runtime.loop import LoopRun
from edge_runtime.native_log import LITERT_LINE, silence_exit, silenced

PACKAGE = "ai-edge-litert"


@dataclass(frozen=True)
class _Buffers:
    """One entry point's tensors inside LiteRT, made once and used for every call."""

    inputs: dict[str, Any]
    outputs: dict[str, Any]


class LitertEngine(Engine):
    """A `.tflite` file in LiteRT; every entry point shares the file's weights."""

    def __init__(self, model: ModelFile, threads: int, packed: Path | None) -> None:
        """Load `model`; raises EngineError, SettingError if LiteRT is missing.

        `packed` is a file for packed weights: taken from there, or put there.
        """
        where = model.path.name
        super().__init__(
            "litert", _version(), where, model.signatures, threads, model.loop
        )
        self._buffers: dict[tuple[str, str], _Buffers] = {}
        self._packed = packed
        self._model = self._load(model.path, "" if packed is None else str(packed))
        check_agreement(where, model.signatures, self._describe())

    @property
    def packed_bytes(self) -> int | None:
        """Bytes of packed weights, known where there is a weight cache."""
        return None if self._packed is None else self._packed.stat().st_size

    def _call(
        self, signature: Signature, inputs: tuple[NDArray[Any], ...]
    ) -> Sequence[NDArray[Any]]:
        try:
            buffers = self._buffers_of(signature)
            for spec, array in zip(signature.inputs, inputs, strict=True):
                buffers.inputs[spec.name].write(array)
            self._model.run_by_name(signature.name, buffers.inputs, buffers.outputs)
            return _read(signature, buffers)
        except (RuntimeError, ValueError) as error:
            raise EngineError(
                f"{self.where}: {signature.name} failed: {_one_line(error)}"
            ) from error

    def _call_loop(self, run: LoopRun) -> Sequence[NDArray[Any]]:
        """Run a loop on LiteRT's own buffers: the stream is never copied.

        Two streams take turns, the output of one step being the input of the next.
        """
        parts = (run.before, run.step, run.after)
        try:
            before, step, after = (
                self._buffers_of(part, run.loop.stream) for part in parts
            )
            for part, buffers in zip(parts, (before, step, after), strict=True):
                for spec in part.inputs:
                    if spec.name in run.given:
                        buffers.inputs[spec.name].write(run.given[spec.name])
            (stream,) = before.outputs.values()
            ((name, other),) = step.outputs.items()
            self._model.run_by_name(run.before.name, before.inputs, before.outputs)
            for position in range(run.depth):
                for number, value in run.numbers(run.step, position).items():
                    step.inputs[number].write(value)
                self._model.run_by_name(
                    run.step.name,
                    step.inputs | {run.loop.stream: stream},
                    {name: other},
                )
                stream, other = other, stream
            for number, value in run.numbers(run.after, run.depth).items():
                after.inputs[number].write(value)
            self._model.run_by_name(
                run.after.name, after.inputs | {run.loop.stream: stream}, after.outputs
            )
            return _read(run.after, after)
        except (RuntimeError, ValueError) as error:
            raise EngineError(
                f"{self.where}: depth_{run.depth} failed: {_one_line(error)}"
            ) from error

    def _release(self) -> None:
        self._buffers.clear()
        self._model = None

    def _buffers_of(self, signature: Signature, stream: str = "") -> _Buffers:
        """Return the entry point's buffers, made at its first call.

        In a loop there is none for the input `stream`: it reads an output's.
        """
        key = signature.name, stream
        if key not in self._buffers:
            with silenced(LITERT_LINE):
                self._buffers[key] = _make_buffers(self._model, signature, stream)
        return self._buffers[key]

    def _load(self, path: Path, cache: str) -> Any:
        from ai_edge_litert import compiled_model as litert

        options = litert.Options(
            cpu_options=litert.CpuOptions(
                num_threads=self.threads, xnnpack_weight_cache_path=cache
            )
        )
        try:
            with silenced(LITERT_LINE):
                return litert.CompiledModel.from_file(
                    str(path), environment=_environment(), options=options
                )
        except (RuntimeError, ValueError) as error:
            raise self._unloadable(error) from error

    def _describe(self) -> dict[str, FoundSignature]:
        model = self._model
        try:
            with silenced(LITERT_LINE):
                return {
                    name: FoundSignature(
                        _tensors(model.get_input_tensor_details(name)),
                        _tensors(model.get_output_tensor_details(name)),
                    )
                    for name in model.get_signature_list()
                }
        except (RuntimeError, ValueError) as error:  # a name that is not UTF-8, say
            raise self._unloadable(error) from error

    def _unloadable(self, error: Exception) -> EngineError:
        return EngineError(f"{self.where}: litert cannot load it: {_one_line(error)}")


@functools.cache
def _environment() -> Any:
    """Return what all models of a process share, made at the first.

    LiteRT prints while it frees an environment, which an exception's traceback could
    put off to any moment; this one lives until the exit, where stderr is silent.
    """
    from ai_edge_litert import compiled_model as litert

    silence_exit()
    # Without a place to look, LiteRT tries every accelerator plugin it ships.
    nowhere = str(Path(__file__).parent)
    return litert.Environment.create(
        compiler_plugin_path=nowhere, dispatch_library_path=nowhere
    )


def _version() -> str:
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError as error:
        raise SettingError(
            f"{PACKAGE} is not installed; run: pip install {PACKAGE}, or on a 32-bit"
            " system take --engine tflite-runtime"
        ) from error


def _make_buffers(model: Any, signature: Signature, stream: str) -> _Buffers:
    """Return an entry point's buffers but for `stream`, each input written to once.

    LiteRT makes one more environment at a process's first write, and logs that.
    """
    inputs, outputs = {}, {}
    for spec in signature.inputs:
        if spec.name == stream:
            continue
        inputs[spec.name] = model.create_input_buffer_by_name(signature.name, spec.name)
        inputs[spec.name].write(np.zeros(spec.shape, spec.dtype))
    for spec in signature.outputs:
        outputs[spec.name] = model.create_output_buffer_by_name(
            signature.name, spec.name
        )
    return _Buffers(inputs, outputs)


def _read(signature: Signature, buffers: _Buffers) -> list[NDArray[Any]]:
    return [
        buffers.outputs[spec.name]
        .read(int(np.prod(spec.shape)), np.dtype(spec.dtype))
        .reshape(spec.shape)
        for spec in signature.outputs
    ]


def _tensors(details: dict[str, dict[str, Any]]) -> dict[str, FoundTensor]:
    return {
        name: FoundTensor(detail["dtype"], tuple(detail["shape"]))
        for name, detail in details.items()
    }


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
