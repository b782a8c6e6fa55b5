"""The shape of the source: who imports whom, and what no file may say."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import tiedge

ROOT = Path(__file__).parents[1]

LAYERS = {
    "edge_runtime": set(),
    "training": {"edge_runtime"},
    "export": {"edge_runtime", "training"},
    "demo_app": {"edge_runtime"},
}
"""What each package may import of the others."""

NEVER_ON_A_DEVICE = {"torch", "lightning", "fastapi", "executorch", "litert_torch"}

ONE_FILE_EACH = {
    "ai_edge_quantizer",
    "bm3d",
    "cv2",
    "lightning",
    "litert_torch",
    "matplotlib",
    "picamera2",
    "skimage",
    "soundfile",
    "tensorflow",
    "tflite_runtime",
    "uvicorn",
}
"""Optional packages that one adapter file imports for all others."""

STANDS_BESIDE = "export/plain_exporters.py"
"""Uses exporters as their own tutorials do, so none of our adapters may help it."""

FOREIGN = [
    # Written in pieces, so that this file does not contain them.
    "py" + "pi.org",
    "python" + "hosted.org",
    "download." + "pytorch",
    "deb." + "debian.org",
    "docker" + ".io/",
    "gh" + "cr.io",
    "/ro" + "ot/",
    "/wo" + "rk/",
]
"""Hosts and paths of one machine."""


def python_files(package: str) -> list[Path]:
    """Return the package's sources."""
    return sorted((ROOT / package).rglob("*.py"))


@cache
def imported(path: Path) -> frozenset[str]:
    """Return the top-level package of every import, those inside functions too."""
    return frozenset(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (name.name.partition(".")[0] for name in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0]
            case ast.ImportFrom():
                yield "a relative import"
            case ast.Call(
                func=ast.Name(id=function) | ast.Attribute(attr=function),
                args=[ast.Constant(value=str(module)), *_],
            ) if function in {"import_module", "__import__"}:
                yield module.partition(".")[0]


def importers(package: str) -> set[str]:
    """Return the source files, from the root, that import a package."""
    return {
        str(path.relative_to(ROOT))
        for layer in LAYERS
        for path in python_files(layer)
        if package in imported(path)
    }


@pytest.mark.parametrize("layer", LAYERS)
def test_layer_imports_only_layers_below(layer: str) -> None:
    """No file imports a layer above its own, not even inside a function."""
    forbidden = LAYERS.keys() - LAYERS[layer] - {layer} | {"tiedge", "tests"}

    violations = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in python_files(layer)
        for name in imported(path)
        if name in forbidden or name == "a relative import"
    ]

    assert [] == violations


def test_device_never_imports_torch() -> None:
    """Neither the runtime nor the demo names a package that a device does not have."""
    violations = [
        f"{path.relative_to(ROOT)} imports {name}"
        for layer, allowed in (("edge_runtime", set()), ("demo_app", {"fastapi"}))
        for path in python_files(layer)
        for name in imported(path)
        if name in NEVER_ON_A_DEVICE - allowed
    ]

    assert [] == violations


@pytest.mark.parametrize("package", sorted(ONE_FILE_EACH))
def test_optional_package_is_imported_in_one_file(package: str) -> None:
    """An optional package has one adapter file."""
    adapters = importers(package) - {STANDS_BESIDE}

    assert len(adapters) <= 1, adapters


@pytest.mark.parametrize("verb", tiedge.VERBS)
def test_verb_leads_to_a_function(verb: str) -> None:
    """Every verb of the table names a module and a function that exist."""
    module, function = tiedge.VERBS[verb].function.split(":")
    path = ROOT / (module.replace(".", "/") + ".py")

    defined = {
        node.name
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }

    assert function in defined


def test_no_file_names_one_machine() -> None:
    """Tracked text names no registry, mirror or folder of a particular machine."""
    violations = [
        f"{path.relative_to(ROOT)}:{number}: {word}"
        for path in tracked_text()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        for word in FOREIGN
        if word in line
    ]

    assert [] == violations


def test_no_vague_file_names() -> None:
    """A file is a noun or a verb of the domain."""
    vague = re.compile(r"^(utils?|helpers?|common|misc|manager|base_.*)\.py$")

    found = [
        str(path.relative_to(ROOT))
        for layer in (*LAYERS, "tests")
        for path in python_files(layer)
        if vague.match(path.name)
    ]

    assert [] == found


def tracked_text() -> list[Path]:
    """Return the files that git holds, or would, and that are text."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout: which files are tracked is unknown")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and _is_text(path)]


def _is_text(path: Path) -> bool:
    try:
        path.read_text("utf-8")
    except UnicodeDecodeError:
        return False
    return True
