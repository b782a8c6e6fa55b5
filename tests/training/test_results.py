"""The published figures: how they are made, and that README and results agree."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tiedge
from edge_runtime.bundle import find_bundle
from edge_runtime.errors import DataError, SettingError
from tests.demo_app.hand_made_bundles import (
    blur_bundle,
    double_bundle,
    light_bundle,
    spoken_tones,
    tones_bundle,
)
from training import result_rows, results
from training.result_tables import (
    TABLES,
    UNSEEN,
    fill_tables,
    outcome_of,
    read_results,
)
from training.results import ROOT, Setup, make, sources_sha256

RATE_HZ = 8000
MARKS = "\n".join(f"<!-- table:{n} -->\n<!-- /table:{n} -->" for n in TABLES)


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
            "size_px": [1000, 1000],
            "p50_ms": 20.0 * depth,
            "opencv_p50_ms": 200.0,
            "ratio": 10.0 / depth,
        }
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


@pytest.fixture
def setup(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    """Return a root with a README, two hand-made bundles, photographs and clips."""
    monkeypatch.setenv("TIEDGE_DATA", str(tmp_path))
    monkeypatch.setattr(result_rows, "installed_engines", lambda: ["litert"])
    _write_speech(tmp_path / "speech")
    (tmp_path / "README.md").write_text(f"Before.\n{MARKS}\nAfter.\n")
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
        sigmas=(15.0, 25.0),
        n_joined=2,
        runs=3,
        seconds=0.0,
        compare=lambda: {"rows": COMPARED},
        dial=lambda: {"rows": DIALLED},
        speed=lambda: {"rows": SPEEDS},
        paced_seconds=1.5,
        root=tmp_path,
    )


def _write_speech(folder: Path) -> None:
    import soundfile

    folder.mkdir()
    soundfile.write(folder / "a.wav", spoken_tones(RATE_HZ), RATE_HZ)
    rows = ["path\ttext\tsplit\tsplit_speaker_disjoint"]
    rows += ["a.wav\tone\ttest\tdev", "a.wav\tcall one\ttest\ttrain"]
    (folder / "transcripts.tsv").write_text("\n".join(rows) + "\n")


def made(setup: Setup, name: str) -> dict[str, Any]:
    make(name, setup, call)
    found: dict[str, Any] = json.loads((setup.folder / f"{name}.json").read_text())
    return found


def test_denoise_has_a_row_per_depth_and_sigma(setup: Setup) -> None:
    """Each row repeats what `tiedge evaluate` says of it, with its conditions."""
    result = made(setup, "denoise")

    assert [(15.0, 1), (15.0, 2), (25.0, 1), (25.0, 2)] == [
        (row["sigma"], row["depth"]) for row in result["rows"]
    ]
    found = call(
        *("evaluate", setup.denoise, "--data", str(setup.root / "photos")),
        *("--precision", "fp32", "--depth", "1"),
    )
    assert found["psnr_db"] == result["rows"][2]["psnr_db"]
    assert {"device", "python", "versions", "threads", "revision"} == (
        result["conditions"].keys()
    )


def test_enhance_stands_beside_its_peers(setup: Setup) -> None:
    """Each depth on dark pictures, each peer once, then pictures that need no light."""
    rows = made(setup, "enhance")["rows"]

    dark = [row for row in rows if row["exposure"] == "dark"]
    good = [row for row in rows if row["exposure"] == "good"]
    assert [1, 2] == [row["depth"] for row in dark if not row["peer"]]
    assert 3 == len([row for row in dark if row["peer"]])
    assert [(None, 1), (None, 2), (0.0, 1), (0.0, 2)] == [
        (row["strength"], row["depth"]) for row in good
    ]
    assert dark[1]["psnr_db"] > dark[0]["psnr_db"] > dark[0]["untouched_psnr_db"]
    assert good[-1]["psnr_db"] is None  # no strength: nothing is changed
    readme = (setup.root / "README.md").read_text()
    assert "| light | litert | fp32 | 2 |" in readme
    assert "| 0 | 2 | no difference |" in readme


def test_peers_stand_on_a_part_of_the_photographs(setup: Setup) -> None:
    """Every fourth picture, each depth and each peer once, with time and size."""
    rows = made(setup, "denoise_peers")["rows"]

    own = [row for row in rows if not row["peer"]]
    assert [1, 2] == [row["depth"] for row in own]
    assert {1} == {row["n_pictures"] for row in rows}  # of four
    assert all(row["ms"] > 0 for row in rows)
    assert own[0]["file_bytes"] == find_bundle(setup.denoise).models[0].bytes
    readme = (setup.root / "README.md").read_text()
    assert "\n| blur, depth 2 | " in readme
    assert "\n| non-local means (OpenCV) | " in readme


def test_gray_stands_beside_published_figures(setup: Setup) -> None:
    """A line per depth, one per paper where the set is known, one unfiltered."""
    result = made(setup, "denoise_gray")
    rows = [row | {"data": "photos/Set12"} for row in result["rows"]]

    text = fill_tables(MARKS, {"denoise_gray": result | {"rows": rows}})

    assert "| photos/Set12 | BM3D, published | 32.37 | 29.97 |" in text.splitlines()
    assert 4 + 1 == text.count("\n| photos/Set12 | ")


def test_superres_stands_beside_bicubic(setup: Setup) -> None:
    """What bicubic reaches in the same run checks the protocol."""
    rows = made(setup, "superres")["rows"]

    (row,) = rows
    assert 2 == row["scale"]
    line = f"| bicubic |  |  |  | {row['bicubic_psnr_db']:.2f} |  |"
    assert line in (setup.root / "README.md").read_text().splitlines()


def test_each_look_stands_beside_its_operator(setup: Setup) -> None:
    """A line per look with every depth, nothing done, and both times."""
    rows = made(setup, "looks")["rows"]

    assert [("smooth", 1), ("smooth", 2), ("glow", 1), ("glow", 2)] == [
        (row["look"], row["depth"]) for row in rows if not row["peer"]
    ]
    assert ["smooth (OpenCV)", "glow (OpenCV)"] == [
        row["peer"] for row in rows if row["peer"]
    ]
    lines = (setup.root / "README.md").read_text().splitlines()
    (glow,) = (line for line in lines if line.startswith("| glow | "))
    assert f"{rows[-2]['psnr_db']:.2f}" in glow


def test_speeds_are_told_as_ratios(setup: Setup) -> None:
    """Each comparison has its table or line."""
    made(setup, "picture_speed")

    written = (setup.root / "README.md").read_text()
    for line in (
        "| denoise, depth 8 | 80.0 | 320.0 | 4.0 | 5.0 | 1.2 |",
        "| denoise, depth 8 | 384×384 | 80.0 | 84.0 | 5.0% |",
        "| denoise-live, depth 1 | 640×480 | 2 | 12.5 | 80 |",
        "| smooth | 200 | 20 | 40 | 10.0 | 5.0 |",
        "CBM3D takes 21.0 s for a picture of 481×321, denoise, depth 8 150 ms: 140"
        " times faster.",
    ):
        assert line in written.splitlines()


def test_digits_have_the_unseen_speaker_and_strings(setup: Setup) -> None:
    """Single clips, clips joined, and the digit strings of another set."""
    result = made(setup, "digits")

    assert [
        (UNSEEN, 1),
        ("the same, joined with gaps", 2),
        ("speechocean762, digit strings of its test set", 1),
    ] == [(row["data"], row["n_utterances"]) for row in result["rows"]]


def test_tables_stand_in_the_readme(setup: Setup) -> None:
    """Each make brings its table, and what quality stands beside a latency."""
    for name in TABLES:
        make(name, setup, call)

    readme = (setup.root / "README.md").read_text()
    assert readme.startswith("Before.\n") and readme.endswith("\nAfter.\n")
    lines = readme.splitlines()
    assert (
        "| engine | version | precision | depth | PSNR σ 15 | PSNR σ 25 | SSIM σ 15"
        " | SSIM σ 25 |"
    ) in lines
    bundles, _ = (line for line in lines if line.startswith("| blur.tflite"))
    assert bundles.endswith("| 96 | 96 | 0 |")
    latency = [line for line in lines if line.startswith("| blur | litert")]
    assert 2 == len(latency)
    assert all(line.endswith(" dB at σ 25 |") for line in latency)
    (speech,) = (line for line in lines if line.startswith("| tones | litert"))
    assert speech.endswith(" word errors |")
    assert "Short run: published figures need 1024 runs and 60 s." in lines
    assert len(TABLES) == sum(line.startswith("Measured on ") for line in lines)


def test_exporters_stand_beside_each_other(setup: Setup) -> None:
    """Sizes, memory and accuracy of both, or what became of a file; and a picture."""
    result = made(setup, "sharing")

    lines = (setup.root / "README.md").read_text().splitlines()
    assert (
        "| conv × 4 | pte | 5 KB, 1 KB twice, 7.2 MB | 5 KB, 0 KB twice, 7.2 MB"
        " | **crashes** | 5 KB, 0 KB twice, 7.2 MB, 38 dB |"
    ) in lines
    assert (
        "- plain: of 2 files 1 × right, 1 × crashes; the right ones hold 1 KB of"
        " weights a second time."
    ) in lines
    assert "litert-torch" in result["conditions"]["versions"]
    with Image.open(setup.root / "docs" / "sharing.png") as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "right"),
        ({"right": False}, "wrong"),
        ({"right": False, "runs": False, "failure": "refuses"}, "does not load"),
        (
            {"right": False, "runs": False, "converts": False, "failure": "x"},
            "does not convert",
        ),
        (
            {
                "right": False,
                "runs": False,
                "converts": False,
                "failure": "x",
                "exporter": "tiedge",
            },
            "refused",
        ),
        ({"right": False, "runs": False, "failure": "crashes (SIGABRT)"}, "crashes"),
    ],
)
def test_outcomes_are_told_apart(changes: dict[str, Any], expected: str) -> None:
    """A file is right, wrong, or there is a word for how far it came."""
    assert expected == outcome_of(COMPARED[0] | changes)


def test_a_table_made_again_replaces_itself(setup: Setup) -> None:
    """Filling the same results twice changes nothing."""
    make("bundles", setup, call)
    readme = (setup.root / "README.md").read_text()

    again = fill_tables(readme, read_results(setup.folder))

    assert readme == again


def test_a_latency_without_quality_says_so(setup: Setup) -> None:
    """Where the quality was not measured, the row says that, not 0."""
    make("latency", setup, call)

    lines = (setup.root / "README.md").read_text().splitlines()
    assert all(
        line.endswith("| not measured |")
        for line in lines
        if line.startswith(("| blur | litert", "| tones | litert"))
    )


def test_a_case_that_failed_is_named(setup: Setup) -> None:
    """A case that an engine refused is told under the table with its reason."""
    result = made(setup, "latency")
    result["rows"][0] = {
        "bundle": "blur",
        "engine": "litert",
        "precision": "fp32",
        "error": "no",
    }

    text = fill_tables(MARKS, {"latency": result})

    assert "Not measured: blur litert fp32: no." in text.splitlines()


def test_a_failed_measurement_leaves_all_as_it_was(setup: Setup) -> None:
    """Neither a results file nor the README is touched."""
    before = (setup.root / "README.md").read_text()

    def fail(*arguments: str) -> dict[str, Any]:
        raise SettingError("tiedge bench: failed, see above")

    with pytest.raises(SettingError):
        make("latency", setup, fail)

    assert before == (setup.root / "README.md").read_text()
    assert not setup.folder.exists()


def test_no_engine_is_one_line(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without engines gets no empty results."""
    monkeypatch.setattr(result_rows, "installed_engines", list)

    with pytest.raises(
        SettingError,
        match=r"^denoise: nothing could be measured; no engine is installed$",
    ):
        make("denoise", setup, call)


def test_a_readme_without_a_place_is_refused(setup: Setup) -> None:
    """The line shows the marks that are expected."""
    result = made(setup, "bundles")

    with pytest.raises(
        DataError,
        match=r"^README\.md: no place for a table, expected <!-- table:bundles -->"
        r" <!-- /table:bundles -->$",
    ):
        fill_tables("# tiedge\n", {"bundles": result})


def test_sources_tell_stale_results(setup: Setup, tmp_path: Path) -> None:
    """The hash follows the measured bundle's model files, and only its own task's."""
    before = {name: sources_sha256(name, setup) for name in TABLES}
    manifest = Path(setup.denoise) / "bundle.json"
    told = json.loads(manifest.read_text()) | {"summary": "Another one."}
    manifest.write_text(json.dumps(told))
    again = {name: sources_sha256(name, setup) for name in TABLES}
    model = told["models"][0]
    data = (Path(setup.denoise) / model["path"]).read_bytes() + b"\0"
    (Path(setup.denoise) / model["path"]).write_bytes(data)
    model |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest.write_text(json.dumps(told))

    after = {name: sources_sha256(name, setup) for name in TABLES}

    assert before == again
    assert {
        *("denoise", "denoise_peers", "denoise_gray", "bundles", "latency"),
        *("frame_budget", "picture_speed"),
    } == {name for name in TABLES if before[name] != after[name]}


def test_the_command_is_called_as_users_do(setup: Setup) -> None:
    """A process of its own answers with its JSON object, or fails with one line."""
    picture = np.full((16, 16, 3), 99, np.uint8)
    Image.fromarray(picture).save(setup.root / "photo.png")
    arguments = ("evaluate", setup.denoise, "--data", str(setup.root / "photo.png"))

    found = results.call_tiedge(*arguments, "--precision", "fp32")

    assert ("blur", 1) == (found["bundle"], found["n_pictures"])
    with pytest.raises(SettingError, match=r"^tiedge evaluate .* failed, see above$"):
        results.call_tiedge(*arguments, "--precision", "fp16")


def test_what_is_asked_for_has_to_be_known(capsys: pytest.CaptureFixture[str]) -> None:
    """A results file that there is not is one line, status 1."""
    status = results.main(["--only", "size"])

    assert 1 == status
    assert capsys.readouterr().err.startswith(
        "results: argument --only: invalid choice: 'size'"
    )


def test_readme_tables_are_those_of_the_results() -> None:
    """The README holds what `make results` writes from the results as they stand."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    filled = fill_tables(readme, read_results(ROOT / "results"))

    assert readme == filled


@pytest.mark.parametrize("name", TABLES)
def test_results_belong_to_these_sources(name: str) -> None:
    """A results file was measured with the sources and bundles of this checkout."""
    path = ROOT / "results" / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"results/{name}.json: not measured yet; run make results")

    recorded = json.loads(path.read_text(encoding="utf-8"))["sources_sha256"]

    assert recorded == sources_sha256(name, Setup()), (
        f"results/{name}.json is stale; run make results ONLY={name}"
    )


def test_a_dial_is_told_in_three_tables(setup: Setup) -> None:
    """Files, times and memory stand in README.md as they were measured."""
    made(setup, "dial")

    written = (setup.root / "README.md").read_text()
    for line in (
        "| loop | tflite | int8 | 70,000 | 10,000 |",
        "| litert 2.3.0 | int8 | 16 | 70.2 | 66.0 | 1.06 |",
        "| litert | int8 | loop | 44.5 | 44.5 |",
    ):
        assert line in written


def test_a_pace_is_told_frame_by_frame(setup: Setup) -> None:
    """Another program runs in the middle third; the plot is drawn."""
    found = made(setup, "frame_budget")

    rows = found["rows"]
    assert 2 == found["conditions"]["threads"]
    assert len(rows) + sum(row["lost"] for row in rows) == pytest.approx(45, abs=1)
    busy = [row["at_s"] for row in rows if row["other_program"]]
    assert (0.5, 1.0) == pytest.approx((busy[0], busy[-1]), abs=0.1)
    assert "frames of one tile at 30 a second" in (setup.root / "README.md").read_text()
    with Image.open(setup.root / "docs" / "frame_budget.png") as plot:
        assert plot.size[0] > 500
