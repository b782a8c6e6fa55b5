"""What an interrupted transcription leaves behind, whole and damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.errors import SettingError
from edge_runtime.speech.record import Record, open_record
from edge_runtime.speech.transcript import Segment
from edge_runtime.transcriber import TimedWord

SETTING = {"source": "a.wav", "bytes": 9, "words": ["yes"], "grammar": None}
TEXTS = ["one", "two", "three"]


def segment(number: int) -> Segment:
    word = TimedWord(TEXTS[number], float(number), number + 0.5, 1.0, "")
    return Segment(float(number), number + 0.5, TEXTS[number], (word,))


def write_all(folder: Path, name: str = "a") -> Path:
    """Write a record of three utterances, of the end and of a text."""
    with open_record(folder, name, SETTING) as record:
        for number in range(len(TEXTS)):
            record.add(segment(number), 10 * (number + 1))
        record.end(3.0)
        record.add_written("txt")
    return next((folder / ".tiedge-transcribe").rglob("*.jsonl"))


def read(folder: Path, **changed: object) -> Record:
    with open_record(folder, "a", SETTING | changed) as record:
        return record


def texts(record: Record) -> list[str]:
    return [segment.text for segment in record.segments]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Utterances, the end, and which texts there are."""
    write_all(tmp_path)

    record = read(tmp_path)

    assert [segment(number) for number in range(3)] == record.segments
    assert (30, 3.0, {"txt"}) == (record.n_chunks, record.audio_s, record.written)
    assert (None, False) == (record.remark, record.is_new)


def test_a_flipped_byte_is_noticed(tmp_path: Path) -> None:
    """What stands before its line is used, nothing of it and nothing behind."""
    path = write_all(tmp_path)
    data = path.read_bytes()
    for place in range(0, len(data), 5):
        flipped = data[place] ^ 1
        path.write_bytes(data[:place] + bytes([flipped]) + data[place + 1 :])
        n_before = max(0, data[:place].count(b"\n") - 1)

        record = read(tmp_path)

        assert TEXTS[:n_before] == texts(record), place
        assert 10 * min(3, n_before) == record.n_chunks
        assert record.remark is not None
        assert ": damaged; goes on from" in record.remark


def test_a_cut_is_noticed(tmp_path: Path) -> None:
    """Where a line ends, it is just a run that was stopped; elsewhere, it is told."""
    path = write_all(tmp_path)
    data = path.read_bytes()
    ends = [place + 1 for place in range(len(data) - 1) if data[place] == ord("\n")]
    for length in [*range(1, len(data), 5), *ends]:
        path.write_bytes(data[:length])
        n_before = max(0, data[:length].count(b"\n") - 1)

        record = read(tmp_path)

        assert TEXTS[:n_before] == texts(record), length
        assert (data[length - 1 : length] == b"\n") == (record.remark is None)


@pytest.mark.parametrize(
    ("order", "kept"), [((0, 2, 3), []), ((0, 1, 1, 2), ["one"]), ((0, 1, 3), ["one"])]
)
def test_lines_that_were_lost_or_doubled_are_noticed(
    tmp_path: Path, order: tuple[int, ...], kept: list[str]
) -> None:
    """Each line's sum depends on all before."""
    path = write_all(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[place] for place in order))

    assert kept == texts(read(tmp_path))


@pytest.mark.parametrize("junk", [bytes(5000), b"\n", b"[" * 10**5, b"{}\n" * 9])
def test_junk_is_begun_anew(tmp_path: Path, junk: bytes) -> None:
    """Zeros as a crashed system leaves them, and lines of something else."""
    path = write_all(tmp_path)
    path.write_bytes(junk)

    record = read(tmp_path)

    assert f"{path}: damaged; goes on from the beginning" == record.remark
    assert [] == texts(record)
    assert read(tmp_path).remark is None


def test_it_goes_on_behind_the_damage(tmp_path: Path) -> None:
    """What is added then is read with what was kept."""
    path = write_all(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:20])

    with open_record(tmp_path, "a", SETTING) as record:
        record.add(segment(2), 30)

    assert ["one", "three"] == texts(read(tmp_path))


@pytest.mark.parametrize(
    ("changed", "remark"),
    [
        ({"source": "b.wav"}, "was a.wav in the last run; transcribed anew"),
        ({"bytes": 10}, "changed since the last run; transcribed anew"),
        ({"beginning_crc32": 1}, "changed since the last run; transcribed anew"),
        ({"words": []}, "the last run had another bundle or other options;"),
    ],
)
def test_another_setting_begins_anew(
    tmp_path: Path, changed: dict[str, object], remark: str
) -> None:
    """And says what differs."""
    write_all(tmp_path)

    record = read(tmp_path, **changed)

    assert [] == texts(record)
    assert record.audio_s is None
    assert record.remark is not None
    assert record.remark.startswith(remark)


def test_long_names_have_records_of_their_own(tmp_path: Path) -> None:
    """A recording's name may be as long as the system allows."""
    for last in "xy":
        with open_record(tmp_path, "in/" + "ä" * 125 + last, SETTING) as record:
            assert record.is_new

    paths = list((tmp_path / ".tiedge-transcribe" / "in").iterdir())
    assert [2, 2] == [len(paths), len({path.name for path in paths})]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """Reading from a pipe would wait for ever."""
    path = tmp_path / ".tiedge-transcribe" / "a.jsonl"
    path.mkdir(parents=True)

    with pytest.raises(SettingError) as caught:
        read(tmp_path)

    assert (
        f"{path}: is a folder, expected a record of tiedge transcribe; remove it"
        == str(caught.value)
    )


def test_two_runs_do_not_write_one_record(tmp_path: Path) -> None:
    """The second is told to wait."""
    with (
        open_record(tmp_path, "a", SETTING),
        pytest.raises(SettingError, match="another tiedge transcribe writes it; wait"),
        open_record(tmp_path, "a", SETTING),
    ):
        pass
