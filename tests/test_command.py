"""The one command: quick help, clear mistakes, exit statuses."""

from __future__ import annotations

import os
import resource
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import tiedge
from edge_runtime import __version__
from edge_runtime.errors import PictureError

ROOT = Path(__file__).parents[1]

HELP_LIMIT_S = 0.3
HEAVY = {"numpy", "PIL", "torch", "tensorflow", "fastapi", "ai_edge_litert"}


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user of a checkout does."""
    return subprocess.run(
        [sys.executable, "tiedge.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., int]], str]:
    """Return a function that adds a verb and names it."""

    def add(function: Callable[..., int]) -> str:
        module = type(sys)("tiedge_test_verb")
        module.run = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "tiedge_test_verb", module)
        entry = tiedge.Verb("tiedge_test_verb:run", "a verb of the tests")
        monkeypatch.setitem(tiedge.VERBS, "try", entry)
        return "try"

    return add


def test_help_is_quick() -> None:
    """Help answers in under 0.3 s of processor time, which other work cannot delay."""
    seconds = []
    for _ in range(5):
        before = processor_s()
        call("--help")
        seconds.append(processor_s() - before)

    assert statistics.median(seconds) < HELP_LIMIT_S, seconds


def processor_s() -> float:
    """Return what this process's children that have ended have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("argument", ["--help", "--version", "unknown"])
def test_help_imports_nothing_heavy(argument: str) -> None:
    """Help, version and mistakes import no engine, no numpy and no server."""
    code = (
        "import sys, tiedge; tiedge.main(sys.argv[1:]);"
        "print(*{m.partition('.')[0] for m in sys.modules}, sep='\\n')"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", code, argument],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()

    assert set() == HEAVY & set(loaded)


def test_help_has_a_line_per_verb() -> None:
    """Help names every verb; no argument at all is a call for help."""
    shown = call("--help").stdout

    assert list(tiedge.VERBS) == [
        line.split()[0] for line in shown.splitlines() if line.startswith("  ")
    ]
    assert shown == call().stdout


def test_version() -> None:
    """`--version` prints the runtime's version."""
    assert f"tiedge {__version__}\n" == call("--version").stdout


def test_unknown_verb_lists_the_legal_ones() -> None:
    """A verb that is none is one line with all that are, status 1."""
    result = call("fliter")

    assert (1, "") == (result.returncode, result.stdout)
    assert (
        "tiedge: fliter: no such verb, expected one of"
        f" {' '.join(tiedge.VERBS)}\n" == result.stderr
    )


def test_script_runs_from_any_folder(tmp_path: Path) -> None:
    """The checkout's script needs neither installation nor a certain folder."""
    result = subprocess.run(
        [sys.executable, ROOT / "tiedge.py", "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert f"tiedge {__version__}\n" == result.stdout
    assert os.access(ROOT / "tiedge.py", os.X_OK)


def test_expected_failure_is_one_line(
    verb: Callable[[Callable[..., int]], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A TiedgeError becomes `tiedge VERB: message`, exit status 1, no traceback."""

    def fail(_: Sequence[str]) -> int:
        raise PictureError("a.png: is no picture")

    status = tiedge.main([verb(fail)])

    assert 1 == status
    assert "tiedge try: a.png: is no picture\n" == capsys.readouterr().err


def test_arguments_and_status_pass_through(
    verb: Callable[[Callable[..., int]], str],
) -> None:
    """The verb gets the arguments after it, and its status is the command's."""
    seen: list[str] = []

    def record(arguments: Sequence[str]) -> int:
        seen.extend(arguments)
        return 3

    status = tiedge.main([verb(record), "a", "--b"])

    assert (3, ["a", "--b"]) == (status, seen)


def test_missing_package_names_its_extra(
    verb: Callable[[Callable[..., int]], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A verb whose optional package is missing says what to install."""

    def need(_: Sequence[str]) -> int:
        raise ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")

    status = tiedge.main([verb(need)])

    assert 1 == status
    assert (
        'tiedge try: torch is not installed; run: pip install "tiedge[train]"\n'
        == capsys.readouterr().err
    )


def test_missing_own_module_is_a_bug(
    verb: Callable[[Callable[..., int]], str],
) -> None:
    """A module that no extra brings is a bug, which keeps its traceback."""

    def need(_: Sequence[str]) -> int:
        raise ModuleNotFoundError("No module named 'numpi'", name="numpi")

    with pytest.raises(ModuleNotFoundError):
        tiedge.main([verb(need)])


def test_interrupt_has_the_status_of_sigint(
    verb: Callable[[Callable[..., int]], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Control-C ends a verb quietly, with the status that shells give SIGINT."""

    def interrupt(_: Sequence[str]) -> int:
        raise KeyboardInterrupt

    status = tiedge.main([verb(interrupt)])

    assert 128 + signal.SIGINT == status
    assert "" == capsys.readouterr().err


def test_reader_that_leaves_early_causes_no_traceback() -> None:
    """Output into a closed pipe ends the command quietly."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import tiedge, sys; sys.exit(tiedge.main())", "--help"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    status = process.wait()

    assert (1, "") == (status, error)
