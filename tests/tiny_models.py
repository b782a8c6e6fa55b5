"""Networks of a few hundred weights, exported by the real converters.

A picture network whose one block is applied once or twice (entry points `depth_1` and
`depth_2`) and a speech-like step with a state, each as `.tflite` and `.pte` with the
outputs that torch computes.
"""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.bundle import Bundle, ModelFile
from tests.sample_bundles import (
    Json,
    model,
    picture_manifest,
    picture_signatures,
    speech_manifest,
    write_bundle,
)

TILE_PX = 16
DEPTHS = (1, 2)
N_CHANNELS = 4

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class TinyBundle:
    """A bundle, and per entry point some inputs and what torch makes of them."""

    bundle: Bundle
    inputs: Mapping[str, Arrays]
    outputs: Mapping[str, Arrays]

    def model(self, model_format: str) -> ModelFile:
        return self.bundle.model(model_format, "fp32")


def tiny_picture_bundle(folder: Path) -> TinyBundle:
    """Write a bundle with the repeated-convolution network into `folder`."""
    torch = pytest.importorskip("torch", reason="torch makes the tiny models")
    torch.manual_seed(0)
    network = _repeated_convolution(torch)
    modules = {f"depth_{depth}": _at_depth(torch, network, depth) for depth in DEPTHS}
    inputs = {
        "picture": torch.rand(1, TILE_PX, TILE_PX, 3),
        "sigma": torch.full((1, 1, 1, 1), 0.1),
    }
    signatures = picture_signatures(DEPTHS, TILE_PX)
    manifest = picture_manifest(DEPTHS, TILE_PX, models=_both_files(signatures))
    radii = {str(depth): 2 + depth for depth in DEPTHS}
    manifest["picture"]["radius_px"] = radii
    return _tiny_bundle(folder, manifest, modules, inputs)


def tiny_speech_bundle(folder: Path) -> TinyBundle:
    """Write a bundle with a step that carries a state into `folder`."""
    torch = pytest.importorskip("torch", reason="torch makes the tiny models")
    torch.manual_seed(0)
    manifest = speech_manifest()
    manifest["models"] = _both_files(manifest["models"][0]["signatures"])
    inputs = {"features": torch.rand(1, 12, 40), "gru": torch.rand(1, 8)}
    return _tiny_bundle(folder, manifest, {"step": _step(torch)}, inputs)


def tiny_integer_program(path: Path) -> Path:
    """Write a `.pte` whose tensors are int64 and int32."""
    torch = pytest.importorskip("torch", reason="torch makes the tiny models")

    class Integers(torch.nn.Module):
        def forward(self, wide: Any, narrow: Any) -> Any:
            return wide + 1, narrow * 2

    inputs = {
        "wide": torch.zeros(2, 3, dtype=torch.int64),
        "narrow": torch.zeros(2, 3, dtype=torch.int32),
    }
    path.write_bytes(to_pte({"forward": Integers().eval()}, inputs))
    return path


def to_tflite(modules: Mapping[str, Any], inputs: Mapping[str, Any]) -> bytes:
    """Return one `.tflite` with an entry point per module."""
    litert_torch = pytest.importorskip("litert_torch", reason="litert-torch exports")
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        converter = litert_torch
        for name, module in modules.items():
            converter = converter.signature(name, module, sample_kwargs=dict(inputs))
        path = Path(folder) / "tiny.tflite"
        converter.convert().export(str(path))
        return path.read_bytes()


def to_pte(modules: Mapping[str, Any], inputs: Mapping[str, Any]) -> bytes:
    """Return one `.pte` with a method per module."""
    reason = "executorch exports"
    exir = pytest.importorskip("executorch.exir", reason=reason)
    xnnpack = pytest.importorskip(
        "executorch.backends.xnnpack.partition.xnnpack_partitioner", reason=reason
    )
    from torch.export import export

    with _quiet():
        programs = {
            name: export(module, tuple(inputs.values()))
            for name, module in modules.items()
        }
        edge = exir.to_edge_transform_and_lower(
            programs, partitioner=[xnnpack.XnnpackPartitioner()]
        )
        return bytes(edge.to_executorch().buffer)


def _repeated_convolution(torch: Any) -> Any:
    network = torch.nn.Module()
    network.head = torch.nn.Conv2d(3, N_CHANNELS, 3, padding=1)
    network.block = torch.nn.Conv2d(N_CHANNELS, N_CHANNELS, 3, padding=1)
    network.tail = torch.nn.Conv2d(N_CHANNELS, 3, 3, padding=1)
    return network


def _at_depth(torch: Any, network: Any, depth: int) -> Any:
    class AtDepth(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, picture: Any, sigma: Any) -> Any:
            rows = picture.permute(0, 3, 1, 2)  # (B, C, Y, X)
            hidden = self.network.head(rows)
            for _ in range(depth):
                hidden = hidden + torch.relu(self.network.block(hidden))
            restored = rows - self.network.tail(hidden) * sigma
            return {"restored": restored.clamp(0, 1).permute(0, 2, 3, 1)}

    return AtDepth().eval()


def _step(torch: Any) -> Any:
    class Step(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Linear(40, 8)
            self.outer = torch.nn.Linear(8, 20)

        def forward(self, features: Any, gru: Any) -> Any:
            state = torch.tanh(self.inner(features.mean(1)) + gru)  # (B, H)
            logits = self.outer(state).reshape(1, 4, 5)  # (B, T, V)
            return {"logits": logits, "next_gru": state}

    return Step().eval()


def _both_files(signatures: list[Json]) -> list[Json]:
    return [model("tiny.tflite", signatures), model("tiny.pte", signatures)]


def _stored(manifest: Json) -> Json:
    hashes = next(iter(manifest["fingerprint"][0]["stored"].values()))
    return {entry["path"]: hashes for entry in manifest["models"]}


def _tiny_bundle(
    folder: Path,
    manifest: Json,
    modules: Mapping[str, Any],
    inputs: Mapping[str, Any],
) -> TinyBundle:
    contents = {
        "tiny.tflite": to_tflite(modules, inputs),
        "tiny.pte": to_pte(modules, inputs),
    }
    manifest["fingerprint"][0]["stored"] = _stored(manifest)
    bundle = Bundle.open(write_bundle(folder, manifest, contents))
    arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
    outputs = {name: module(**inputs) for name, module in modules.items()}
    return TinyBundle(
        bundle,
        dict.fromkeys(modules, arrays),
        {
            name: {key: tensor.detach().numpy() for key, tensor in tensors.items()}
            for name, tensors in outputs.items()
        },
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' progress and their own deprecation warnings off."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def largest_difference(left: Arrays, right: Arrays) -> float:
    assert left.keys() == right.keys()
    return max(float(np.abs(left[name] - right[name]).max()) for name in left)
