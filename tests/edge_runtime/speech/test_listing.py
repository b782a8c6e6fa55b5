"""Which recordings of a folder are transcribed."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from edge_runtime.errors import AudioError, DataError
from edge_runtime.speech.listing import list_recordings


def names(folder: Path) -> list[str]:
    return [recording.name for recording in list_recordings([folder]).recordings]


def test_folders_are_read_in_order(tmp_path: Path) -> None:
    """Files of a folder, then those of the folders in it; hidden ones are left out."""
    for name in (
        "b/z.WAV",
        "b/a.flac",
        "c.ogg",
        "a.mp3",
        "d.txt",
        ".h/a.wav",
        ".a.wav",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    assert ["a", "c", "b/a", "b/z"] == names(tmp_path)


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    """They may lead in a circle."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.wav").touch()
    (tmp_path / "inner" / "up").symlink_to(tmp_path)
    (tmp_path / "loop").symlink_to("loop")

    assert ["inner/a"] == names(tmp_path)


def test_files_that_cannot_be_read_are_listed(tmp_path: Path) -> None:
    """So that they are told, not passed over: a link to nowhere, a pipe."""
    (tmp_path / "a.wav").symlink_to("gone.wav")
    os.mkfifo(tmp_path / "b.wav")

    assert ["a", "b"] == names(tmp_path)


def test_folders_deeper_than_any_path_are_told(tmp_path: Path) -> None:
    """The rest is listed."""
    (tmp_path / "a.wav").touch()
    before = Path.cwd()
    try:
        os.chdir(tmp_path)
        for _ in range(45):
            os.mkdir("d" * 100)  # noqa: PTH102 (a path would be too long)
            os.chdir("d" * 100)
    finally:
        os.chdir(before)

    listing = list_recordings([tmp_path])

    assert ["a"] == [recording.name for recording in listing.recordings]
    (why,) = listing.closed.values()
    assert why.endswith(": cannot be read: File name too long")


def test_many_files_take_little_memory(tmp_path: Path) -> None:
    """Less than a kilobyte for each."""
    n_files = 500
    for number in range(n_files):
        (tmp_path / f"{number}.wav").touch()

    tracemalloc.start()
    listing = list_recordings([tmp_path])
    n_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert n_files == len(listing.recordings)
    assert n_bytes < 1000 * n_files


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    """What was expected is told."""
    (tmp_path / "a.txt").touch()

    with pytest.raises(DataError, match=r"holds no recording, expected some of \.aac"):
        list_recordings([tmp_path])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_closed_folder_is_refused(tmp_path: Path) -> None:
    """Where it is the one that was asked for."""
    tmp_path.chmod(0)

    with pytest.raises(AudioError, match="cannot be read: Permission denied"):
        list_recordings([tmp_path])
