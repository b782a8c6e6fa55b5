"""A root to measure into: hand-made bundles, pictures, clips, and made-up rows."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

import tiedge
from tests.demo_app.hand_made_bundles import (
    blur_bundle,
    double_bundle,
    light_bundle,
    spoken_tones,
    tones_bundle,
)
from training import result_rows
from training.result_tables import (
    DOCUMENTS,
    MEASUREMENTS,
    README,
    TABLES,
    document_of,
)
from training.results import Setup, make

RATE_HZ = 8000


def marked(document: str) -> str:
    """Return a document with a place for each of its tables."""
    names = [name for name in TABLES if document_of(name) == document]
    names += ["summary"] * (document == README)
    marks = (f"<!-- table:{n} -->\n<!-- /table:{n} -->" for n in names)
    return "\n".join(["Before.", *marks, "After.", ""])


COMPARED = [
    {
        "module": "conv × 4",
        "format": "pte",
        "precision": precision,
        "exporter": exporter,
        "scheme": "none",
        "n_parameters": 1000,
        "file_bytes": 5000,
        "unique_bytes": 4000,
        "stored_bytes": 4000 + duplicate_bytes,
        "duplicate_bytes": duplicate_bytes,
        "engine": "executorch",
        "engine_version": "1.5.1",
        "ram_bytes": 7_250_000,
        "relative_error": 0.0,
        "snr_db": snr_db,
        "failure": failure,
        "converts": True,
        "runs": failure is None,
        "right": failure is None and (snr_db is None or snr_db > 20),
    }
    for precision, exporter, duplicate_bytes, snr_db, failure in (
        ("fp32", "plain", 600, None, None),
        ("fp32", "tiedge", 0, None, None),
        ("int8", "plain", 0, None, "crashes (SIGSEGV)"),
        ("int8", "tiedge", 0, 38.4, None),
    )
]
"""What a comparison with the plain exporters says of one module and format."""


DIALLED = [
    {
        "kind": "file",
        "way": "loop",
        "format": "tflite",
        "precision": "int8",
        "file_bytes": 70_000,
        "unique_bytes": 60_000,
        "overhead_bytes": 10_000,
    },
    {
        "kind": "time",
        "engine": "litert",
        "engine_version": "2.3.0",
        "precision": "int8",
        "depth": 16,
        "n_runs": 15,
        "loop_p50_ms": 70.25,
        "unrolled_p50_ms": 66.0,
        "ratio": 1.0644,
    },
    *(
        {
            "kind": "memory",
            "way": "loop",
            "engine": "litert",
            "precision": "int8",
            "depth": depth,
            "base_rss_bytes": 90_000_000,
            "rss_bytes": 44_500_000,
        }
        for depth in (1, 16)
    ),
]
"""What a dial beside unrolled graphs may be like."""


def _network(name: str, precision: str, ms: float) -> dict[str, Any]:
    same = {"kind": "network", "engine": "litert", "threads": 1, "size_px": [384, 384]}
    return {**same, "name": name, "precision": precision, "p50_ms": ms}


SPEEDS = [
    *(
        _network(name, precision, ms * times)
        for name, ms in (("denoise, depth 8", 80.0), ("DnCNN", 400.0), ("FFDNet", 96.0))
        for precision, times in (("int8", 1.0), ("fp32", 4.0))
    ),
    {
        "kind": "runtime",
        "name": "denoise, depth 8",
        "size_px": [384, 384],
        "engine_p50_ms": 80.0,
        "filter_p50_ms": 84.0,
        "part": 0.05,
    },
    {
        "kind": "live",
        "name": "denoise-live, depth 1",
        "threads": 2,
        "size_px": [480, 640],
        "p50_ms": 12.5,
        "fps": 80.0,
    },
    *(
        {
            "kind": "looks",
            "name": "smooth",
            "depth": depth,
            "threads": threads,
            "size_px": [1000, 1000],
            "p50_ms": 20.0 * depth / threads,
            "opencv_p50_ms": 200.0,
            "ratio": 10.0 * threads / depth,
        }
        for threads in (1, 2)
        for depth in (1, 2)
    ),
    {
        "kind": "cbm3d",
        "name": "denoise, depth 8",
        "size_px": [321, 481],
        "p50_ms": 150.0,
        "cbm3d_p50_ms": 21_000.0,
        "ratio": 140.0,
    },
]
"""What speeds side by side may be like."""


def call(*arguments: str) -> dict[str, Any]:
    """Run tiedge in this process, which the hand-made fp32 bundles need no other."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        status = tiedge.main([*arguments, "--json"])
    assert status == 0
    found: dict[str, Any] = json.loads(output.getvalue())
    return found


def made_setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    """Return a root with documents, hand-made bundles and clips; it has photographs."""
    monkeypatch.setenv("TIEDGE_DATA", str(tmp_path))
    monkeypatch.setattr(result_rows, "installed_engines", lambda: ["litert"])
    _write_speech(tmp_path / "speech")
    (tmp_path / "docs").mkdir()
    for document in DOCUMENTS:
        (tmp_path / document).write_text(marked(document))
    return Setup(
        denoise=str(blur_bundle(tmp_path / "bundles")),
        denoise_live=str(blur_bundle(tmp_path / "live")),
        superres=str(double_bundle(tmp_path / "bundles")),
        enhance=str(light_bundle(tmp_path / "bundles")),
        looks=str(light_bundle(tmp_path / "looks", ("smooth", "glow"))),
        digits=str(tones_bundle(tmp_path / "bundles")),
        photos="photos",
        small_photos="photos",
        gray=("photos",),
        speech="speech",
        strings="speech",
        keywords="speech",
        orders="orders",
        sigmas=(15.0, 25.0),
        n_joined=2,
        runs=3,
        seconds=0.0,
        compare=lambda: {"rows": COMPARED},
        dial=lambda: {"rows": DIALLED},
        speed=lambda: {"rows": SPEEDS},
        export_fp32=None,
        hours=60 / 3600,
        paced_seconds=1.5,
        root=tmp_path,
    )


def _write_speech(folder: Path) -> None:
    import soundfile

    folder.mkdir()
    soundfile.write(folder / "a.wav", spoken_tones(RATE_HZ), RATE_HZ)
    rows = ["path\ttext\tsplit\tsplit_speaker_disjoint\tkind\tkw_end"]
    rows += ["a.wav\tone\ttest\tdev\tkeyword\t2.0"]
    rows += ["a.wav\tcall one\ttest\ttrain\tsentence\t"]
    (folder / "transcripts.tsv").write_text("\n".join(rows) + "\n")
    orders = folder.with_name("orders")
    orders.mkdir()
    rows = ["path\tintent\tslots_json", "../speech/a.wav\torderDrink\t{}"]
    (orders / "labels.tsv").write_text("\n".join(rows) + "\n")


def made(setup: Setup, name: str) -> dict[str, Any]:
    make(name, setup, call)
    found: dict[str, Any] = json.loads((setup.folder / f"{name}.json").read_text())
    return found


def written(setup: Setup, document: str = MEASUREMENTS) -> str:
    """Return a document as it stands."""
    return (setup.root / document).read_text(encoding="utf-8")
