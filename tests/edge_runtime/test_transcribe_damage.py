"""`tiedge transcribe` with damaged files, odd folders, and processes that end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tiedge
from edge_runtime.options import usable_cores
from tests.demo_app.hand_made_bundles import spoken_tones, tones_bundle
from tests.edge_runtime.test_transcribe_command import (
    RATE_HZ,
    call_into,
    recording,
    write_wav,
)

ROOT = Path(tiedge.__file__).parent
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of a bundle that writes low tones as a, high ones as b."""
    return str(tones_bundle(tmp_path_factory.mktemp("bundles")))


def record_of(folder: Path, name: str = "long") -> Path:
    return folder / ".tiedge-transcribe" / f"{name}.jsonl"


def test_a_damaged_record_is_told_and_does_no_harm(
    tones: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text is the same, neither wrong nor doubled, wherever a byte was changed."""
    path, out = recording(tmp_path, 3), tmp_path / "out"
    call_into(tones, out, str(path), "--format", "json")
    expected = (out / "long.json").read_text()
    data = record_of(out).read_bytes()
    capsys.readouterr()
    for place in range(50, len(data), len(data) // 9):
        damaged = data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]
        record_of(out).write_bytes(damaged)

        assert 0 == call_into(tones, out, str(path), "--format", "json")
        assert expected == (out / "long.json").read_text()
        said = capsys.readouterr().err
        begins = f"tiedge transcribe: {path}: {record_of(out)}: damaged; goes on from "
        assert said.startswith(begins)
        assert 1 == said.count("\n")


def test_another_recording_of_the_same_name_is_transcribed(
    tones: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the same length and time, too; where it was another file, that is told."""
    path, out = recording(tmp_path, 1), tmp_path / "out"
    call_into(tones, out, str(path))
    before = path.stat()
    samples = np.zeros(int(3.7 * RATE_HZ), np.float32)
    write_wav(path, samples, RATE_HZ)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert before.st_size == path.stat().st_size

    call_into(tones, out, str(path))

    assert "" == (out / "long.txt").read_text()
    assert "changed since the last run; transcribed anew" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    other = recording(tmp_path / "other", 1)
    call_into(tones, out, str(other))
    assert f"{other}: was {path} in the last run;" in capsys.readouterr().err
    assert "ab\n" == (out / "long.txt").read_text()


def test_a_text_that_is_not_of_the_last_run_is_written_anew(
    tones: str, tmp_path: Path
) -> None:
    """A run may end between the last word and its file."""
    path, out = recording(tmp_path, 1), tmp_path / "out"
    call_into(tones, out, str(path))
    *lines, _ = record_of(out).read_bytes().splitlines(keepends=True)
    record_of(out).write_bytes(b"".join(lines))
    (out / "long.txt").write_text("what was said before\n")

    call_into(tones, out, str(path))

    assert "ab\n" == (out / "long.txt").read_text()


def test_what_lies_beside_a_recording_is_not_replaced(
    tones: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A transcript by hand, for instance; texts of its own are."""
    path = recording(tmp_path, 1)
    by_hand = tmp_path / "long.txt"
    by_hand.write_text("by hand")

    status = call_into(tones, tmp_path, str(path))

    assert (1, "by hand") == (status, by_hand.read_text())
    assert (
        f"tiedge transcribe: {by_hand}: is there, and not by tiedge transcribe; name"
        " another --output, or move it away\n"
    ) == capsys.readouterr().err
    by_hand.unlink()
    assert 0 == call_into(tones, tmp_path, str(path))
    path.touch()
    assert 0 == call_into(tones, tmp_path, str(path))
    assert "ab\n" == by_hand.read_text()


def test_several_files_end_with_a_count_of_failures(
    tones: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Links to nowhere and folders named like recordings are told one by one."""
    source = tmp_path / "in"
    source.mkdir()
    recording(source, 1)
    (source / "gone.wav").symlink_to("nowhere.wav")
    (source / "link.wav").symlink_to(tmp_path)
    (source / "pipe.wav").symlink_to("/dev/zero")

    status = call_into(tones, tmp_path / "out", str(source), "--json")

    output = capsys.readouterr()
    assert 1 == status
    assert output.err.endswith("tiedge transcribe: 3 of 4 could not be transcribed\n")
    errors = [row.get("error") for row in json.loads(output.out)["rows"]]
    assert [
        f"{source}/gone.wav: No such file or directory",
        f"{source}/link.wav: is a folder, expected an audio file",
        None,
        f"{source}/pipe.wav: is a device or a pipe, expected an audio file",
    ] == errors


@pytest.mark.parametrize("length", [255, 250])
def test_names_as_long_as_the_system_allows(
    tones: str, tmp_path: Path, length: int
) -> None:
    """They have a text, and a record."""
    path = recording(tmp_path, 1).rename(tmp_path / f"{'n' * (length - 4)}.wav")

    assert 0 == call_into(tones, tmp_path / "out", str(path))
    assert "ab\n" == (tmp_path / "out" / f"{'n' * (length - 4)}.txt").read_text()


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_names_that_are_no_utf_8_are_taken(
    tones: str, tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they come from other systems."""
    path = tmp_path / os.fsdecode(b"a\xff." + ending.encode())
    if ending == "wav":
        write_wav(path, spoken_tones(RATE_HZ), RATE_HZ)
    else:
        soundfile = pytest.importorskip("soundfile", reason="soundfile is missing")
        soundfile.write(tmp_path / "a.flac", spoken_tones(RATE_HZ), RATE_HZ)
        (tmp_path / "a.flac").rename(path)

    assert 0 == call_into(tones, tmp_path / "out", str(path))
    assert 0 == call_into(tones, tmp_path / "out", str(path), "--json")
    assert json.loads(capsys.readouterr().out)["rows"][0]["done_before"]


@pytest.mark.parametrize("place", ["file", "loop", "gone/loop"])
def test_output_that_can_be_no_folder_is_refused(
    tones: str, tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line names it; nor is there a bundle without a name."""
    (tmp_path / "file").write_text("")
    (tmp_path / "gone").mkdir()
    for loop in ("loop", "gone/loop"):
        (tmp_path / loop).symlink_to("loop")

    status = call_into(tones, tmp_path / place, str(recording(tmp_path, 1)))

    said = capsys.readouterr().err
    assert (1, 1) == (status, said.count("\n"))
    assert f"{tmp_path / place}" in said
    assert 1 == call_into("", tmp_path / place, str(tmp_path / "long.wav"))
    assert "--bundle: is empty, expected a name or path;" in capsys.readouterr().err


def test_a_run_of_several_processes_ends_at_once(tones: str, tmp_path: Path) -> None:
    """Though its recordings would take long; the next run goes on where it was."""
    if usable_cores() < 2:
        pytest.skip("one core leaves no choice")
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    recording(tmp_path, 150).rename(source / "a.wav")
    (source / "b.wav").hardlink_to(source / "a.wav")
    process = subprocess.Popen(
        [
            *(sys.executable, "tiedge.py", "transcribe", source, "--output", out),
            *("--bundle", tones, "--precision", "fp32", "--jobs", "2"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until = time.monotonic() + PATIENCE_S
    records = [record_of(out, "a"), record_of(out, "b")]
    while not all(path.exists() and path.stat().st_size > 2000 for path in records):
        assert time.monotonic() < until
        time.sleep(0.02)

    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    _, said = process.communicate(timeout=PATIENCE_S)

    assert time.monotonic() - began < 8.0
    assert (143, b"") == (process.returncode, said)
    assert [] == [*out.glob("*.txt"), *out.glob(".tiedge-*-*")]
