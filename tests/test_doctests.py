"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def modules_with_examples() -> list[str]:
    """Return the dotted name of every source file that holds an example."""
    paths = [ROOT / "tiedge.py"]
    for package in ("edge_runtime", "training", "export", "demo_app"):
        paths.extend(sorted((ROOT / package).rglob("*.py")))
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in paths
        if ">>> " in path.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("module", modules_with_examples())
def test_examples_hold(module: str) -> None:
    """Every example prints what its docstring says."""
    failed, attempted = doctest.testmod(import_module(module))

    assert attempted > 0
    assert 0 == failed
