"""LiteRT through its compiled-model interface, the one with a weight cache."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle import ModelFile, Signature, TensorSpec
from edge_runtime.engine import Engine, FoundSignature, FoundTensor, check_agreement
from edge_runtime.errors import EngineError, SettingError
from edge_runtime.loop import LoopRun
from edge_runtime.native_log import LITERT_LINE, silence_exit, silenced
from edge_runtime.sample_inputs import sample_inputs

PACKAGE = "ai-edge-litert"


@dataclass(frozen=True)
class _Buffers:
    """One entry point's tensors inside LiteRT, made once and used for every call."""

    inputs: dict[str, Any]
    outputs: dict[str, Any]


@dataclass(frozen=True)
class _LoopBuffers:
    """A loop's tensors inside LiteRT: inputs by part, and what goes between them."""

    before: dict[str, Any]
    step: dict[str, Any]
    after: dict[str, Any]
    stream: Any
    other: Any
    """The second stream; the first once more where a step writes in place."""
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
        self._buffers: dict[str, _Buffers] = {}
        self._loop_buffers: _LoopBuffers | None = None
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
            return _read(signature, buffers.outputs)
        except (RuntimeError, ValueError) as error:
            raise EngineError(
                f"{self.where}: {signature.name} failed: {_one_line(error)}"
            ) from error

    def _call_loop(self, run: LoopRun) -> Sequence[NDArray[Any]]:
        """Run a loop on LiteRT's own buffers: the stream is never copied.

        Where a step can write its stream in place there is one; otherwise two take
        turns, the output of one step being the input of the next.
        """
        try:
            if self._loop_buffers is None:
                self._loop_buffers = self._make_loop_buffers(run)
            held = self._loop_buffers
            for part, buffers in (
                (run.before, held.before),
                (run.step, held.step),
                (run.after, held.after),
            ):
                for spec in part.inputs:
                    if spec.name in run.given:
                        buffers[spec.name].write(run.given[spec.name])
            stream, other = held.stream, held.other
            self._run(run.before, held.before, stream)
            for position in range(run.depth):
                for name, value in run.numbers(run.step, position).items():
                    held.step[name].write(value)
                self._run(run.step, {**held.step, run.loop.stream: stream}, other)
                stream, other = other, stream
            for name, value in run.numbers(run.after, run.depth).items():
                held.after[name].write(value)
            self._model.run_by_name(
                run.after.name, {**held.after, run.loop.stream: stream}, held.outputs
            )
            return _read(run.after, held.outputs)
        except (RuntimeError, ValueError) as error:
            raise EngineError(
                f"{self.where}: depth_{run.depth} failed: {_one_line(error)}"
            ) from error

    def _make_loop_buffers(self, run: LoopRun) -> _LoopBuffers:
        """Return the loop's buffers, with one stream if its step allows that."""
        with silenced(LITERT_LINE):
            before = _make_buffers(self._model, run.before)
            step = _make_buffers(self._model, run.step, run.loop.stream)
            after = _make_buffers(self._model, run.after, run.loop.stream)
        (stream,), (other,) = before.outputs.values(), step.outputs.values()
        if self._writes_in_place(run, step.inputs, stream, other):
            other = stream
        return _LoopBuffers(
            before.inputs, step.inputs, after.inputs, stream, other, after.outputs
        )

    def _writes_in_place(
        self, run: LoopRun, inputs: dict[str, Any], stream: Any, other: Any
    ) -> bool:
        """Return whether a step gives the same with one stream as with two.

        Operators run in turn. As long as the last one, which writes the stream, reads
        none of it but the value that it replaces, one stream is enough: it needs less
        memory and less time (int8, depth 16: 4 %). Which operators an engine makes one
        is its own affair, so that is tried: random values at the first and the last
        position, every bit compared.
        """
        (made,) = run.step.outputs
        for position in {0, max(run.loop.depths) - 1}:
            values = sample_inputs(run.step, seed=position)
            values |= run.numbers(run.step, position)
            for name, buffer in inputs.items():
                buffer.write(values[name])
            inputs_and_stream = {**inputs, run.loop.stream: stream}
            stream.write(values.pop(run.loop.stream))
            found = set()
            for target in (other, stream):
                self._run(run.step, inputs_and_stream, target)
                found.add(hashlib.sha256(_read_one(made, target).data).digest())
            if len(found) > 1:
                return False
        return True

    def _run(self, part: Signature, inputs: dict[str, Any], output: Any) -> None:
        """Run a part of the loop that gives the stream."""
        (made,) = part.outputs
        self._model.run_by_name(part.name, inputs, {made.name: output})

    def _release(self) -> None:
        self._buffers.clear()
        self._loop_buffers = None
        self._model = None

    def _buffers_of(self, signature: Signature) -> _Buffers:
        """Return the entry point's buffers, made at its first call."""
        if signature.name not in self._buffers:
            with silenced(LITERT_LINE):
                self._buffers[signature.name] = _make_buffers(self._model, signature)
        return self._buffers[signature.name]

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


def _make_buffers(model: Any, signature: Signature, without: str = "") -> _Buffers:
    """Return an entry point's buffers but for one, each input written to once.

    LiteRT makes one more environment at a process's first write, and logs that.
    """
    inputs, outputs = {}, {}
    for spec in signature.inputs:
        if spec.name == without:
            continue
        inputs[spec.name] = model.create_input_buffer_by_name(signature.name, spec.name)
        inputs[spec.name].write(np.zeros(spec.shape, spec.dtype))
    for spec in signature.outputs:
        outputs[spec.name] = model.create_output_buffer_by_name(
            signature.name, spec.name
        )
    return _Buffers(inputs, outputs)


def _read(signature: Signature, buffers: dict[str, Any]) -> list[NDArray[Any]]:
    return [_read_one(spec, buffers[spec.name]) for spec in signature.outputs]


def _read_one(spec: TensorSpec, buffer: Any) -> NDArray[Any]:
    array: NDArray[Any] = buffer.read(int(np.prod(spec.shape)), np.dtype(spec.dtype))
    return array.reshape(spec.shape)


def _tensors(details: dict[str, dict[str, Any]]) -> dict[str, FoundTensor]:
    return {
        name: FoundTensor(detail["dtype"], tuple(detail["shape"]))
        for name, detail in details.items()
    }


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
