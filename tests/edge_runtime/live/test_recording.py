from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.errors import SettingError, VideoError
from edge_runtime.live.jpeg import JpegSplitter, decode
from edge_runtime.live.recording import (
    RESERVE_BYTES,
    Encoder,
    JpegFile,
    Recording,
    recording,
)
from tests.edge_runtime.live.frames import frame, number_of


def levels(path: Path) -> list[int]:
    """Return the grey level of each picture of an MJPEG file."""
    pictures = JpegSplitter("file").feed(path.read_bytes())
    return [number_of(decode(picture, "file")) for picture in pictures]


class Counting(Encoder):
    """Keeps the level of each picture it is given."""

    keeps_time = True

    def __init__(self) -> None:
        self.levels: list[int] = []

    def write(self, picture: NDArray[np.uint8]) -> None:
        self.levels.append(number_of(picture))

    def close(self) -> None: ...


def test_a_file_appears_when_it_is_done(tmp_path: Path) -> None:
    """Until then it lies beside under another name."""
    path = tmp_path / "deep" / "a.mjpeg"

    with recording(path, lambda file, size: JpegFile(file)) as sink:
        sink.write(frame(10), 0)
        sink.write(frame(20), 1)
        before = path.exists()

    assert not before
    assert pytest.approx([10, 20], abs=1) == levels(path)
    assert [path] == list(path.parent.iterdir())


def test_dropped_frames_are_filled(tmp_path: Path) -> None:
    """In a file of one rate, a frame stands for those dropped before it."""
    encoder = Counting()
    sink = Recording(tmp_path / "a.mp4", tmp_path / "b.mp4", lambda size: encoder)

    for number in (0, 1, 4):
        sink.write(frame(number), number)

    assert [0, 1, 4, 4, 4] == encoder.levels


def test_a_recording_ends_before_the_disk_is_full(tmp_path: Path) -> None:
    """It is kept, and says why it ended."""
    free = iter([RESERVE_BYTES, RESERVE_BYTES - 1])
    encoder = Counting()
    path = tmp_path / "a.mp4"
    sink = Recording(path, path, lambda size: encoder, lambda folder: next(free))

    sink.write(frame(1), 0)
    sink.write(frame(2), 1)

    assert [1] == encoder.levels
    assert sink.has_ended
    assert f"{path}: ends with frame 1: the disk has less than 64 MB left" == (
        sink.complaint
    )


def test_a_recording_that_lacks_frames_is_kept_and_told(tmp_path: Path) -> None:
    """What an encoder finds out at its end is no reason to throw all away."""

    class Lossy(Counting):
        def close(self) -> None:
            raise VideoError("some frames are missing")

    path = tmp_path / "a.mp4"
    with recording(path, lambda file, size: Lossy()) as sink:
        sink.write(frame(1), 0)

    assert f"{path}: some frames are missing" == sink.complaint
    assert path.exists()


def test_a_recording_ends_where_the_size_changes(tmp_path: Path) -> None:
    """What came before is kept."""
    encoder = Counting()
    path = tmp_path / "a.mp4"
    sink = Recording(path, path, lambda size: encoder)

    sink.write(frame(1, 4, 6), 0)
    sink.write(frame(2, 6, 4), 1)

    assert [1] == encoder.levels
    assert sink.has_ended
    assert (
        f"{path}: ends with frame 1, which is 4×6: it began with 6×4, and has one size"
        == sink.complaint
    )


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    """What was there before stays."""
    path = tmp_path / "a.mjpeg"
    path.write_bytes(b"before")

    with pytest.raises(VideoError, match="not written, as no frame came"):
        with recording(path, lambda file, size: JpegFile(file)):
            pass

    assert b"before" == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Before a frame is taken."""
    (tmp_path / "file").touch()

    with pytest.raises(SettingError, match=r"file/a\.mjpeg: cannot be written: "):
        with recording(tmp_path / "file" / "a.mjpeg", lambda file, size: Counting()):
            pass
