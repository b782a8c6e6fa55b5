"""`tiedge listen` with options that exclude each other, and odd streams."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tiedge
from edge_runtime.errors import AudioError, TiedgeError
from edge_runtime.speech.sources import open_microphone
from tests.demo_app.hand_made_bundles import spoken_tones, tones_bundle
from tests.edge_runtime.test_listen_command import (
    PATIENCE_S,
    RATE_HZ,
    ROOT,
    command,
    pcm,
)

EXPECTED = "expected 16-bit little-endian mono PCM, or WAV"


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of a bundle that writes low tones as a, high ones as b."""
    return str(tones_bundle(tmp_path_factory.mktemp("bundles")))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "--stdin --device 3",
            "--stdin: is heard instead of a microphone; leave --dev",
        ),
        ("--device=", "--device: is empty, expected a name or number"),
        ("--bundle=", "argument --bundle: is empty, expected a name or path;"),
        (
            "--wyoming --rate 8000 --json",
            "--wyoming: clients send the sound, and get the text; leave out --rate and"
            " --json",
        ),
        ("--wyoming --seconds 3", "get the text; leave out --seconds"),
        ("--wyoming --stdin", "get the text; leave out --stdin"),
        ("--wyoming here", "--wyoming here: expected HOST:PORT, as 127.0.0.1:10300"),
        ("--wyoming :10300", "--wyoming :10300: expected HOST:PORT"),
        ("--wyoming here:0", "--wyoming here:0: expected HOST:PORT"),
        ("--wyoming here:65536", "--wyoming here:65536: expected HOST:PORT"),
        ("--wyoming here:+80", "--wyoming here:+80: expected HOST:PORT"),
        ("--wyoming ::1:80", "--wyoming ::1:80: expected HOST:PORT"),
        ("--seconds nan", "argument --seconds: found nan, expected 0.0 to"),
    ],
)
def test_options_that_do_not_fit_are_refused_first(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a bundle is looked for, which would be refused, too."""
    status = tiedge.main(["listen", "--bundle", "none such", *arguments.split(" ")])

    output = capsys.readouterr()
    assert (1, "", 1) == (status, output.out, output.err.count("\n"))
    assert message in output.err


@pytest.mark.parametrize("host", ["192.0.2.1", "a..b", "x" * 300])
def test_hosts_that_are_none_are_told(
    tones: str, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address of another machine, and what can be no name."""
    pytest.importorskip("wyoming", reason="wyoming is not installed")

    status = tiedge.main(
        ["listen", "--bundle", tones, "--precision", "fp32", "--wyoming", f"{host}:1"]
    )

    said = capsys.readouterr().err
    assert (1, 1) == (status, said.count("\n"))
    assert f"--wyoming {host}:1: cannot be taken: " in said


def listen(tones: str, redirection: str, *arguments: str) -> Any:
    """Return what came of a run by a shell, which can close what is open."""
    words = [*command(tones, "--stdin", *arguments)]
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.mark.parametrize(
    ("redirection", "message"),
    [
        ("<&-", f"stdin: is closed, {EXPECTED}"),
        ("</dev/null", f"stdin: ends without a sample, {EXPECTED}"),
        ("0>/dev/null", "stdin: cannot be read: Bad file descriptor"),
    ],
)
def test_a_stream_that_is_none_is_one_line(
    tones: str, redirection: str, message: str
) -> None:
    """Not an empty text, as if nobody had spoken."""
    done = listen(tones, redirection)

    assert (1, "") == (done.returncode, done.stdout)
    assert f"tiedge listen: {message}\n" == done.stderr


def test_a_terminal_sends_no_sound(tones: str) -> None:
    """Nobody types PCM."""
    ours, theirs = pty.openpty()
    done = subprocess.run(
        command(tones, "--stdin"),
        stdin=theirs,
        capture_output=True,
        cwd=ROOT,
        timeout=PATIENCE_S,
        check=False,
    )
    os.close(ours)
    os.close(theirs)

    line = f"tiedge listen: stdin: is a terminal, {EXPECTED} from a file or a pipe\n"
    assert line.encode() == done.stderr


def test_a_stream_that_ends_within_a_word_has_its_text(
    tones: str, tmp_path: Path
) -> None:
    """Even within a sample, of which one byte is left: that is told behind it."""
    samples = spoken_tones(RATE_HZ)
    ends = np.flatnonzero(np.abs(samples) > 0.05)
    sound = pcm(samples[: (ends[0] + ends[-1]) // 2])
    for rest, status in ((b"", 0), (b"1", 1)):
        (tmp_path / "a.raw").write_bytes(sound + rest)

        done = listen(tones, f"<'{tmp_path}/a.raw'")

        assert (status, "a") == (done.returncode, done.stdout[:1])
        assert status == done.stderr.count(f"stdin: ends within a sample, {EXPECTED}")


def test_a_pipe_that_does_not_wait_is_read(tones: str) -> None:
    """Its other end may have asked for that, for both."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    with subprocess.Popen(
        command(tones, "--stdin"),
        stdin=read,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    ) as process:
        os.close(read)
        with os.fdopen(write, "wb") as file:
            file.write(pcm(spoken_tones(RATE_HZ)))
        said = process.communicate(timeout=PATIENCE_S)

    assert (b"ab\n", b"") == said


def test_a_reader_that_leaves_ends_it(tones: str, tmp_path: Path) -> None:
    """Without a word, and before all was heard."""
    said = np.concatenate([spoken_tones(RATE_HZ), np.zeros(RATE_HZ, np.float32)])
    (tmp_path / "a.raw").write_bytes(pcm(np.tile(said, 5)))
    with (
        (tmp_path / "a.raw").open("rb") as file,
        subprocess.Popen(
            command(tones, "--stdin"),
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"a" == process.stdout.read(1)
        process.stdout.close()

        assert b"" == process.stderr.read()
        assert 1 == process.wait(PATIENCE_S)


def microphone(device: str | None) -> None:
    with open_microphone(device, RATE_HZ):
        pass


def test_without_sounddevice_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And without the system's library, what installs that."""
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(TiedgeError, match=r'sounddevice is not installed; .* "listen"'):
        microphone(None)

    class NoLibrary:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice")
    monkeypatch.setattr(sys, "meta_path", [NoLibrary(), *sys.meta_path])
    with pytest.raises(AudioError, match="PortAudio is not installed; run: apt-get"):
        microphone(None)


@pytest.mark.parametrize("device", [None, "3", "none such", "²", "9" * 5000])
def test_without_a_microphone_those_that_are_there_are_named(
    device: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None, where the list of them cannot be had either."""

    class PortAudioError(Exception):
        pass

    def fail(**_: Any) -> None:
        raise PortAudioError("Error querying device -1\nmore")

    sounddevice = ModuleType("sounddevice")
    monkeypatch.setattr(sounddevice, "PortAudioError", PortAudioError, raising=False)
    monkeypatch.setattr(sounddevice, "InputStream", fail, raising=False)
    monkeypatch.setattr(sounddevice, "query_devices", fail, raising=False)
    monkeypatch.setitem(sys.modules, "sounddevice", sounddevice)

    with pytest.raises(AudioError, match=r"cannot be opened: .*; there are: none$"):
        microphone(device)
