"""What published figures depend on: sources, bundles, and the conditions of a run."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from edge_runtime.bundle import find_bundle
from edge_runtime.device import read_device
from training.record import source_revision
from training.result_rows import THREADS, Row

ROOT = Path(__file__).parents[1]
PACED_THREADS = 2
"""Of the filter that keeps to a pace: another program can take one of its cores."""

VERSIONS = ("numpy", "Pillow")
"""Packages beside the engines, which rows name, that figures may depend on."""
EXPORTERS = ("torch", "litert-torch", "ai-edge-quantizer", "executorch", "torchao")
"""Packages that the comparison with the plain exporters depends on as well."""

ENGINES = (
    "edge_runtime/engine.py",
    "edge_runtime/engines/*.py",
    "edge_runtime/native/shim.cpp",
)
PICTURES = (
    *ENGINES,
    "edge_runtime/image_filter.py",
    "edge_runtime/pictures.py",
    "training/evaluation_pictures.py",
    "training/problems.py",
    "training/scikit_image.py",
)
SPEECH = (
    *ENGINES,
    "edge_runtime/audio.py",
    "edge_runtime/ctc.py",
    "edge_runtime/decoder.py",
    "edge_runtime/front_end.py",
    "edge_runtime/resample.py",
    "edge_runtime/speech/endpoint.py",
    "edge_runtime/speech/grammar.py",
    "edge_runtime/speech/hubs.py",
    "edge_runtime/speech/jsgf.py",
    "edge_runtime/speech/pronunciation.py",
    "edge_runtime/speech/script.py",
    "edge_runtime/speech/recording.py",
    "edge_runtime/speech/spelling.py",
    "edge_runtime/speech/viterbi.py",
    "edge_runtime/transcriber.py",
    "training/evaluation_speech.py",
    "training/metrics.py",
    "training/speech.py",
)
SEARCH = (
    *SPEECH,
    "edge_runtime/speech/beam.py",
    "edge_runtime/speech/language_model.py",
    "edge_runtime/speech/lexicon.py",
)
SOURCES = {
    "denoise": PICTURES,
    "denoise_peers": (*PICTURES, "training/cbm3d.py", "training/opencv.py"),
    "denoise_gray": PICTURES,
    "denoise_live": PICTURES,
    "superres": (*PICTURES, "training/luma.py", "training/scaling.py"),
    "enhance": (*PICTURES, "edge_runtime/tones.py", "training/exposure.py"),
    "looks": (*PICTURES, "training/looks.py", "training/opencv.py"),
    "digits": (*SPEECH, "training/connected_digits.py"),
    "bundles": (),
    "sharing": (
        "export/audit.py",
        "export/comparison_modules.py",
        "export/layout.py",
        "export/lift.py",
        "export/matching.py",
        "export/measured_run.py",
        "export/plain_exporters.py",
        "export/prepare.py",
        "export/pt2e.py",
        "export/quantize_tflite.py",
        "export/ranges.py",
        "export/side_by_side*.py",
        "export/tflite_bake.py",
        "export/tflite_rewrite.py",
        "export/to_*.py",
        "export/trace.py",
    ),
    "picture_speed": (
        *ENGINES,
        "edge_runtime/image_filter.py",
        "export/results/picture_speed.py",
        "training/cbm3d.py",
        "training/looks.py",
        "training/opencv.py",
    ),
    "dial": (
        *ENGINES,
        "edge_runtime/loop.py",
        "edge_runtime/ram_use.py",
        "export/dial*.py",
        "export/layout.py",
        "export/plans/denoise.py",
        "export/plans/repeated.py",
        "export/pt2e.py",
        "export/quantize_tflite.py",
        "export/to_*.py",
        "training/repeated.py",
        "training/sharing.py",
    ),
    "frame_budget": (
        *ENGINES,
        "edge_runtime/frame_budget.py",
        "edge_runtime/image_filter.py",
        "edge_runtime/loop.py",
        "training/paced_run.py",
    ),
    "clustering": ("training/clustering.py", "training/clustering_results.py"),
    "live": (
        *ENGINES,
        "edge_runtime/commands/live.py",
        "edge_runtime/frame_budget.py",
        "edge_runtime/image_filter.py",
        "edge_runtime/live/*.py",
        "edge_runtime/loop.py",
        "training/live_results.py",
    ),
    "whole_photo": (
        *ENGINES,
        "edge_runtime/image_filter.py",
        "edge_runtime/photo/*.py",
        "training/whole_photo.py",
    ),
    "latency": (
        *ENGINES,
        "edge_runtime/bench.py",
        "edge_runtime/first_run.py",
        "edge_runtime/packed_bytes.py",
    ),
    "speech": (*SEARCH, "training/speech_results.py", "training/sphinx.py"),
    "speech_latency": (*SEARCH, "training/speech_latency.py"),
    "long_recording": (
        *SEARCH,
        "edge_runtime/commands/transcribe.py",
        "edge_runtime/speech/desk.py",
        "edge_runtime/speech/record.py",
        "training/long_recording.py",
    ),
}
"""Results file to the source files, beside the bundles, that decide its figures."""

ALL = ("denoise", "denoise_live", "superres", "enhance", "looks", "digits")

BUNDLES: dict[str, tuple[str, ...]] = {
    "denoise": ("denoise",),
    "denoise_peers": ("denoise",),
    "denoise_gray": ("denoise",),
    "denoise_live": ("denoise_live",),
    "superres": ("superres",),
    "enhance": ("enhance",),
    "looks": ("looks",),
    "digits": ("digits",),
    "bundles": (*ALL, "transcribe", "lm"),
    "sharing": (),
    "picture_speed": ("denoise", "denoise_live", "looks"),
    "dial": (),
    "frame_budget": ("denoise",),
    "clustering": ("denoise", "digits"),
    "live": ("denoise_live",),
    "whole_photo": ("denoise",),
    "latency": ALL,
    "speech": ("digits", "transcribe", "lm"),
    "speech_latency": ("transcribe", "lm"),
    "long_recording": ("transcribe", "lm"),
}
"""Results file to the bundles that it tells of."""


OF_GRAPHS = ("latency",)
"""Results that new weights in the same graph do not change: a model file's length
stands for its graph."""


def conditions(name: str) -> Row:
    """Return what the figures of a results file depend on and no row says."""
    packages = VERSIONS + EXPORTERS * (name == "sharing")
    return {
        "device": asdict(read_device()),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in packages},
        "threads": PACED_THREADS if name == "frame_budget" else THREADS,
        "revision": source_revision(),
    }


def sources_sha256(name: str, setup: object) -> str:
    """Return one hash of a results file's sources and of the model files measured.

    `setup` names the bundles, by name or path, as `training.results.Setup` does.
    """
    paths = [path for glob in SOURCES[name] for path in sorted(ROOT.glob(glob))]
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for bundle in BUNDLES[name]:
        for model in find_bundle(getattr(setup, bundle)).models:
            if name in OF_GRAPHS:
                digest.update(f"{model.path.name} {model.bytes}".encode())
            else:
                digest.update(bytes.fromhex(model.sha256))
    return digest.hexdigest()
