"""Audio files with odd headers, and files that lost their end."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.audio import open_audio, read_audio
from edge_runtime.errors import AudioError
from tests.edge_runtime.test_audio import NO_AUDIO, RATE_HZ

UNMARKED = "its last page is not marked as the last: it was cut short, or grows still"
STOPPED = (
    "its header says 0 samples, though more follows: its recorder was stopped before it"
    " wrote the length; mend it, as sox --ignore-length IN OUT does"
)


def write(
    path: Path,
    *,
    channels: int = 1,
    rate_hz: int = RATE_HZ,
    data: bytes = bytes(8000),
    riff_bytes: int | None = None,
    data_bytes: int | None = None,
    before: bytes = b"",
) -> Path:
    """Write a 16-bit WAV file; its header may say what is not so."""
    form = struct.pack("<HHIIHH", 1, channels, rate_hz, 2 * rate_hz, 2, 16)
    size = len(data) if data_bytes is None else data_bytes
    body = b"WAVE" + before + b"fmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", size) + data
    whole = len(body) if riff_bytes is None else riff_bytes
    path.write_bytes(b"RIFF" + struct.pack("<I", whole) + body)
    return path


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"rate_hz": 0}, "its header says 0 samples a second"),
        ({"channels": 0}, NO_AUDIO),
        ({"channels": 65_535}, "holds no samples"),
        ({"data": b"\1"}, "holds no samples"),
        ({"data_bytes": 0}, STOPPED),
        (
            {"data_bytes": 9000},
            "truncated: holds 4000 samples, its header says 4500",
        ),
    ],
)
def test_odd_headers_are_one_line(
    tmp_path: Path, header: dict[str, Any], message: str
) -> None:
    """Which says what is wrong with the file."""
    pytest.importorskip("soundfile", reason="soundfile is not installed")
    path = write(tmp_path / "a.wav", **header)

    with pytest.raises(AudioError) as caught:
        read_audio(path)

    assert f"{path}: {message}" == str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        {"riff_bytes": 0},
        {"riff_bytes": 0xFFFF_FFFF},
        {"riff_bytes": 0xFFFF_FFFF, "data_bytes": 0xFFFF_FFFF},  # ffmpeg
        {"riff_bytes": 0x7FFF_F024, "data_bytes": 0x7FFF_F000},  # SoX
        {"riff_bytes": 0x7FFF_FF24, "data_bytes": 0x7FFF_FF00},  # arecord
        {"before": b"LIST" + struct.pack("<I", 5) + b"abcde\0"},
        {"data_bytes": 8001, "data": bytes(8001)},
    ],
)
def test_lengths_that_were_never_known_do_no_harm(
    tmp_path: Path, header: dict[str, Any]
) -> None:
    """All that is there is read; chunks of odd sizes have a byte behind."""
    pytest.importorskip("soundfile", reason="soundfile is not installed")

    samples, rate_hz = read_audio(write(tmp_path / "a.wav", **header))

    assert (4000, RATE_HZ) == (len(samples), rate_hz)


def test_one_sample_is_audio(tmp_path: Path) -> None:
    """A block of its own."""
    assert 1 == len(read_audio(write(tmp_path / "a.wav", data=b"\0\1"))[0])


def test_blocks_of_many_channels_are_small(tmp_path: Path) -> None:
    """A damaged header may say 65 535, and all of them would be read at once."""
    path = write(tmp_path / "a.wav", channels=60_000, data=bytes(40 * 120_000))

    with open_audio(path) as audio:
        lengths = [len(block) for block in audio.blocks]

    assert (8, 40) == (max(lengths), sum(lengths))


@pytest.fixture(params=["OPUS", "VORBIS"])
def ogg(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed")
    path = tmp_path / "a.ogg"
    noise = np.random.default_rng(0).standard_normal(200_000).astype(np.float32) / 9
    soundfile.write(path, noise, RATE_HZ, format="OGG", subtype=request.param)
    return path


def remark_on(path: Path) -> str | None:
    with open_audio(path) as audio:
        for _ in audio.blocks:
            pass
    return audio.remark


def test_an_ogg_file_that_lost_its_end_has_a_remark(ogg: Path) -> None:
    """Its decoder takes what is left for all; every cut is noticed."""
    data = ogg.read_bytes()
    assert remark_on(ogg) is None

    for n_left in (len(data) - 1, len(data) // 2, 3 * len(data) // 4):
        ogg.write_bytes(data[:n_left])

        assert UNMARKED == remark_on(ogg)
