import os
import socket
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import VideoError
from edge_runtime.live import jpeg
from edge_runtime.live.source import Source
from edge_runtime.live.stop import Stop
from edge_runtime.live.streams import JpegStream, RawStream, StreamSink
from tests.edge_runtime.live.frames import frame, mjpeg, number_of, written

SIZE = (6, 5)


def stream(descriptor: int, form: str) -> Source:
    if form == "raw":
        return RawStream(descriptor, "stdin", SIZE, Stop())
    return JpegStream(descriptor, "stdin", Stop())


def numbers(source: Source) -> list[int]:
    """Return the numbers of all its frames."""
    found = []
    while (shot := source.read()) is not None:
        found.append(number_of(shot.pixels))
    return found


def test_raw_frames_come_as_they_were_written() -> None:
    """Rows of RGB, one frame after another, until the pipe ends."""
    reading, writing = os.pipe()
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, 5, 6, 3), dtype=np.uint8)

    with written(writing, pictures.tobytes()):
        source = RawStream(reading, "stdin", SIZE, Stop())
        shots = [source.read() for _ in range(3)]
        end = source.read()

    assert end is None
    np.testing.assert_array_equal(pictures, [s.pixels for s in shots if s is not None])
    os.close(reading)


def test_raw_frames_of_another_size_are_told() -> None:
    """A stream that ends inside a frame has other frames than --size says."""
    reading, writing = os.pipe()

    with written(writing, bytes(100)), pytest.raises(VideoError) as caught:
        numbers(RawStream(reading, "stdin", SIZE, Stop()))

    assert (
        "stdin: ends after 10 bytes of a frame, expected 90 for 6×5 in RGB; is --size"
        " right?" == str(caught.value)
    )
    os.close(reading)


@pytest.mark.parametrize("form", ["raw", "mjpeg"])
def test_a_stream_that_cannot_be_read_is_told(form: str, tmp_path: Path) -> None:
    """One that is open for writing alone, as a shell's redirection may have it."""
    with (tmp_path / "a").open("wb") as file:
        source = stream(file.fileno(), form)

        with pytest.raises(VideoError) as caught:
            source.read()

    assert "stdin: cannot be read: Bad file descriptor" == str(caught.value)


@pytest.mark.parametrize("form", ["raw", "mjpeg"])
def test_a_connection_that_is_reset_is_told(form: str) -> None:
    """Where stdin is a socket, as of inetd."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    at_once = struct.pack("ii", 1, 0)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    theirs.close()

    with ours, pytest.raises(VideoError) as caught:
        stream(ours.fileno(), form).read()

    assert "stdin: cannot be read: Connection reset by peer" == str(caught.value)


def test_jpeg_pictures_come_one_by_one() -> None:
    """Their sizes may differ."""
    reading, writing = os.pipe()
    data = mjpeg(10, 20) + jpeg.encode(frame(30, 9, 7))

    with written(writing, data):
        found = numbers(JpegStream(reading, "stdin", Stop()))

    assert pytest.approx([10, 20, 30], abs=1) == found
    os.close(reading)


def test_single_damaged_pictures_are_passed_over() -> None:
    """As a loose cable makes them; ten in a row are no stream of pictures."""
    reading, writing = os.pipe()
    damaged = b"\xff\xd8\xff\xda\x00\x02\xff\xd9"

    with written(writing, damaged * 9 + mjpeg(10) + damaged * 9 + mjpeg(20)):
        found = numbers(JpegStream(reading, "stdin", Stop()))

    assert pytest.approx([10, 20], abs=1) == found
    os.close(reading)

    reading, writing = os.pipe()
    with (
        written(writing, damaged * 10),
        pytest.raises(VideoError, match="stdin: damaged JPEG picture"),
    ):
        numbers(JpegStream(reading, "stdin", Stop()))
    os.close(reading)


def test_a_stream_that_ends_inside_a_picture_is_told() -> None:
    """What was whole came before."""
    reading, writing = os.pipe()
    source = JpegStream(reading, "stdin", Stop())

    with (
        written(writing, mjpeg(10) + mjpeg(20)[:-9]),
        pytest.raises(VideoError, match="stdin: ends within a JPEG picture"),
    ):
        numbers(source)
    os.close(reading)


@pytest.mark.parametrize("form", ["raw", "mjpeg"])
def test_what_goes_out_comes_in_again(form: str) -> None:
    """A sink's stream is a source's."""
    reading, writing = os.pipe()
    stop = Stop()
    sink = StreamSink(writing, "stdout", form, stop)
    source = (
        RawStream(reading, "stdin", (64, 48), stop)
        if form == "raw"
        else JpegStream(reading, "stdin", stop)
    )
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.extend(numbers(source)))
    thread.start()

    for number in (10, 20, 30):
        sink.write(frame(number), number)
    os.close(writing)

    thread.join()
    os.close(reading)
    assert pytest.approx([10, 20, 30], abs=1) == found


def test_a_reader_that_takes_nothing_does_not_hold_up_the_end() -> None:
    """A full pipe is left as soon as the run is to end, and so is an empty one."""
    reading, writing = os.pipe()
    stop = Stop()
    threading.Timer(0.2, stop.set).start()
    began_s = time.monotonic()

    StreamSink(writing, "stdout", "raw", stop).write(frame(0, 500, 500), 0)
    waited_s = time.monotonic() - began_s
    end = RawStream(reading, "stdin", SIZE, stop).read()

    assert 0.2 <= waited_s < 5
    assert end is None
    os.close(reading)
    os.close(writing)


def test_a_raw_stream_has_one_size() -> None:
    """A reader could not know where another begins."""
    reading, writing = os.pipe()
    sink = StreamSink(writing, "stdout", "raw", Stop())
    sink.write(frame(0, 4, 6), 0)

    with pytest.raises(VideoError) as caught:
        sink.write(frame(0, 6, 4), 1)

    assert (
        "stdout: frame is 4×6, the stream began with 6×4; a raw stream has one size,"
        " mjpeg any" == str(caught.value)
    )
    os.close(reading)
    os.close(writing)
