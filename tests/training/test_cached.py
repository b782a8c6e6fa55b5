"""Caches that several processes need at once."""

import threading
from pathlib import Path

import pytest

from training.cached import alone

PATIENCE_S = 20.0


def test_one_fills_a_folder_and_the_next_waits(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The second finds what the first made; nothing else lies there."""
    folder, made = tmp_path / "cache", tmp_path / "cache" / "made"
    first_is_in, second_waits = threading.Event(), threading.Event()
    found: list[bool] = []

    def first() -> None:
        with alone(folder):
            first_is_in.set()
            assert second_waits.wait(PATIENCE_S)
            made.touch()

    def second() -> None:
        with alone(folder):
            found.append(made.exists())

    threads = [threading.Thread(target=work) for work in (first, second)]
    threads[0].start()
    assert first_is_in.wait(PATIENCE_S)
    threads[1].start()
    threads[1].join(0.2)
    assert threads[1].is_alive()
    second_waits.set()
    for thread in threads:
        thread.join(PATIENCE_S)

    assert found == [True]
    assert list(folder.iterdir()) == [made]
    assert capfd.readouterr().err == (
        f"{folder}: waiting for a process that fills it\n"
    )


def test_a_folder_that_cannot_be_made_is_not_locked(tmp_path: Path) -> None:
    """Whoever writes there says why."""
    (tmp_path / "file").touch()

    with alone(tmp_path / "file" / "cache"):
        pass
