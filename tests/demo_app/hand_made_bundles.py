"""Bundles with hand-made networks whose answers can be foretold; no converter needed.

`blur` averages 3×3 pixels once per depth. `tones` says "a" for a low tone, "b" for a
high one and nothing for silence. `light` makes pictures brighter, `double` larger.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from tests.sample_bundles import (
    SOME_SHA256,
    model,
    picture_manifest,
    picture_signatures,
    speech_manifest,
    tensor,
    write_bundle,
)

TILE_PX = 64
DEPTHS = (1, 2)
TONES = [0.1, 0.5, 0.9]
LOW_HZ, HIGH_HZ = 400, 2500
CHUNK_FRAMES, N_MELS, STEPS, N_SYMBOLS = 12, 40, 4, 5
N_STATE = 8


class TinyModel:
    """A `.tflite` file, put together operator by operator."""

    def __init__(self) -> None:
        self._model = schema.ModelT()
        self._model.version = 3
        self._model.buffers = [schema.BufferT()]  # number 0 is "no data"
        self._model.operatorCodes = []
        self._model.subgraphs = []
        self._model.signatureDefs = []
        self._model.metadata = []

    def begin(self) -> None:
        """Start the graph of another entry point."""
        self._graph = schema.SubGraphT()
        self._graph.tensors = []
        self._graph.operators = []
        self._model.subgraphs.append(self._graph)

    def tensor(
        self, name: str, shape: Sequence[int], data: NDArray[Any] | None = None
    ) -> int:
        """Add a tensor, constant if it has data; returns its number."""
        made = schema.TensorT()
        made.name = name
        made.shape = list(shape)
        made.type = schema.TensorType.FLOAT32
        made.buffer = 0
        if data is not None:
            if data.dtype == np.int32:
                made.type = schema.TensorType.INT32
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            self._model.buffers.append(buffer)
            made.buffer = len(self._model.buffers) - 1
        self._graph.tensors.append(made)
        return len(self._graph.tensors) - 1

    def operator(
        self, name: str, inputs: list[int], output: int, options: Any = None
    ) -> int:
        """Add an operator; returns its output."""
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = 1
        self._model.operatorCodes.append(code)
        made = schema.OperatorT()
        made.opcodeIndex = len(self._model.operatorCodes) - 1
        made.inputs, made.outputs = inputs, [output]
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            made.builtinOptions = options
        self._graph.operators.append(made)
        return output

    def end(self, name: str, inputs: dict[str, int], outputs: dict[str, int]) -> None:
        """Make the graph an entry point."""
        self._graph.name = name
        self._graph.inputs = list(inputs.values())
        self._graph.outputs = list(outputs.values())
        signature = schema.SignatureDefT()
        signature.signatureKey = name
        signature.subgraphIndex = len(self._model.subgraphs) - 1
        signature.inputs = [_mapped(*item) for item in inputs.items()]
        signature.outputs = [_mapped(*item) for item in outputs.items()]
        self._model.signatureDefs.append(signature)

    def file(self) -> bytes:
        builder = flatbuffers.Builder(4096)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _mapped(name: str, number: int) -> Any:
    made = schema.TensorMapT()
    made.name, made.tensorIndex = name, number
    return made


def blur_file() -> bytes:
    """Entry points depth_1 and depth_2: so many 3×3 averages, plus 0 × sigma."""
    made = TinyModel()
    shape = (1, TILE_PX, TILE_PX, 3)
    for depth in DEPTHS:
        made.begin()
        picture = made.tensor("picture", shape)
        sigma = made.tensor("sigma", (1, 1, 1, 1))
        nothing = made.tensor("nothing", (1,), np.zeros(1, np.float32))
        ignored = made.tensor("ignored", (1, 1, 1, 1))
        made.operator("MUL", [sigma, nothing], ignored, schema.MulOptionsT())
        stream = picture
        for step in range(depth):
            pool = schema.Pool2DOptionsT()
            pool.padding = schema.Padding.SAME
            pool.filterWidth = pool.filterHeight = 3
            pool.strideW = pool.strideH = 1
            output = made.tensor(f"blurred_{step}", shape)
            stream = made.operator("AVERAGE_POOL_2D", [stream], output, pool)
        restored = made.tensor("restored", shape)
        made.operator("ADD", [stream, ignored], restored, schema.AddOptionsT())
        made.end(
            f"depth_{depth}",
            {"picture": picture, "sigma": sigma},
            {"restored": restored},
        )
    return made.file()


def light_file(n_looks: int = 0) -> bytes:
    """Entry points depth_1 and depth_2: 0.1 × depth × strength more, plus 0 × tones.

    With looks, the first is as bright as that, the second twice as bright.
    """
    made = TinyModel()
    shape = (1, TILE_PX, TILE_PX, 3)
    for depth in DEPTHS:
        made.begin()
        picture = made.tensor("picture", shape)
        told = made.tensor("tones", (1, 1, 1, len(TONES)))
        strength = made.tensor("strength", (1, 1, 1, 1))
        inputs = {"picture": picture, "tones": told, "strength": strength}
        nothing = made.tensor("nothing", (1,), np.zeros(1, np.float32))
        ignored = made.tensor("ignored", (1, 1, 1, len(TONES)))
        made.operator("MUL", [told, nothing], ignored, schema.MulOptionsT())
        if n_looks:
            inputs["look"] = made.tensor("look", (1, 1, 1, n_looks))
            step = _light_of_look(made, inputs["look"], depth, n_looks)
        else:
            step = made.tensor("step", (1,), np.full(1, 0.1 * depth, np.float32))
        light = made.tensor("light", (1, 1, 1, 1))
        made.operator("MUL", [strength, step], light, schema.MulOptionsT())
        lit = made.tensor("lit", shape)
        made.operator("ADD", [picture, light], lit, schema.AddOptionsT())
        restored = made.tensor("restored", shape)
        made.operator("ADD", [lit, ignored], restored, schema.AddOptionsT())
        made.end(f"depth_{depth}", inputs, {"restored": restored})
    return made.file()


def _light_of_look(made: TinyModel, look: int, depth: int, n_looks: int) -> int:
    """Add what gives 0.1 × depth for the first look, twice that for the second."""
    steps = 0.1 * depth * np.arange(1, n_looks + 1, dtype=np.float32)
    each = made.tensor("each", (1, 1, 1, n_looks))
    of_look = made.tensor("step_of_look", (n_looks,), steps)
    made.operator("MUL", [look, of_look], each, schema.MulOptionsT())
    summed = schema.ReducerOptionsT()
    summed.keepDims = True
    axis = made.tensor("axis", (1,), np.array([3], np.int32))
    return made.operator("SUM", [each, axis], made.tensor("step", (1, 1, 1, 1)), summed)


def double_file() -> bytes:
    """Entry point depth_1: every pixel four times, and no noise level asked for."""
    made = TinyModel()
    made.begin()
    picture = made.tensor("picture", (1, TILE_PX, TILE_PX, 3))
    large = made.tensor("restored", (1, 2 * TILE_PX, 2 * TILE_PX, 3))
    size = made.tensor("size", (2,), np.full(2, 2 * TILE_PX, np.int32))
    made.operator(
        "RESIZE_NEAREST_NEIGHBOR",
        [picture, size],
        large,
        schema.ResizeNearestNeighborOptionsT(),
    )
    made.end("depth_1", {"picture": picture}, {"restored": large})
    return made.file()


def tones_file() -> bytes:
    """Entry point step: a linear map of three frames to a symbol."""
    made = TinyModel()
    made.begin()
    n_frames = CHUNK_FRAMES // STEPS
    features = made.tensor("features", (1, CHUNK_FRAMES, N_MELS))
    state = made.tensor("gru", (1, N_STATE))
    folded = made.tensor("folded", (STEPS, n_frames * N_MELS))
    made.operator("RESHAPE", [features, _shape(made, STEPS, n_frames * N_MELS)], folded)
    weights, bias = _tone_weights(n_frames)
    mapped = made.operator(
        "FULLY_CONNECTED",
        [
            folded,
            made.tensor("weights", weights.shape, weights),
            made.tensor("bias", bias.shape, bias),
        ],
        made.tensor("mapped", (STEPS, N_SYMBOLS)),
        schema.FullyConnectedOptionsT(),
    )
    logits = made.tensor("logits", (1, STEPS, N_SYMBOLS))
    made.operator("RESHAPE", [mapped, _shape(made, 1, STEPS, N_SYMBOLS)], logits)
    one = made.tensor("one", (1,), np.ones(1, np.float32))
    following = made.tensor("next_gru", (1, N_STATE))
    made.operator("ADD", [state, one], following, schema.AddOptionsT())
    made.end(
        "step",
        {"features": features, "gru": state},
        {"logits": logits, "next_gru": following},
    )
    return made.file()


def _shape(made: TinyModel, *sides: int) -> int:
    data = np.array(sides, np.int32)
    return made.tensor(f"shape_{len(sides)}", data.shape, data)


def _tone_weights(n_frames: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return maps (V, n_frames · M) and (V,): energy below against above the middle."""
    low = np.zeros(N_MELS, np.float32)
    low[: N_MELS // 2] = 1.0
    weights = np.zeros((N_SYMBOLS, N_MELS), np.float32)
    weights[3], weights[4] = low - (1 - low), (1 - low) - low
    bias = np.zeros(N_SYMBOLS, np.float32)
    bias[0] = 0.15 * N_MELS * n_frames
    bias[1:3] = -1e4
    return np.tile(weights, (1, n_frames)), bias


def blur_bundle(folder: Path) -> Path:
    manifest = picture_manifest(depths=DEPTHS, tile_px=TILE_PX, radius_px={1: 1, 2: 2})
    return _written(folder, manifest, "blur", blur_file())


def light_bundle(folder: Path, looks: Sequence[str] = ()) -> Path:
    told = [
        tensor("tones", (1, 1, 1, len(TONES)), "BYXC"),
        tensor("strength", (1, 1, 1, 1), "BYXC"),
    ]
    if looks:
        told.append(tensor("look", (1, 1, 1, len(looks)), "BYXC"))
    signatures = picture_signatures(DEPTHS, TILE_PX, told=told)
    models = [model("sample.tflite", signatures)]
    manifest = picture_manifest(DEPTHS, TILE_PX, {1: 1, 2: 1}, models)
    strength = {"minimum": 0.0, "maximum": 1.0}
    manifest["picture"] |= {"sigma": None, "tones": TONES, "strength": strength}
    manifest["picture"]["looks"] = list(looks)
    return _written(folder, manifest, "light", light_file(len(looks)))


def double_bundle(folder: Path) -> Path:
    signatures = picture_signatures((1,), TILE_PX, scale=2, told=[])
    models = [model("sample.tflite", signatures)]
    manifest = picture_manifest((1,), TILE_PX, {1: 1}, models)
    manifest["picture"] |= {"scale": 2, "sigma": None}
    return _written(folder, manifest, "double", double_file())


def tones_bundle(folder: Path) -> Path:
    return _written(folder, speech_manifest(), "tones", tones_file())


def _written(folder: Path, manifest: dict[str, Any], name: str, file: bytes) -> Path:
    signatures = manifest["models"][0]["signatures"]
    path = f"{name}.tflite"
    manifest["name"] = name
    manifest["models"] = [model(path, signatures)]
    manifest["fingerprint"][0]["stored"] = {path: [SOME_SHA256]}
    return write_bundle(folder / name, manifest, {path: file})


def tone(frequency_hz: float, seconds: float, rate_hz: int) -> NDArray[np.float32]:
    """A sine at half the full scale, (S,)."""
    time_s = np.arange(int(seconds * rate_hz)) / rate_hz
    return (0.5 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def spoken_tones(rate_hz: int) -> NDArray[np.float32]:
    """Sound that `tones` writes as "ab"."""
    pause = np.zeros(rate_hz // 2, np.float32)
    return np.concatenate(
        [pause, tone(LOW_HZ, 0.6, rate_hz), pause, tone(HIGH_HZ, 0.6, rate_hz), pause]
    )
