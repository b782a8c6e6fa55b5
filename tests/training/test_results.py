"""The published figures: how they are made, and that documents and results agree."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_runtime.errors import DataError, SettingError
from tests.training.hand_made_results import (
    COMPARED,
    call,
    made,
    marked,
    written,
)
from training import result_rows, results
from training.result_sources import ROOT, sources_sha256
from training.result_tables import (
    DOCUMENTS,
    ELSEWHERE,
    MEASUREMENTS,
    README,
    TABLES,
    fill_tables,
    outcome_of,
    read_results,
)
from training.results import Setup, make
from training.speech_tables import SENTENCES, UNSEEN


def test_digits_have_the_unseen_speaker_and_strings(setup: Setup) -> None:
    """Single clips, clips joined, and the digit strings of another set."""
    result = made(setup, "digits")

    assert [
        (UNSEEN, 1),
        ("the same, joined with gaps", 2),
        ("speechocean762, digit strings of its test set", 1),
    ] == [(row["data"], row["n_utterances"]) for row in result["rows"]]


def test_speech_stands_beside_another_program(setup: Setup) -> None:
    """Whole and in pieces; what was measured before is not measured again."""
    rows = made(setup, "speech")["rows"]

    found = [
        (row["decoding"], row["engine"], row["precision"], row["cut"])
        for row in rows
        if row["data"] == SENTENCES
    ]
    assert [
        ("greedy", "litert", "int8", "whole"),
        ("greedy", "litert", "int8", "pieces of 10 ms"),
        ("beam, language model", "litert", "int8", "whole"),
        ("beam, language model", "litert", "int8", "pieces of 10 ms"),
        ("beam, language model", "PocketSphinx", None, "whole"),
    ] == found
    assert 5 + 4 * 3 == len(rows) - len(found)
    (kept,) = (setup.root / "runs").glob("speech-*.jsonl")
    first, *others, last = kept.read_text(encoding="utf-8").strip().splitlines()
    assert len(rows) == 2 + len(others)
    changed = json.dumps(json.loads(first) | {"wer": 0.125})
    kept.write_text("\n".join([changed, *others, last[:20]]), encoding="utf-8")

    again = made(setup, "speech")["rows"]

    assert [0.125, *(row.get("wer") for row in rows[1:])] == [
        row.get("wer") for row in again
    ]
    lines = kept.read_text(encoding="utf-8").splitlines()
    assert [changed, *others, last[:20]] == lines[:-1]


def test_tables_stand_in_their_documents(setup: Setup) -> None:
    """Each make brings its table, and what quality stands beside a latency."""
    heard = replace(setup, transcribe=setup.digits)
    for name in TABLES:
        make(name, heard if name == "long_recording" else setup, call)

    assert written(setup, README).startswith("Before.\n")
    text = written(setup)
    assert text.startswith("Before.\n") and text.endswith("\nAfter.\n")
    lines = text.splitlines()
    assert (
        "| engine | version | precision | depth | PSNR σ 15 | PSNR σ 25 | SSIM σ 15"
        " | SSIM σ 25 |"
    ) in lines
    bundles, _ = (line for line in lines if line.startswith("| blur.tflite"))
    assert bundles.endswith("| 96 | 96 | 0 |")
    latency = [line for line in lines if line.startswith("| blur | litert")]
    assert 2 * 2 == len(latency)  # of `denoise` and of `denoise_live`
    assert all(line.endswith(" dB at σ 25 |") for line in latency)
    (speech,) = (line for line in lines if line.startswith("| tones | litert"))
    assert speech.endswith(" word errors |")
    assert "Short run: published figures need 1024 runs and 60 s." in lines
    assert len(TABLES) - len(ELSEWHERE) == sum(
        line.startswith("Measured on ") for line in lines
    )


def test_exporters_stand_beside_each_other(setup: Setup) -> None:
    """Sizes, memory and accuracy of both, or what became of a file; and a picture."""
    result = made(setup, "sharing")

    lines = written(setup, README).splitlines()
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
    text = written(setup)

    again = fill_tables(text, read_results(setup.folder), MEASUREMENTS)

    assert text == again


def test_a_latency_without_quality_says_so(setup: Setup) -> None:
    """Where the quality was not measured, the row says that, not 0."""
    make("latency", setup, call)

    lines = written(setup).splitlines()
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

    text = fill_tables(marked(MEASUREMENTS), {"latency": result}, MEASUREMENTS)

    assert "Not measured: blur litert fp32: no." in text.splitlines()


def test_a_failed_measurement_leaves_all_as_it_was(setup: Setup) -> None:
    """Neither a results file nor a document is touched."""
    before = written(setup)

    def fail(*arguments: str) -> dict[str, Any]:
        raise SettingError("tiedge bench: failed, see above")

    with pytest.raises(SettingError):
        make("latency", setup, fail)

    assert before == written(setup)
    assert not setup.folder.exists()


def test_a_document_without_a_place_leaves_all_as_it_was(setup: Setup) -> None:
    """Nothing is written unless all of it can be."""
    (setup.root / MEASUREMENTS).write_text("# tiedge\n")
    readme = written(setup, README)

    with pytest.raises(DataError, match=r"^docs/measurements\.md: no place for a"):
        make("bundles", setup, call)

    assert not setup.folder.exists()
    assert readme == written(setup, README)


def test_no_engine_is_one_line(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without engines gets no empty results."""
    monkeypatch.setattr(result_rows, "installed_engines", list)

    with pytest.raises(
        SettingError,
        match=r"^denoise: nothing could be measured; no engine is installed$",
    ):
        make("denoise", setup, call)


def test_a_document_without_a_place_is_refused(setup: Setup) -> None:
    """The line shows the marks that are expected."""
    result = made(setup, "bundles")

    with pytest.raises(
        DataError,
        match=r"^docs/measurements\.md: no place for a table, expected"
        r" <!-- table:bundles -->"
        r" <!-- /table:bundles -->$",
    ):
        fill_tables("# tiedge\n", {"bundles": result}, MEASUREMENTS)


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


@pytest.mark.parametrize("document", DOCUMENTS)
def test_tables_are_those_of_the_results(document: str) -> None:
    """Documents hold what `make results` writes from the results as they stand."""
    text = (ROOT / document).read_text(encoding="utf-8")

    filled = fill_tables(text, read_results(ROOT / "results"), document)

    assert text == filled


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
    """Files, times and memory stand there as they were measured."""
    made(setup, "dial")

    text = written(setup)
    for line in (
        "| loop | tflite | int8 | 70,000 | 10,000 |",
        "| litert 2.3.0 | int8 | 16 | 70.2 | 66.0 | 1.06 |",
        "| litert | int8 | loop | 44.5 | 44.5 |",
    ):
        assert line in text


def test_a_pace_is_told_frame_by_frame(setup: Setup) -> None:
    """Another program runs in the middle third; the plot is drawn."""
    found = made(setup, "frame_budget")

    rows = found["rows"]
    assert 2 == found["conditions"]["threads"]
    assert len(rows) + sum(row["lost"] for row in rows) == pytest.approx(45, abs=1)
    busy = [row["at_s"] for row in rows if row["other_program"]]
    assert (0.5, 1.0) == pytest.approx((busy[0], busy[-1]), abs=0.1)
    assert "frames of one tile at 30 a second" in written(setup)
    with Image.open(setup.root / "docs" / "frame_budget.png") as plot:
        assert plot.size[0] > 500
