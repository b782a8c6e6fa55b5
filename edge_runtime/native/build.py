"""Build the ExecuTorch interface: python -m edge_runtime.native.build [--force]."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.cache import cache_folder
from edge_runtime.errors import EngineError, TiedgeError, missing_package
from edge_runtime.files import replacing
from edge_runtime.options import Parser

SOURCE = Path(__file__).with_name("shim.cpp")
FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra")
DEFINITIONS = ("-DC10_USING_CUSTOM_GENERATED_MACROS",)
"""Makes the wheel's headers take the macros they ship instead of torch's."""

HEADERS = ("include", "include/executorch/runtime/core/portable_type/c10")
LIBRARIES = (
    "executorch",
    "executorch_kernels_optimized",
    "executorch_backend_xnnpack",
    "executorch_threadpool",
    "executorch_kernels_quantized",
)
"""Kernels and backend register themselves when loaded, so all must be linked."""


@dataclass(frozen=True)
class Wheel:
    """The installed executorch package, which is never imported."""

    folder: Path
    version: str


def find_wheel() -> Wheel:
    """Return the installed executorch package.

    Works without torch. Raises SettingError where it is not installed, EngineError
    where it holds no headers and libraries to build against.
    """
    spec = importlib.util.find_spec("executorch")
    if spec is None or not spec.submodule_search_locations:
        raise missing_package("executorch", "executorch")
    version = importlib.metadata.version("executorch")
    folder = Path(next(iter(spec.submodule_search_locations)))
    for needed in ("include/executorch/extension/module/module.h", _file(LIBRARIES[0])):
        if not (folder / needed).is_file():
            raise EngineError(
                f"executorch {version}: holds no {needed}, expected the Linux wheel"
                " of 1.5.1; run: pip install --no-deps executorch==1.5.1"
            )
    return Wheel(folder, version)


def shim_path(wheel: Wheel, cache: Path) -> Path:
    """Return where the built interface lies: one file per wheel and source."""
    built_from = hashlib.sha256(SOURCE.read_bytes())
    built_from.update(repr((FLAGS, DEFINITIONS, LIBRARIES, wheel.folder)).encode())
    return cache / f"executorch-{wheel.version}-{built_from.hexdigest()[:16]}.so"


def build(force: bool = False) -> Path:
    """Return the interface's path; compile it where it is missing, or `force`.

    Takes a few seconds once per executorch version, and says so on stderr. Safe
    with several processes at once. Raises EngineError where g++ is missing or
    fails, SettingError where the cache folder cannot be written.
    """
    wheel = find_wheel()
    target = shim_path(wheel, cache_folder())
    if force or not target.is_file():
        compiler = shutil.which("g++")
        if compiler is None:
            raise EngineError(
                "g++: not found; the executorch engine compiles a small file once;"
                " run: sudo apt install g++"
            )
        print(
            f"tiedge: compiling the interface to executorch {wheel.version}"
            f" (a few seconds, once) into {target}",
            file=sys.stderr,
        )
        with replacing(target) as temporary:
            _compile(command(compiler, wheel, temporary))
    return target


def command(compiler: str, wheel: Wheel, output: Path) -> tuple[str, ...]:
    """Return the compiler's command line."""
    libraries = wheel.folder / "lib"
    return (
        compiler,
        *FLAGS,
        *DEFINITIONS,
        *(word for path in HEADERS for word in ("-isystem", str(wheel.folder / path))),
        str(SOURCE),
        *("-o", str(output)),
        *(f"-L{libraries}", f"-Wl,-rpath,{libraries}", "-Wl,--no-as-needed"),
        *(f"-l{library}" for library in LIBRARIES),
    )


def run(arguments: Sequence[str]) -> int:
    """Build from the command line; returns the exit status."""
    parser = Parser(prog="python -m edge_runtime.native.build", description=__doc__)
    parser.add_argument("--force", action="store_true", help="compile it again")
    try:
        print(build(parser.parse_args(arguments).force))
    except TiedgeError as error:
        print(f"tiedge: {error}", file=sys.stderr)
        return 1
    return 0


def _compile(words: Sequence[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.splitlines()
        errors = [line for line in lines if "error" in line] or lines or ["no message"]
        raise EngineError(f"{words[0]}: cannot compile {SOURCE.name}: {errors[0]}")


def _file(library: str) -> str:
    return f"lib/lib{library}.so"


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
