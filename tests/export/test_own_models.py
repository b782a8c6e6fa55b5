"""docs/own-models.md is true: its code runs as it stands, and prints what it says."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

import tiedge
from edge_runtime.bundle import Bundle

PAGE = Path(__file__).parents[2] / "docs" / "own-models.md"
PRINTED = re.compile(r"^ *print\(.+\)  # (.+)$", re.MULTILINE)
OF_A_FILE = "Let `my_net.py` be\n\n"


def blocks(language: str) -> list[str]:
    """Return the page's blocks of a language."""
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def block_of_a_file() -> str:
    """Return the block that the page calls a file."""
    _, _, behind = PAGE.read_text(encoding="utf-8").partition(OF_A_FILE)
    return behind.removeprefix("```python\n").partition("```")[0]


def test_the_code_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As one script, it prints what stands behind each line that prints."""
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "page.py"
    code = [block for block in blocks("python") if block != block_of_a_file()]
    script.write_text("\n".join(code), encoding="utf-8")

    runpy.run_path(str(script))

    expected = PRINTED.findall(script.read_text(encoding="utf-8"))
    assert expected == capfd.readouterr().out.splitlines()


def test_the_command_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds the function in the file of the page, and writes the bundle."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_net.py").write_text(block_of_a_file(), encoding="utf-8")
    (command,) = blocks("sh")
    program, *words = shlex.split(command)

    status = tiedge.main(words)

    assert ("tiedge", 0) == (program, status)
    assert ["fp32", "int8"] == [m.precision for m in Bundle.open(Path("pair")).models]
