"""The ExecuTorch interface is compiled once, without torch, or says why not."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.cache import cache_folder
from edge_runtime.engines import installed_engines
from edge_runtime.errors import EngineError, SettingError, missing_package
from edge_runtime.native import build
from tests.tiny_models import TinyBundle

needs_wheel = pytest.mark.skipif(
    "executorch" not in installed_engines(), reason="executorch is not installed"
)
needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="g++ is not installed"
)
ROOT = Path(build.__file__).parents[2]
DEVICE_PACKAGES = ("numpy", "pillow", "executorch")


@pytest.fixture
def device_packages(tmp_path: Path) -> Path:
    """A folder with what a device has: executorch's wheel, but no torch."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for package in DEVICE_PACKAGES:
        for path in _top_level(package):
            (folder / path.name).symlink_to(path)
    return folder


def _top_level(package: str) -> Iterator[Path]:
    distribution = importlib.metadata.distribution(package)
    names = {Path(str(file)).parts[0] for file in distribution.files or []}
    for name in names - {".."}:
        yield Path(str(distribution.locate_file(name)))


def run_without_site(
    words: list[str], packages: Path | None, cache: Path
) -> subprocess.CompletedProcess[str]:
    """Run Python with no installed package but those in `packages`."""
    path = os.pathsep.join(map(str, filter(None, [ROOT, packages])))
    return subprocess.run(
        [sys.executable, "-S", *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": path, "XDG_CACHE_HOME": str(cache)},
    )


@needs_wheel
@needs_compiler
def test_built_once_and_told(
    cache_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first call compiles and says so on stderr; the second does neither."""
    first = build.build()
    told = capsys.readouterr()
    written = first.stat().st_mtime_ns
    second = build.build()

    version = importlib.metadata.version("executorch")
    expected = (
        f"tiedge: compiling the interface to executorch {version}"
        f" (a few seconds, once) into {first}\n"
    )
    assert ("", expected) == told
    assert ("", "") == capsys.readouterr()
    assert (first, written) == (second, second.stat().st_mtime_ns)
    assert [first] == list(cache_home.iterdir())


@needs_wheel
@needs_compiler
def test_command_builds_again_when_forced(
    cache_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--force` replaces the file; the command prints where it lies."""
    path = build.shim_path(build.find_wheel(), cache_home)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"stale")
    status = build.run(["--force"])

    assert 0 == status
    assert f"{path}\n" == capsys.readouterr().out
    assert b"\x7fELF" == path.read_bytes()[:4]


@needs_wheel
def test_another_wheel_gets_another_file(tmp_path: Path) -> None:
    """The file's name tells the version, and differs by place of the wheel."""
    wheel = build.find_wheel()
    moved = build.Wheel(tmp_path, wheel.version)
    paths = [build.shim_path(each, tmp_path) for each in (wheel, moved)]

    assert 2 == len(set(paths))
    assert all(path.name.startswith(f"executorch-{wheel.version}-") for path in paths)


@needs_wheel
@needs_compiler
def test_source_has_no_warnings(tmp_path: Path) -> None:
    """The C++ source is clean under -Wall -Wextra."""
    words = build.command("g++", build.find_wheel(), tmp_path / "unused.so")
    done = subprocess.run(
        [*words, "-Werror", "-fsyntax-only"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)


@needs_wheel
@needs_compiler
def test_works_without_torch(
    device_packages: Path, tmp_path: Path, tiny_picture: TinyBundle
) -> None:
    """With nothing but numpy, Pillow and executorch's wheel a `.pte` runs."""
    program = (
        "import importlib.util, sys; from pathlib import Path;"
        "from edge_runtime.bundle import Bundle;"
        "from edge_runtime.engines import open_engine;"
        "from edge_runtime.loop import find_call;"
        "from edge_runtime.sample_inputs import sample_inputs;"
        "m = Bundle.open(Path(sys.argv[1])).model('pte', 'fp32');"
        "e = open_engine('executorch', m);"
        "o = e.run('depth_1', sample_inputs(find_call(m, 'depth_1'), 0));"
        "print(importlib.util.find_spec('torch'), o['restored'].shape)"
    )
    done = run_without_site(
        ["-c", program, str(tiny_picture.bundle.folder)], device_packages, tmp_path
    )

    assert (0, "None (1, 16, 16, 3)\n") == (done.returncode, done.stdout), done.stderr


def test_missing_wheel_names_the_extra(tmp_path: Path) -> None:
    """Without executorch the command ends with one line and status 1."""
    done = run_without_site(["-m", "edge_runtime.native.build"], None, tmp_path)

    expected = f"tiedge: {missing_package('executorch', 'executorch')}\n"
    assert (1, expected) == (done.returncode, done.stderr)


def test_old_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel without headers says which version is expected."""
    (tmp_path / "executorch").mkdir()
    information = tmp_path / "executorch-1.4.1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Name: executorch\nVersion: 1.4.1\n")
    (tmp_path / "executorch" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "executorch", raising=False)
    with pytest.raises(EngineError) as caught:
        build.find_wheel()

    expected = (
        "executorch 1.4.1: holds no include/executorch/extension/module/module.h,"
        " expected the Linux wheel of 1.5.1;"
        " run: pip install --no-deps executorch==1.5.1"
    )
    assert expected == str(caught.value)


@needs_wheel
def test_missing_compiler_is_named(
    cache_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without g++ the error says what to install, and nothing is written."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError) as caught:
        build.build()

    expected = (
        "g++: not found; the executorch engine compiles a small file once;"
        " run: sudo apt install g++"
    )
    assert expected == str(caught.value)
    assert not cache_home.exists()


@needs_wheel
def test_failing_compiler_leaves_nothing(
    cache_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiler's first error becomes one line; no half file stays behind."""
    compiler = tmp_path / "bin" / "g++"
    compiler.parent.mkdir()
    compiler.write_text(
        "#!/bin/sh\necho 'shim.cpp:1:1: error: no memory' >&2\nexit 1\n"
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{compiler.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(EngineError) as caught:
        build.build()

    expected = f"{compiler}: cannot compile shim.cpp: shim.cpp:1:1: error: no memory"
    assert expected == str(caught.value)
    assert [] == list(cache_home.iterdir())


@needs_wheel
@needs_compiler
def test_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache folder that is a file is an expected failure."""
    blocked = tmp_path / "cache"
    blocked.write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    with pytest.raises(SettingError, match=r"cannot be written"):
        build.build()


def test_cache_folder_follows_the_environment() -> None:
    """XDG_CACHE_HOME wins where it is absolute, as its specification says."""
    home = Path.home() / ".cache" / "tiedge"

    assert Path("/var/cache/tiedge") == cache_folder({"XDG_CACHE_HOME": "/var/cache"})
    assert home == cache_folder({"XDG_CACHE_HOME": "relative"})
    assert home == cache_folder({})
