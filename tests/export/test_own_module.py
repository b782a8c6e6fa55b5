"""The function that `tiedge export package.module:function` names."""

from pathlib import Path

import pytest

import tiedge
from edge_runtime.bundle import Bundle

OWN = """
import torch
from torch import nn
from export.convert import Entry

def model():
    layer = nn.Linear(4, 4)
    return Entry(nn.Sequential(layer, nn.ReLU(), layer), (torch.randn(1, 4),))

def broken():
    raise KeyError("nothing here")

def other():
    return 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "nets.py").write_text(OWN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_function_of_ones_own_is_exported(own: Path) -> None:
    """The command calls the function, found in the current folder."""
    status = tiedge.main(
        [
            "export",
            "nets:model",
            "-o",
            "out",
            "--formats",
            "pte",
            "--precisions",
            "fp32",
        ]
    )

    assert 0 == status
    assert 0 == Bundle.open(own / "out").models[0].sharing.duplicate_bytes


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("nests:model", "nests cannot be imported: ModuleNotFoundError: No module"),
        ("nets:modle", "nets has no function 'modle'"),
        ("nets:broken", "fails: KeyError: 'nothing here'"),
        ("nets:other", "gives int, expected export.convert.Entry, a dictionary of"),
    ],
)
def test_a_function_that_cannot_be_used(
    own: Path, target: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong with the function is one line, and nothing is written."""
    status = tiedge.main(["export", target, "-o", "out"])

    (line,) = capsys.readouterr().err.splitlines()
    assert 1 == status
    assert line.startswith(f"tiedge export: {target}: {expected}")
    assert not (own / "out").exists()
