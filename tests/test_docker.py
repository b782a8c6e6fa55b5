"""The images' script and files, as far as they can be tried without building."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "docker"
DOCKERFILES = sorted(FOLDER.glob("*.Dockerfile"))
TRIAL = FOLDER / "trial.sh"


def build(*names: str, programs: Path) -> subprocess.CompletedProcess[str]:
    """Run the script with no other programs than those in a folder."""
    bash = shutil.which("bash")
    assert bash is not None
    return subprocess.run(
        [bash, str(FOLDER / "build.sh"), *names],
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Return a folder of programs as on a machine without any engine."""
    for name in ("dirname", "id"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    return tmp_path


def test_unknown_image(programs: Path) -> None:
    """A wrong name, even the last, is refused before anything is built."""
    done = build("edge", "edgy", programs=programs)

    assert (1, "") == (done.returncode, done.stdout)
    assert done.stderr == (
        "docker/build.sh: edgy: no such image,"
        " expected edge, edge-arm64, demo, train or export\n"
    )


def test_no_engine(programs: Path) -> None:
    """Where nothing can build, one line says what to install."""
    done = build("edge", programs=programs)

    assert (1, "") == (done.returncode, done.stdout)
    assert done.stderr == (
        "docker/build.sh: neither a Docker engine nor buildah;"
        " on Debian: apt-get install buildah debootstrap\n"
    )


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_image_is_slim_and_without_root(path: Path) -> None:
    """Every image stands on Debian's slim one, and what it starts is not root."""
    text = path.read_text(encoding="utf-8")

    assert ["debian:bookworm-slim"] == re.findall(r"^ARG BASE=(.*)$", text, re.M)
    assert ["${BASE} AS build", "${BASE}"] == re.findall(r"^FROM (.*)$", text, re.M)
    assert ["tiedge"] == re.findall(r"^USER (.*)$", text, re.M)


def test_what_serves_has_a_health_check() -> None:
    """Every image that publishes a port says how its health is asked."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in DOCKERFILES}
    serving = {stem for stem, text in texts.items() if "\nEXPOSE " in text}
    checked = {stem for stem, text in texts.items() if "\nHEALTHCHECK " in text}

    assert {"demo"} == serving
    assert serving == checked


@pytest.mark.skipif(
    shutil.which("shellcheck") is None, reason="shellcheck is not installed"
)
def test_scripts_pass_shellcheck() -> None:
    """Shellcheck finds nothing in either script."""
    done = subprocess.run(
        ["shellcheck", str(FOLDER / "build.sh"), str(TRIAL)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ("", 0) == (done.stdout + done.stderr, done.returncode)


@pytest.mark.skipif(os.geteuid() != 0, reason="not run by root")
def test_trial_refuses_root() -> None:
    """An image that runs as root fails its trial at the first line."""
    done = subprocess.run(
        ["sh", str(TRIAL), "edge"], capture_output=True, text=True, check=False
    )

    assert (1, "") == (done.returncode, done.stdout)
    assert "docker/trial.sh: it runs as root\n" == done.stderr
