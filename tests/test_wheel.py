"""The built wheel, in a clean environment outside the checkout, without torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edge_runtime import __version__

ROOT = Path(__file__).parents[1]
BUNDLES = ROOT / "edge_runtime" / "bundles"

LARGEST_WHEEL_BYTES = 10_000_000

NOT_SOURCE = (".*", "runs", "build", "dist", "*.egg-info", "__pycache__", "results")

TEST_TOOLS = ("pytest", "hypothesis", "httpx", "jsonschema")
"""What the tests of the runtime and the demo need beside the demo extra."""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built from a copy: a build leaves litter beside its source."""
    source = tmp_path_factory.mktemp("source") / "tiedge"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*NOT_SOURCE))
    target = source.parent / "wheel"
    pip(sys.executable, "wheel", "--no-deps", "-w", str(target), str(source))
    [built] = target.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def device(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of programs of a clean environment: the wheel, as on a Pi."""
    folder = tmp_path_factory.mktemp("device") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip(folder / "bin" / "python", "install", *constraints(), str(wheel))
    return folder / "bin"


@pytest.fixture(scope="session")
def device_with_demo(device: Path, wheel: Path) -> Path:
    """Return the same environment with the demo and the tools of its tests."""
    pip(device / "python", "install", *constraints(), f"{wheel}[demo]", *TEST_TOOLS)
    return device


def constraints() -> list[str]:
    """Return pip's options for the tested versions."""
    return ["-c", str(ROOT / "constraints.txt")]


def pip(python: Path | str, *arguments: str) -> None:
    """Run one environment's pip; what it said is shown if it fails."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == result.returncode, result.stdout + result.stderr


def tiedge(
    device: Path, folder: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a folder outside the checkout."""
    return subprocess.run(
        [str(device / "tiedge"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def ready_made() -> list[str]:
    """Return the names of the bundles that the checkout ships."""
    return sorted(path.parent.name for path in BUNDLES.glob("*/bundle.json"))


def test_wheel_is_small(wheel: Path) -> None:
    """The wheel fits in 10 MB, ready-made bundles included."""
    assert wheel.stat().st_size <= LARGEST_WHEEL_BYTES


def test_wheel_holds_what_runs_and_nothing_else(wheel: Path) -> None:
    """Bundles, the page and the shim's source travel; tests and checkpoints stay."""
    names = zipfile.ZipFile(wheel).namelist()

    assert {"edge_runtime", "training", "export", "demo_app", "tiedge.py"} == {
        name.partition("/")[0] for name in names if ".dist-info/" not in name
    }
    assert [] == [name for name in names if "/checkpoints/" in name]
    assert "edge_runtime/native/shim.cpp" in names
    shipped = [
        str(path.relative_to(ROOT))
        for folder in (BUNDLES, ROOT / "demo_app" / "page")
        for path in folder.rglob("*")
        if path.is_file()
    ]
    assert set() == set(shipped) - set(names)


def test_device_install_has_no_training_package(device: Path) -> None:
    """The plain install brings numpy, Pillow and one engine, and no torch."""
    listed = subprocess.run(
        [str(device / "python"), "-m", "pip", "list", "--format=freeze"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.lower()
    installed = {line.partition("==")[0] for line in listed.splitlines()}

    assert {"tiedge", "numpy", "pillow", "ai-edge-litert"} <= installed
    assert set() == installed & {"torch", "tensorflow", "lightning", "fastapi"}


def test_installed_command_answers(device: Path, tmp_path: Path) -> None:
    """The wheel's `tiedge` runs outside the checkout."""
    assert f"tiedge {__version__}\n" == tiedge(device, tmp_path, "--version").stdout
    assert 0 == tiedge(device, tmp_path, "--help").returncode


def test_missing_extra_is_one_line(device: Path, tmp_path: Path) -> None:
    """Training without its extra says what to install, exit status 1."""
    result = tiedge(device, tmp_path, "train", "denoise", "--data", str(tmp_path))

    assert 1 == result.returncode
    assert 'is not installed; it comes with tiedge\'s extra "train"' in result.stderr
    assert 1 == result.stderr.count("\n")


@pytest.mark.parametrize(
    "name",
    [
        "denoise",
        "denoise-live",
        "digits",
        "enhance",
        "lm",
        "looks",
        "superres",
        "transcribe",
    ],
)
def test_installed_command_inspects_ready_made_bundle(
    device: Path, tmp_path: Path, name: str
) -> None:
    """A device without torch checks and shows each ready-made bundle."""
    if name not in ready_made():
        pytest.skip(f"the ready-made bundle {name} is not built; run: make bundles")

    result = tiedge(device, tmp_path, "inspect", name)

    assert (0, "") == (result.returncode, result.stderr)
    assert name in result.stdout


def test_installed_command_filters_a_picture(device: Path, tmp_path: Path) -> None:
    """A device restores a photograph with the ready-made bundle."""
    if "denoise" not in ready_made():
        pytest.skip("the ready-made bundle denoise is not built; run: make bundles")
    make_picture = "from PIL import Image; Image.new('RGB', (90, 70)).save('in.png')"
    python = str(device / "python")
    subprocess.run([python, "-c", make_picture], cwd=tmp_path, check=True)

    result = tiedge(device, tmp_path, "filter", "denoise", "in.png", "out.png")

    assert 0 == result.returncode, result.stderr
    assert (tmp_path / "out.png").stat().st_size > 0


@pytest.mark.parametrize("package", ["edge_runtime", "demo_app"])
def test_tests_pass_without_torch(
    device_with_demo: Path, tmp_path: Path, package: str
) -> None:
    """The tests of runtime and demo pass on the wheel alone, torch not installed."""
    for name in ("tests", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)  # pytest's configuration
    data = Path(os.environ.get("TIEDGE_DATA", ROOT / "../shared/data"))

    result = subprocess.run(
        [
            str(device_with_demo / "python"),
            *("-m", "pytest", "-q", f"tests/{package}"),
        ],
        cwd=tmp_path,
        env=os.environ | {"TIEDGE_DATA": str(data.resolve())},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == result.returncode, result.stdout[-8000:] + result.stderr[-2000:]
