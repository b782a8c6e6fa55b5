"""docs/upstream.md is true: its code does with the installed packages what it says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "upstream.md"
LIMIT_S = 600

SECTION = re.compile(
    r"^## (?P<title>[^\n]+)\n.*?"
    r"^Seen with (?P<versions>[^\n]+):\n\n"
    r"```python\n(?P<code>.*?)```\n\nprints\n\n"
    r"```text\n(?P<printed>.*?)```\n\n"
    r"(?P<instead>Instead, tiedge [^\n]+)\n",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Bug:
    """A section of the page."""

    title: str
    versions: str
    """Package and version, separated by commas."""
    code: str
    printed: str
    """The last lines that the code prints while the bug is there."""
    instead: str


def bugs() -> list[Bug]:
    """Return the page's sections."""
    text = PAGE.read_text(encoding="utf-8")
    return [Bug(**found.groupdict()) for found in SECTION.finditer(text)]


def outcome(code: str, folder: Path, n_lines: int) -> str:
    """Return the last lines that code prints in a process, or what killed it."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"LITERT_TORCH_SHOW_PROGRESS": "0"},
        capture_output=True,
        text=True,
        errors="backslashreplace",
        check=False,
        timeout=LIMIT_S,
    )
    if done.returncode < 0:
        return f"killed by {signal.Signals(-done.returncode).name}\n"
    lines = (done.stdout if done.returncode == 0 else done.stderr).splitlines()
    return "\n".join(lines[-n_lines:]) + "\n"


def test_every_section_is_whole() -> None:
    """Each has what it was seen with, code, what that prints, and the way around."""
    titles = re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert titles == [bug.title for bug in bugs()]


@pytest.mark.parametrize("bug", bugs(), ids=lambda bug: bug.title)
def test_the_versions_are_those_installed(bug: Bug) -> None:
    """Another version of a package asks for the page's code to be run again."""
    named = dict(one.split() for one in bug.versions.split(", "))

    installed = {name: version(name).partition("+")[0] for name in named}

    assert named == installed, (
        f"docs/upstream.md, {bug.title!r}: seen with {bug.versions}, installed is"
        f" another version; run pytest -m campaign {Path(__file__).name} and write"
        " down what is still true"
    )


# Importing a converter alone takes about five seconds.
@pytest.mark.campaign
@pytest.mark.parametrize("bug", bugs(), ids=lambda bug: bug.title)
def test_the_bug_is_still_there(bug: Bug, tmp_path: Path) -> None:
    """The code prints what the page says; if not, upstream may have mended it."""
    n_lines = bug.printed.count("\n")

    printed = outcome(bug.code, tmp_path, n_lines)

    assert bug.printed == printed, (
        f"{bug.title}: upstream seems to have mended it. docs/upstream.md expects"
        f" {bug.printed!r}, with {bug.versions}; its code now gives {printed!r}."
        f" What may be taken out again: {bug.instead}"
    )


def test_what_code_does_is_told(tmp_path: Path) -> None:
    """The last lines count; a signal and an exception are told, too."""
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"

    assert "b\nc\n" == outcome("for x in 'abc': print(x)", tmp_path, 2)
    assert "killed by SIGSEGV\n" == outcome(crash, tmp_path, 1)
    assert "ValueError: no\n" == outcome("raise ValueError('no')", tmp_path, 1)
