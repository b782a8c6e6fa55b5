from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.audio import BLOCK_SAMPLES, open_audio, pcm_to_float, read_audio
from edge_runtime.errors import AudioError, missing_package

RATE_HZ = 16_000
NO_AUDIO = (
    "not audio that can be read, or damaged; expected WAV, FLAC, Ogg, Opus or MP3, or,"
    " with ffmpeg installed, another format"
)


def write_wav(
    path: Path,
    samples: NDArray[np.float32],
    sample_bytes: int = 2,
    rate_hz: int = RATE_HZ,
) -> Path:
    """Write samples, (S,) or (S, C), in ±1 as PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(sample_bytes)
        file.setframerate(rate_hz)
        file.writeframes(to_pcm(samples.ravel(), sample_bytes))
    return path


def to_pcm(samples: NDArray[np.float32], sample_bytes: int) -> bytes:
    whole = np.round(samples.astype(np.float64) * (2 ** (8 * sample_bytes - 1) - 1))
    if sample_bytes == 1:
        return (whole + 128).astype(np.uint8).tobytes()
    if sample_bytes == 3:
        return b"".join(struct.pack("<i", int(v))[:3] for v in whole)
    return whole.astype(f"<i{sample_bytes}").tobytes()


def wiggle(n_samples: int) -> NDArray[np.float32]:
    return np.sin(np.arange(n_samples) / 7).astype(np.float32) * np.float32(0.9)


@pytest.mark.parametrize(
    ("sample_bytes", "step"), [(1, 1 / 64), (2, 1e-4), (3, 1e-6), (4, 1e-6)]
)
def test_pcm_of_every_width_is_read(
    tmp_path: Path, sample_bytes: int, step: float
) -> None:
    """WAV files of 8 to 32 bits come back within a step of what was written."""
    path = write_wav(tmp_path / "a.wav", wiggle(1000), sample_bytes)

    samples, rate_hz = read_audio(path)

    assert RATE_HZ == rate_hz
    np.testing.assert_allclose(wiggle(1000), samples, atol=step)


def test_full_scale_is_one() -> None:
    """The most negative sample is exactly −1, whatever the width."""
    lowest = [b"\x00", b"\x00\x80", b"\x00\x00\x80", b"\x00\x00\x00\x80"]

    assert [-1.0] * 4 == [pcm_to_float(data, len(data))[0] for data in lowest]


def test_stereo_is_mixed(tmp_path: Path) -> None:
    """Two channels give their mean."""
    stereo = np.stack([wiggle(100), np.zeros(100, np.float32)], axis=1)
    path = write_wav(tmp_path / "a.wav", stereo)

    samples, _ = read_audio(path)

    np.testing.assert_allclose(wiggle(100) / 2, samples, atol=1e-4)


def test_long_files_come_in_blocks(tmp_path: Path) -> None:
    """No block is longer than the stated size, so memory does not grow."""
    path = write_wav(tmp_path / "a.wav", wiggle(2 * BLOCK_SAMPLES + 1))

    with open_audio(path) as audio:
        lengths = [len(block) for block in audio.blocks]

    assert [BLOCK_SAMPLES, BLOCK_SAMPLES, 1] == lengths


@pytest.mark.parametrize("ending", ["flac", "ogg"])
def test_other_formats_are_read(tmp_path: Path, ending: str) -> None:
    """What soundfile knows is read through it."""
    soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed")
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, wiggle(6000), RATE_HZ)

    samples, rate_hz = read_audio(path)

    assert (6000, RATE_HZ) == (len(samples), rate_hz)
    np.testing.assert_allclose(wiggle(6000), samples, atol=0.1)


@pytest.mark.parametrize("ending", ["m4a", "mkv"])
def test_what_ffmpeg_alone_reads_is_read(tmp_path: Path, ending: str) -> None:
    """Sound of videos, too; many channels are mixed."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    tone = "sine=frequency=300:sample_rate=16000:duration=0.5"
    path = tmp_path / f"a.{ending}"
    subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-f", "lavfi", "-i", tone, "-f", "lavfi"),
            *("-i", "testsrc=duration=0.5:size=64x64", "-map", "0:a", "-ac", "2"),
            *(("-map", "1:v") if ending == "mkv" else ()),
            str(path),
        ],
        check=True,
    )

    samples, rate_hz = read_audio(path)

    length_s = len(samples) / rate_hz
    pitch_hz = np.abs(np.fft.rfft(samples)).argmax() / length_s
    assert 0.5 == pytest.approx(length_s, abs=0.1)
    assert 300 == pytest.approx(pitch_hz, abs=5)


def test_a_truncated_recording_is_one_line(tmp_path: Path) -> None:
    """An MP3 that lost its end."""
    soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed")
    path = tmp_path / "a.mp3"
    soundfile.write(path, wiggle(160_000), RATE_HZ)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])

    with pytest.raises(AudioError, match=r"a\.mp3: truncated: holds \d+ samples, its"):
        read_audio(path)


def test_a_float_wav_is_read(tmp_path: Path) -> None:
    """A WAV that the standard library does not know goes to soundfile."""
    soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed")
    soundfile.write(tmp_path / "a.wav", wiggle(100), RATE_HZ, subtype="FLOAT")

    samples, _ = read_audio(tmp_path / "a.wav")

    np.testing.assert_array_equal(wiggle(100), samples)


def test_without_soundfile_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A format that needs soundfile says how to install it; WAV still works."""
    monkeypatch.setitem(sys.modules, "soundfile", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "a.flac").write_bytes(b"fLaC")
    write_wav(tmp_path / "a.wav", wiggle(100))

    with pytest.raises(AudioError) as caught:
        read_audio(tmp_path / "a.flac")

    assert (
        f"{tmp_path}/a.flac: no PCM WAV file; for other formats:"
        f" {missing_package('soundfile', 'listen')}, or install ffmpeg"
    ) == str(caught.value)
    assert 100 == len(read_audio(tmp_path / "a.wav")[0])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A path that is no file is refused."""
    with pytest.raises(AudioError) as caught:
        read_audio(tmp_path / "none.wav")

    assert f"{tmp_path}/none.wav: no such audio file" == str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (".", "is a folder, expected an audio file"),
        ("pipe", "is a device or a pipe, expected an audio file"),
        ("x" * 300, "no such audio file"),
    ],
)
def test_what_is_no_file_says_what_it_is(
    tmp_path: Path, name: str, message: str
) -> None:
    """A folder and a pipe are there, but are not to be read."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(AudioError) as caught:
        read_audio(tmp_path / name)

    assert f"{tmp_path / name}: {message}" == str(caught.value)


def test_text_is_no_audio(tmp_path: Path) -> None:
    """A file of another kind is refused as such."""
    pytest.importorskip("soundfile", reason="soundfile is not installed")
    (tmp_path / "a.wav").write_text("not a sound")

    with pytest.raises(AudioError) as caught:
        read_audio(tmp_path / "a.wav")

    assert f"{tmp_path}/a.wav: {NO_AUDIO}" == str(caught.value)


def test_a_chunk_beyond_the_end_is_refused(tmp_path: Path) -> None:
    """The standard library has an error of another kind for this one."""
    pytest.importorskip("soundfile", reason="soundfile is not installed")
    path = write_wav(tmp_path / "a.wav", wiggle(100))
    data = path.read_bytes()
    path.write_bytes(data[:12] + b"junk" + struct.pack("<I", 10**6) + data[12:])

    with pytest.raises(AudioError) as caught:
        read_audio(path)

    assert f"{path}: {NO_AUDIO}" == str(caught.value)


def test_samples_without_a_header_are_refused(tmp_path: Path) -> None:
    """Nobody knows the rate of a `.raw` file."""
    pytest.importorskip("soundfile", reason="soundfile is not installed")
    (tmp_path / "a.raw").write_bytes(bytes(1000))

    with pytest.raises(AudioError) as caught:
        read_audio(tmp_path / "a.raw")

    assert f"{tmp_path}/a.raw: {NO_AUDIO}" == str(caught.value)


@pytest.mark.parametrize("content", ["noise", "zeros", "nothing"])
def test_junk_named_mp3_is_one_line(
    tmp_path: Path, content: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The decoder's own words on stderr do not show."""
    pytest.importorskip("soundfile", reason="soundfile is not installed")
    noise = np.random.default_rng(0).bytes(100_000)
    data = {"noise": noise, "zeros": bytes(5000), "nothing": b""}[content]
    (tmp_path / "a.mp3").write_bytes(data)

    with pytest.raises(AudioError) as caught:
        read_audio(tmp_path / "a.mp3")

    assert f"{tmp_path}/a.mp3: {NO_AUDIO}" == str(caught.value)
    assert ("", "") == capfd.readouterr()


def test_a_damaged_mp3_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nor does what the decoder says while it reads on."""
    soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed")
    path = tmp_path / "a.mp3"
    soundfile.write(path, wiggle(160_000), RATE_HZ)
    data = path.read_bytes()
    middle = len(data) // 2
    junk = np.random.default_rng(0).bytes(3000)
    path.write_bytes(data[:middle] + junk + data[middle + len(junk) :])

    with pytest.raises(AudioError, match=r"a\.mp3: (damaged after|truncated)"):
        read_audio(path)

    assert ("", "") == capfd.readouterr()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "samples: hold NaN or infinity, expected numbers in ±1"),
        (
            3e38,
            "samples: reach 3e+38, expected ±1, and at most ±16; scale them to ±1"
            " first",
        ),
    ],
)
def test_float_samples_on_another_scale_name_the_file(
    tmp_path: Path, value: float, message: str
) -> None:
    """A float file can hold anything; even two such channels mix without a warning."""
    soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed")
    path = tmp_path / "a.wav"
    stereo = np.full((100, 2), value, np.float32)
    soundfile.write(path, stereo, RATE_HZ, subtype="FLOAT")

    with pytest.raises(AudioError) as caught:
        read_audio(path)

    assert f"{path}: {message}" == str(caught.value)


def test_no_samples_are_refused(tmp_path: Path) -> None:
    """A header with nothing behind it is empty audio."""
    path = write_wav(tmp_path / "a.wav", np.zeros(0, np.float32))

    with pytest.raises(AudioError) as caught:
        read_audio(path)

    assert f"{path}: holds no samples" == str(caught.value)


@pytest.mark.parametrize("n_missing_bytes", [1, 2, 1000])
def test_a_truncated_wav_is_refused(tmp_path: Path, n_missing_bytes: int) -> None:
    """Fewer samples than the header says are an error, not a short text."""
    path = write_wav(tmp_path / "a.wav", wiggle(5000))
    path.write_bytes(path.read_bytes()[:-n_missing_bytes])

    with pytest.raises(AudioError) as caught:
        read_audio(path)

    n_left = 5000 - -(-n_missing_bytes // 2)
    assert (f"{path}: truncated: holds {n_left} samples, its header says 5000") == str(
        caught.value
    )


def test_a_wav_from_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    """A header without a length, as recorders write into pipes, is no truncation."""
    path = write_wav(tmp_path / "a.wav", wiggle(5000))
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(data)

    assert 5000 == len(read_audio(path)[0])


def test_a_damaged_flac_is_refused(tmp_path: Path) -> None:
    """A compressed file cut in its middle is an error."""
    soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed")
    path = tmp_path / "a.flac"
    noise = np.random.default_rng(0).standard_normal(50_000) / 10
    soundfile.write(path, noise, RATE_HZ)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(AudioError, match=r"a\.flac: (damaged after|truncated)"):
        read_audio(path)
