import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from export.quiet import quiet

STDOUT, STDERR = 1, 2


def n_open() -> int:
    """Return how many file descriptors this process holds."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def speak(word: str) -> None:
    """Speak on every channel that converters know."""
    print(word)
    print(word, file=sys.stderr)
    os.write(STDOUT, word.encode())
    os.write(STDERR, word.encode())
    subprocess.run(["echo", word], check=True)


def test_nothing_is_heard_inside_and_all_of_it_after(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Print, file descriptors and processes are silent inside, and only there."""
    print("before")
    with quiet():
        speak("inside")
    print("after")

    assert ("before\nafter\n", "") == capfd.readouterr()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_ends_the_silence(
    capfd: pytest.CaptureFixture[str], error: type[BaseException]
) -> None:
    """After an error or an interrupt all is as before, and no descriptor is left."""
    n_before = n_open()

    with pytest.raises(error), quiet():
        speak("inside")
        raise error

    os.write(STDOUT, b"out")
    os.write(STDERR, b"err")
    assert ("out", "err") == capfd.readouterr()
    assert n_before == n_open()


def test_silences_can_be_nested(capfd: pytest.CaptureFixture[str]) -> None:
    """The inner one ends without ending the outer one."""
    with quiet():
        with quiet():
            speak("inner")
        speak("outer")

    assert ("", "") == capfd.readouterr()


def test_warnings_and_logs_are_kept_away(caplog: pytest.LogCaptureFixture) -> None:
    """Inside, a warning is no error and no log line; after it both are heard again."""
    with quiet():
        warnings.warn("inside", stacklevel=1)
        logging.getLogger("converter").warning("inside")
    logging.getLogger("converter").warning("after")

    assert ["after"] == [record.message for record in caplog.records]
    with pytest.raises(UserWarning):
        warnings.warn("after", stacklevel=1)
