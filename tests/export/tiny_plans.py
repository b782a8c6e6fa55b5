"""Plans over networks of a few hundred weights, so that an export takes seconds."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge_runtime.bundle import Bundle
from edge_runtime.bundle_parts import Loop, TensorSpec
from edge_runtime.decoder import whole_text
from edge_runtime.engine import Engine
from edge_runtime.front_end import FrontEnd
from edge_runtime.image_filter import ImageFilter
from edge_runtime.pictures import PICTURE_PEAK, add_noise, psnr_db, to_8_bits
from edge_runtime.transcriber import Transcriber
from export.dial import with_inputs
from export.plan import (
    Arrays,
    EntryPoint,
    Plan,
    TaskMetric,
    source_facts,
    source_weights,
)
from export.plans.denoise import loop_parts
from training.denoiser import Denoiser
from training.repeated import FOLD_PX
from training.transcriber import (
    STRIDE_FRAMES,
    TranscriberNetwork,
    TranscriberStep,
)

CHANNELS = 4
DEPTHS = (1, 2)
TILE_PX = 32
"""The least power of two that leaves room for tiles to overlap at depth 2."""
SIGMA = 25.0

HIDDEN = 8
LAYERS = 2
CHUNK_FRAMES = 6
ALPHABET = ("", " ", "a", "b")
CLIP_SAMPLES = 2400


@cache
def denoiser(depths: tuple[int, ...] = DEPTHS) -> Denoiser:
    torch.manual_seed(0)
    return spread(Denoiser(CHANNELS, depths, n_convolutions=2))


def spread(network: Any) -> Any:
    """Move every parameter from its first value, which may be all ones or zeros."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return network.eval()


def denoiser_plan(
    depths: tuple[int, ...] = DEPTHS, network: Denoiser | None = None
) -> Plan:
    """Return a plan like `denoise`, on noise instead of photographs."""
    network = network or denoiser(depths)
    loop = Loop("head", "step", "tail", "stream", "position", "exit", depths)
    parts = loop_parts(network, (TILE_PX, TILE_PX), sigma_max=55.0)
    plan = _plan(
        network,
        AtDepth(network, max(depths)),
        with_inputs(parts, loop, TILES[3:], TILES[:3]),
        {depth: network.receptive_radius_px(depth) for depth in depths},
    )
    return replace(plan, loop=loop, asked=TILES[3:])


class AtDepth(nn.Module):
    """The denoiser unrolled to one depth, on a picture as a device has it."""

    def __init__(self, network: Denoiser, depth: int) -> None:
        super().__init__()
        self.network = network
        self.depth = depth

    def forward(self, picture: torch.Tensor, sigma: torch.Tensor) -> Any:
        channels_first = picture.permute(0, 3, 1, 2)  # (B, 3, Y, X)
        restored = self.network.at_depth(channels_first, sigma, depth=self.depth)
        return (restored.permute(0, 2, 3, 1).clamp(0.0, 1.0),)


def picture_plan(
    network: nn.Module, at_depth: Mapping[int, nn.Module], radius_px: Mapping[int, int]
) -> Plan:
    """Return the plan of a network with an entry point for every depth."""
    shape = (1, TILE_PX, TILE_PX, 3)
    inputs = (
        _spec("picture", shape, "BYXC"),
        _spec("sigma", (1, 1, 1, 1), "BYXC", 0.0, 55.0 / PICTURE_PEAK),
    )
    outputs = (_spec("restored", shape, "BYXC", 0.0, 1.0),)
    entry_points = tuple(
        EntryPoint(
            f"depth_{depth}",
            depth,
            module.eval(),
            inputs,
            outputs,
            held_out=TILES[3:],
            calibration=TILES[:3],
        )
        for depth, module in at_depth.items()
    )
    return _plan(network, at_depth[max(at_depth)], entry_points, radius_px)


def _plan(
    network: nn.Module,
    deepest: nn.Module,
    entry_points: tuple[EntryPoint, ...],
    radius_px: Mapping[int, int],
) -> Plan:
    return Plan(
        name="tiny",
        task="picture",
        summary="A picture network of the tests",
        entry_points=entry_points,
        source=source_weights(network),
        quantization="static",
        int8_snr_floor_db=20.0,
        int8_metric_loss=1.0,
        measure=PictureMeasure(deepest),
        facts=_facts(
            network,
            depths=list(radius_px),
            picture={
                "tile_px": [TILE_PX, TILE_PX],
                "multiple_px": FOLD_PX,
                "radius_px": {str(d): radius for d, radius in radius_px.items()},
                "scale": 1,
                "sigma": {"minimum": 0.0, "maximum": 55.0},
                "tones": [],
                "strength": None,
                "looks": [],
            },
        ),
        card="# tiny\n",
    )


def _tile(number: int) -> Arrays:
    random = np.random.default_rng(number)
    return {
        "picture": random.random((1, TILE_PX, TILE_PX, 3), np.float32),
        "sigma": np.full((1, 1, 1, 1), number * 0.04, np.float32),
    }


TILES = tuple(_tile(number) for number in range(5))


@dataclass(frozen=True)
class PictureMeasure:
    """PSNR at the deepest depth, on one smooth picture with noise."""

    module: nn.Module

    def __call__(self, bundle: Bundle, engine: Engine) -> TaskMetric:
        depth = max(bundle.depths)
        ramp = np.linspace(60, 200, TILE_PX).astype(np.uint8)
        clean = np.broadcast_to(ramp[:, None, None], (TILE_PX, TILE_PX, 3))
        noisy = add_noise(clean, SIGMA, (0, 0), clip=False)
        level = torch.full((1, 1, 1, 1), SIGMA / PICTURE_PEAK)
        with torch.no_grad():
            (expected,) = self.module(torch.from_numpy(noisy[None]), level)
        found = ImageFilter(bundle, engine).apply(noisy, SIGMA, depth)
        value = psnr_db(clean, to_8_bits(found))
        reference = psnr_db(clean, to_8_bits(expected[0].numpy()))
        return TaskMetric(
            name="psnr_db",
            value=value,
            reference_value=reference,
            loss=reference - value,
            n=1,
            data="a ramp",
            conditions=f"sigma {SIGMA:g}, published, depth {depth}",
        )


@cache
def transcriber() -> TranscriberNetwork:
    torch.manual_seed(1)  # it writes "a a" about the clip
    return spread(TranscriberNetwork(FrontEnd().n_mels, HIDDEN, LAYERS, len(ALPHABET)))


def speech_plan(chunk_frames: int = CHUNK_FRAMES) -> Plan:
    """Return a plan like `digits`, on noise instead of recordings."""
    network, front_end = transcriber(), FrontEnd()
    step = TranscriberStep(network, chunk_frames).eval()
    states = step.state_tensors()
    chunks = tuple(_chunk(step, number) for number in range(4))
    features = (1, chunk_frames, front_end.n_mels)
    logits = (1, step.logits_per_chunk, len(ALPHABET))
    return Plan(
        name="tiny-speech",
        task="speech",
        summary="A speech network of the tests",
        entry_points=(
            EntryPoint(
                "step",
                None,
                step,
                (
                    _spec("features", features, "BTM"),
                    *(_spec(s.input, s.shape, "BTH"[-len(s.shape) :]) for s in states),
                ),
                (
                    _spec("logits", logits, "BTV"),
                    *(_spec(s.output, s.shape, "BTH"[-len(s.shape) :]) for s in states),
                ),
                held_out=chunks[2:],
                calibration=chunks[:2],
            ),
        ),
        source=source_weights(network),
        quantization="dynamic",
        int8_snr_floor_db=20.0,
        int8_metric_loss=0.5,
        measure=measure_speech,
        facts=_facts(
            network,
            states=[{**asdict(s), "dtype": "float32"} for s in states],
            speech={
                "alphabet": list(ALPHABET),
                "blank": 0,
                "vocabulary": [],
                **asdict(front_end),
                "chunk_frames": chunk_frames,
                "logits_per_chunk": step.logits_per_chunk,
            },
        ),
        card="# tiny-speech\n",
    )


def _chunk(step: TranscriberStep, number: int) -> Arrays:
    random = np.random.default_rng(number)
    shapes = {"features": (1, step.chunk_frames, step.n_mels)}
    shapes |= {state.input: state.shape for state in step.state_tensors()}
    return {
        name: random.standard_normal(shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def measure_speech(bundle: Bundle, engine: Engine) -> TaskMetric:
    """1 if the text of a clip begins otherwise than the module's, else 0."""
    clip = _clip()
    reader = Transcriber(bundle, engine, FrontEnd().sample_rate_hz)
    reader.feed(clip)
    found = reader.finish().text
    features = FrontEnd().features(clip)  # (T, M)
    whole = len(features) // STRIDE_FRAMES * STRIDE_FRAMES
    with torch.no_grad():
        logits = transcriber()(torch.from_numpy(features[None, :whole]))[0]
    expected = whole_text(logits.numpy(), ALPHABET, 0)
    value = float(not found.startswith(expected))
    return TaskMetric("differs", value, 0.0, value, 1, "noise", "greedy, streamed")


def _clip() -> NDArray[np.float32]:
    """Return noise that falls still in the middle third."""
    clip = np.random.default_rng(9).normal(0.0, 0.1, CLIP_SAMPLES)
    clip[CLIP_SAMPLES // 3 : -CLIP_SAMPLES // 3] *= 0.001
    return clip.astype(np.float32)


def _spec(
    name: str,
    shape: tuple[int, ...],
    layout: str,
    minimum: float | None = None,
    maximum: float | None = None,
) -> TensorSpec:
    return TensorSpec(name, "float32", shape, layout, minimum, maximum, None)


def _facts(network: nn.Module, **changes: Any) -> Mapping[str, Any]:
    return {
        "depths": [],
        "states": [],
        "picture": None,
        "speech": None,
        "source": source_facts(
            {"recipe": "tests", "settings": {}}, source_weights(network)
        ),
        "licence": {"code": "Apache-2.0", "weights": "Apache-2.0", "data": ["none"]},
        "training_data": ["none"],
        **changes,
    }
