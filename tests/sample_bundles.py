"""Bundle folders with every field in place; model bytes may be fake."""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MODEL_BYTES = b"not a model, but nobody runs it"
SOME_SHA256 = hashlib.sha256(b"weight").hexdigest()

Json = dict[str, Any]


def tensor(name: str, shape: tuple[int, ...], layout: str, **changes: Any) -> Json:
    return {
        "name": name,
        "dtype": "float32",
        "shape": list(shape),
        "layout": layout,
        "minimum": None,
        "maximum": None,
        "quantization": None,
        **changes,
    }


def metric() -> Json:
    return {
        "engine": "litert",
        "name": "psnr_db",
        "value": 30.6,
        "reference_value": 30.65,
        "n": 32,
        "data": "photos/dev_32.txt",
        "conditions": "sigma 25, published, depth 2",
    }


def model(path: str, signatures: list[Json], **changes: Any) -> Json:
    return {
        "path": path,
        "bytes": 1,
        "sha256": SOME_SHA256,
        "format": "pte" if path.endswith(".pte") else "tflite",
        "precision": "fp32",
        "quantization": "none",
        "converters": {"litert-torch": "0.10.0"},
        "signatures": signatures,
        "loop": None,
        "sharing": {
            "unique_bytes": 96,
            "stored_bytes": 96,
            "duplicate_bytes": 0,
            "allowed_duplicate_bytes": 0,
            "weights": [
                {
                    "name": "body.block.0.weight",
                    "shape": [4, 6],
                    "uses": 3,
                    "unique_bytes": 96,
                    "stored_bytes": 96,
                }
            ],
        },
        "parity": [
            {
                "engine": "litert",
                "engine_version": "2.3.0",
                "n_inputs": 8,
                "relative_error": 1e-7,
                "snr_db": None,
            }
        ],
        "metrics": [metric()],
        **changes,
    }


def picture_signatures(
    depths: tuple[int, ...],
    tile_px: int,
    scale: int = 1,
    told: list[Json] | None = None,
) -> list[Json]:
    """Return `depth_N` for each depth; `told` stands in the place of `sigma`."""
    shape = (1, tile_px, tile_px, 3)
    larger = (1, scale * tile_px, scale * tile_px, 3)
    others = [tensor("sigma", (1, 1, 1, 1), "BYXC")] if told is None else told
    return [
        {
            "name": f"depth_{depth}",
            "depth": depth,
            "inputs": [
                tensor("picture", shape, "BYXC", minimum=-1.0, maximum=2.0),
                *others,
            ],
            "outputs": [tensor("restored", larger, "BYXC", minimum=0.0, maximum=1.0)],
        }
        for depth in depths
    ]


def loop_signatures(tile_px: int) -> list[Json]:
    """Return the entry points of a picture loop: head, step and tail."""
    ((picture, sigma),) = [s["inputs"] for s in picture_signatures((1,), tile_px)]
    ((restored,),) = [s["outputs"] for s in picture_signatures((1,), tile_px)]
    stream = (1, tile_px // 2, tile_px // 2, 4)
    number = {"dtype": "int32"}
    return [
        {
            "name": name,
            "depth": None,
            "inputs": inputs,
            "outputs": [output],
        }
        for name, inputs, output in (
            ("head", [picture, sigma], tensor("stream", stream, "BYXC")),
            (
                "step",
                [
                    tensor("stream", stream, "BYXC"),
                    tensor("position", (1,), "B") | number,
                ],
                tensor("next_stream", stream, "BYXC"),
            ),
            (
                "tail",
                [
                    tensor("stream", stream, "BYXC"),
                    picture,
                    tensor("exit", (1,), "B") | number,
                ],
                restored,
            ),
        )
    ]


def loop_manifest() -> Json:
    """Return a picture bundle whose depths are runs of one step."""
    loop = {
        "before": "head",
        "step": "step",
        "after": "tail",
        "stream": "stream",
        "position": "position",
        "exit": "exit",
        "depths": [1, 2],
    }
    return picture_manifest(
        models=[model("sample.tflite", loop_signatures(32), loop=loop)]
    )


def _manifest(task: str, models: list[Json], **changes: Any) -> Json:
    return {
        "format": "tiedge bundle",
        "format_version": 1,
        "name": f"sample-{task}",
        "task": task,
        "summary": "A bundle for tests.",
        "tiedge_version": "0.1.0",
        "source": {
            "recipe": "denoise",
            "settings": {"channels": 4, "depths": [1, 2], "rates": {"head": 0.5}},
            "revision": None,
            "weights_sha256": SOME_SHA256,
            "step": 30000,
            "unique_parameters": 24,
        },
        "files": [{"path": "CARD.md", "bytes": 1, "sha256": SOME_SHA256}],
        "models": models,
        "depths": [],
        "states": [],
        "picture": None,
        "speech": None,
        "language": None,
        "fingerprint": [
            {
                "name": "body.block.0.weight",
                "aliases": ["body.block.1.weight"],
                "shape": [4, 6],
                "dtype": "float32",
                "sha256": SOME_SHA256,
                "stored": {models[0]["path"]: [SOME_SHA256]},
            }
        ],
        "licence": {
            "code": "Apache-2.0",
            "weights": "CC BY-SA 4.0",
            "data": ["CC BY-SA 4.0"],
        },
        "training_data": ["made for tests"],
        "metrics": [metric()],
        **changes,
    }


def picture_manifest(
    depths: tuple[int, ...] = (1, 2),
    tile_px: int = 32,
    radius_px: Mapping[int, int] | None = None,
    models: list[Json] | None = None,
) -> Json:
    signatures = picture_signatures(depths, tile_px)
    radii = radius_px or {depth: 4 + 4 * depth for depth in depths}
    return _manifest(
        "picture",
        models or [model("sample.tflite", signatures)],
        depths=list(depths),
        picture={
            "tile_px": [tile_px, tile_px],
            "multiple_px": 2,
            "radius_px": {str(depth): radius for depth, radius in radii.items()},
            "scale": 1,
            "sigma": {"minimum": 0.0, "maximum": 55.0},
            "tones": [],
            "strength": None,
            "looks": [],
        },
    )


def speech_manifest() -> Json:
    step = {
        "name": "step",
        "depth": None,
        "inputs": [tensor("features", (1, 12, 40), "BTM"), tensor("gru", (1, 8), "BH")],
        "outputs": [
            tensor("logits", (1, 4, 5), "BTV"),
            tensor("next_gru", (1, 8), "BH"),
        ],
    }
    return _manifest(
        "speech",
        [model("sample.tflite", [step])],
        states=[
            {
                "input": "gru",
                "output": "next_gru",
                "shape": [1, 8],
                "dtype": "float32",
                "reset": 0.0,
            }
        ],
        speech={
            "alphabet": ["", " ", "'", "a", "b"],
            "blank": 0,
            "phones": None,
            "vocabulary": [],
            "sample_rate_hz": 8000,
            "window_samples": 200,
            "hop_samples": 80,
            "fft_samples": 256,
            "n_mels": 40,
            "low_hz": 60.0,
            "high_hz": 3800.0,
            "feature_mean": -9.0,
            "feature_scale": 0.3,
            "chunk_frames": 12,
            "logits_per_chunk": 4,
        },
    )


def language_manifest(words: Sequence[str], n_histories: int) -> Json:
    """Return a language model's; its ends and unknown words come first."""
    n, state = n_histories, (n_histories, 1)
    step = {
        "name": "step",
        "depth": None,
        "inputs": [
            tensor("words", (n,), "B", dtype="int32"),
            tensor("gru", state, "BH"),
        ],
        "outputs": [
            tensor("log_probabilities", (n, len(words)), "BV"),
            tensor("next_gru", state, "BH"),
        ],
    }
    return _manifest(
        "language",
        [model("sample.tflite", [step])],
        states=[
            {
                "input": "gru",
                "output": "next_gru",
                "shape": list(state),
                "dtype": "float32",
                "reset": 0.0,
            }
        ],
        language={
            "words": list(words),
            "end": 0,
            "unknown": 1,
            "n_histories": n_histories,
        },
    )


def write_bundle(
    folder: Path, manifest: Json, contents: Mapping[str, bytes] | None = None
) -> Path:
    """Write every listed file, and bundle.json with their true sizes and hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    sealed = copy.deepcopy(manifest)
    for entry in [*sealed["files"], *sealed["models"]]:
        data = (contents or {}).get(entry["path"], MODEL_BYTES)
        (folder / entry["path"]).write_bytes(data)
        entry["bytes"] = len(data)
        entry["sha256"] = hashlib.sha256(data).hexdigest()
    write_manifest(folder, sealed)
    return folder


def write_manifest(folder: Path, manifest: Json) -> None:
    (folder / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")


def read_manifest(folder: Path) -> Json:
    manifest: Json = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    return manifest
