"""`tiedge listen` from a microphone: PortAudio, ALSA and PulseAudio as they are."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

import pytest

import tiedge
from edge_runtime.speech.sources import Waiting
from tests.demo_app.hand_made_bundles import spoken_tones, tones_bundle

if find_spec("sounddevice") is None or find_library("portaudio") is None:
    pytest.skip("sounddevice or PortAudio is not installed", allow_module_level=True)
if shutil.which("pulseaudio") is None:
    pytest.skip("pulseaudio is not installed", allow_module_level=True)

ROOT = Path(tiedge.__file__).parent
RATE_HZ = 16_000
PATIENCE_S = 60.0


@pytest.fixture
def room(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Yield an environment whose microphone hears what its speaker plays."""
    server = f"unix:{tmp_path}/native"
    (tmp_path / "room.pa").write_text(
        f"load-module module-null-sink sink_name=room rate={RATE_HZ} channels=1\n"
        "load-module module-native-protocol-unix auth-anonymous=1"
        f" socket={tmp_path}/native\n"
    )
    (tmp_path / "asound.conf").write_text(
        f'pcm.!default {{ type pulse server "{server}" device "room.monitor" }}\n'
    )
    environment = os.environ | {
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "PULSE_SERVER": server,
        "ALSA_CONFIG_PATH": str(tmp_path / "asound.conf"),
    }
    command = ["pulseaudio", "-n", "-F", str(tmp_path / "room.pa"), "--daemonize=no"]
    with subprocess.Popen(
        [*command, "--exit-idle-time=-1"],
        env=environment | {"PULSE_SERVER": ""},
        stderr=subprocess.DEVNULL,
    ) as process:
        began = time.monotonic()
        while not (tmp_path / "native").exists():
            assert process.poll() is None
            assert time.monotonic() < began + PATIENCE_S
            time.sleep(0.05)
        yield environment
        process.terminate()


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of a bundle that writes low tones as a, high ones as b."""
    return str(tones_bundle(tmp_path_factory.mktemp("bundles")))


def listen(tones: str, room: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Return `tiedge listen`, which hears already."""
    process = subprocess.Popen(
        [
            *(sys.executable, "tiedge.py", "listen", "--bundle", tones),
            *("--precision", "fp32", *arguments),
        ],
        cwd=ROOT,
        env=room,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "listening; Ctrl-C ends\n" == process.stderr.readline()
    return process


def test_what_is_played_is_written_down(
    tones: str, room: dict[str, str], tmp_path: Path
) -> None:
    """While it goes on; Ctrl-C ends it in order."""
    path = tmp_path / "said.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((spoken_tones(RATE_HZ) * 32767).astype("<i2").tobytes())
    process = listen(tones, room)
    assert process.stdout is not None

    subprocess.run(["paplay", str(path)], env=room, check=True, timeout=PATIENCE_S)
    heard = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=PATIENCE_S)

    assert "ab\n" == heard
    assert (130, "") == (process.returncode, told)


def test_it_ends_after_its_seconds(tones: str, room: dict[str, str]) -> None:
    """Silence has no text."""
    process = listen(tones, room, "--seconds", "2")

    out, told = process.communicate(timeout=PATIENCE_S)

    assert (0, "", "") == (process.returncode, out, told)


def test_a_microphone_that_there_is_not_is_named(
    tones: str, room: dict[str, str]
) -> None:
    """With those that there are."""
    done = subprocess.run(
        [
            *(sys.executable, "tiedge.py", "listen", "--bundle", tones),
            *("--precision", "fp32", "--device", "loft"),
        ],
        cwd=ROOT,
        env=room,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert 1 == done.returncode
    assert done.stderr.startswith("tiedge listen: microphone loft: cannot be opened: ")
    assert "; there are: 0 default" in done.stderr


def test_the_end_waits_for_nobody() -> None:
    """PortAudio says it in a thread that the stream's end waits for."""
    waiting = Waiting(RATE_HZ, bound_s=0.0)
    block = spoken_tones(RATE_HZ)[:1600]
    waiting.put(block)
    waiting.put(block)

    waiting.end()

    assert 1 == len(list(waiting))
    assert 0.1 == pytest.approx(waiting.lost_s)
