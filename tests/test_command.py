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
from edge_runtime.files import replacing

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
        'tiedge try: torch is not installed; it comes with tiedge\'s extra "train": pip'
        ' install ".[train]" in tiedge\'s folder, or pip install "WHEEL[train]" with'
        " the path of its wheel\n" == capsys.readouterr().err
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


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\x1bb"])
def test_a_name_cannot_break_the_line(
    verb: Callable[[Callable[..., int]], str],
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What would end or garble the line is printed escaped."""

    def fail(_: Sequence[str]) -> int:
        raise PictureError(f"{name}: is no picture")

    tiedge.main([verb(fail)])

    shown = name.encode("unicode_escape").decode()
    assert f"tiedge try: {shown}: is no picture\n" == capsys.readouterr().err


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """Run `tiedge` in a shell, which can close what a process would print to."""
    return subprocess.run(
        ["sh", "-c", f"{sys.executable} tiedge.py {command}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_closed_stdout_is_one_line() -> None:
    """There is nowhere to print to, and that is said before any work."""
    done = shell("--version >&-")

    assert (
        1,
        "tiedge: stdout: is closed, expected a file or pipe to print to\n",
    ) == (done.returncode, done.stderr)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize("setting", ["PYTHONUNBUFFERED=", "PYTHONUNBUFFERED=1"])
def test_a_full_stdout_is_one_line(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's reason is told, whether the print or the flush meets it."""
    monkeypatch.setenv(*setting.split("="))

    done = shell("--version >/dev/full")

    assert (1, "tiedge: cannot write: No space left on device\n") == (
        done.returncode,
        done.stderr,
    )


def test_a_stdout_open_for_reading_is_one_line() -> None:
    """As a slip of the shell's `>` leaves it."""
    done = shell("--version 1</dev/null")

    assert (1, "tiedge: cannot write: Bad file descriptor\n") == (
        done.returncode,
        done.stderr,
    )


def test_a_folder_that_is_gone_is_one_line(
    verb: Callable[[Callable[..., int]], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No relative path means anything there, and no process can be started."""
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()

    status = tiedge.main([verb(lambda _: 0)])

    assert (
        1,
        "tiedge try: the current folder: No such file or directory; change to one that"
        " is there\n",
    ) == (status, capsys.readouterr().err)


def test_too_little_memory_is_one_line(
    verb: Callable[[Callable[..., int]], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever it is met."""

    def greedy(_: Sequence[str]) -> int:
        return len(bytes(2**62))

    status = tiedge.main([verb(greedy)])

    assert (
        1,
        "tiedge try: not enough free memory; end other programs, or give it less at"
        " once\n",
    ) == (status, capsys.readouterr().err)


def test_a_closed_stderr_leaves_stdout_clean() -> None:
    """The message goes nowhere rather than to stdout."""
    done = shell("unknown 2>&-")

    assert (1, "", "") == (done.returncode, done.stdout, done.stderr)


def test_any_name_can_be_printed() -> None:
    """What stdout's encoding lacks is escaped."""
    code = (
        "import sys, tiedge\n"
        "tiedge.main(['--version'])\n"
        "print('\\xfc.png \\udcff.png')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "ascii:strict"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, f"tiedge {__version__}\n\\xfc.png \\udcff.png\n") == (
        done.returncode,
        done.stdout,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_a_verb_lets_it_tidy_up(
    verb: Callable[[Callable[..., int]], str], number: signal.Signals, tmp_path: Path
) -> None:
    """No temporary file stays behind, and the handlers are as before."""
    outside = signal.signal(number, signal.SIG_DFL)  # nohup has one ignored

    def interrupted(_: Sequence[str]) -> int:
        with replacing(tmp_path / "a.png") as temporary:
            temporary.write_text("half")
            signal.raise_signal(number)
        return 0

    try:
        with pytest.raises(SystemExit) as caught:
            tiedge.main([verb(interrupted)])
        after = signal.getsignal(number)
    finally:
        signal.signal(number, outside)

    assert (128 + number, []) == (caught.value.code, list(tmp_path.iterdir()))
    assert after == signal.SIG_DFL


def test_an_ignored_signal_stays_ignored(
    verb: Callable[[Callable[..., int]], str],
) -> None:
    """What nohup started goes on when the terminal closes."""

    def hung_up(_: Sequence[str]) -> int:
        signal.raise_signal(signal.SIGHUP)
        return 0

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        status = tiedge.main([verb(hung_up)])
    finally:
        signal.signal(signal.SIGHUP, before)

    assert 0 == status
