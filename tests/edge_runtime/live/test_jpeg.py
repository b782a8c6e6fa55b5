import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edge_runtime.errors import VideoError
from edge_runtime.live import jpeg
from tests.edge_runtime.live.frames import frame, mjpeg, number_of


def noise(height: int, width: int) -> bytes:
    """Return a picture whose compressed data hold every byte."""
    rng = np.random.default_rng(0)
    return jpeg.encode(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@settings(max_examples=40)
@given(cut=st.integers(1, 5000))
def test_a_stream_may_be_cut_anywhere(cut: int) -> None:
    """The pictures come out as they went in, whatever the blocks are."""
    pictures = [noise(16, 24), mjpeg(3), noise(33, 17)]
    stream = b"--boundary\r\n".join(pictures)
    splitter = jpeg.JpegSplitter("stdin")

    found = [
        picture
        for start in range(0, len(stream), cut)
        for picture in splitter.feed(stream[start : start + cut])
    ]

    assert pictures == found
    assert not splitter.is_inside


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_rows": 1}])
def test_every_kind_of_jpeg_is_one_picture(options: dict[str, int]) -> None:
    """Several scans and restart marks inside a picture do not end it."""
    file = io.BytesIO()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", **options)

    assert [file.getvalue()] == list(jpeg.JpegSplitter("stdin").feed(file.getvalue()))


def test_a_thumbnail_belongs_to_its_picture() -> None:
    """A whole JPEG inside a segment neither begins nor ends a picture."""
    picture, inner = mjpeg(1), mjpeg(2)
    segment = b"\xff\xe1" + (len(inner) + 2).to_bytes(2, "big") + inner
    outer = picture[:2] + segment + picture[2:]

    assert [outer] == list(jpeg.JpegSplitter("stdin").feed(outer))


@pytest.mark.parametrize("part", [0.3, 0.6, 0.99])
def test_a_picture_that_is_cut_off_hides_no_other(part: float) -> None:
    """Inside its data, the next one begins."""
    cut = noise(64, 64)
    cut = cut[: int(part * len(cut))]

    assert [mjpeg(5)] == list(jpeg.JpegSplitter("stdin").feed(cut + mjpeg(5)))


def test_what_only_begins_like_a_picture_is_passed_over() -> None:
    """Bytes that look like a start, and then do not go on as one."""
    data = b"\xff\xd8\xff\xe0\x00\x04abno picture" + mjpeg(5)

    assert [mjpeg(5)] == list(jpeg.JpegSplitter("stdin").feed(data))


def test_garbage_is_told() -> None:
    """A megabyte without a picture is something else."""
    splitter = jpeg.JpegSplitter("stdin")

    with pytest.raises(VideoError) as caught:
        list(splitter.feed(bytes(2 << 20)))

    assert (
        "stdin: no JPEG picture within 1048576 bytes, expected one after another"
        == str(caught.value)
    )


def test_a_picture_without_an_end_is_told() -> None:
    """Memory does not grow with what never ends."""
    splitter = jpeg.JpegSplitter("stdin")
    picture = mjpeg(1)[:-2]

    with pytest.raises(VideoError, match="no end of a JPEG picture within 33554432"):
        for _ in range(40):
            list(splitter.feed(picture + bytes(1 << 20)))
            picture = b""


def test_a_picture_survives_the_way() -> None:
    """What is encoded is decoded alike, odd sizes too."""
    decoded = jpeg.decode(jpeg.encode(frame(77, 31, 17)), "stdin")

    assert (31, 17, 3) == decoded.shape
    assert abs(number_of(decoded) - 77) <= 1


def test_a_damaged_picture_is_told() -> None:
    """Neither a cut picture nor another format passes."""
    with pytest.raises(VideoError, match="stdin: damaged JPEG picture: "):
        jpeg.decode(noise(64, 64)[:300], "stdin")
    with pytest.raises(VideoError, match="stdin: damaged JPEG picture: "):
        jpeg.decode(b"GIF89a", "stdin")


def test_a_huge_picture_is_refused_before_it_is_decoded() -> None:
    """The header alone is read."""
    file = io.BytesIO()
    Image.new("L", (5000, 5000)).save(file, "JPEG")

    with pytest.raises(VideoError) as caught:
        jpeg.decode(file.getvalue(), "stdin")

    assert "stdin: frame of 5000×5000 pixels, expected at most 20000000" == str(
        caught.value
    )
