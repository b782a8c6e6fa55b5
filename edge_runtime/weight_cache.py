"""Packed weights kept in files: python -m edge_runtime.weight_cache [--remove].

An engine packs a weight anew for each use. A weight cache packs it once, maps it from
a file, and spares later loads the packing. But both engines know a packed weight by
its stored integers alone: two uses of one int8 kernel by different scales get the
first one's (measured: litert 2.3.0, executorch 1.5.1). So a model's cache is kept only
after every entry point gave, to the bit, what it gives without one. Nor does either
notice a damaged file, so its SHA-256 lies beside it and is compared at every opening.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from edge_runtime.bundle import ModelFile
from edge_runtime.cache import cache_folder
from edge_runtime.engine import Engine
from edge_runtime.errors import SettingError, TiedgeError
from edge_runtime.files import replacing, write_text
from edge_runtime.options import Parser
from edge_runtime.sample_inputs import sample_inputs

KEPT, DIGEST, REFUSED = ".packed", ".sha256", ".refused"
"""Endings of a cache, of its SHA-256, which says that it was proven, and of the note
that a model cannot have one."""
BYTES_PER_MB = 10**6

Open = Callable[[Path | None], Engine]
"""Opens a model with its packed weights in a file, or without one."""


class _DiffersError(Exception):
    """The outputs changed."""


def weight_cache_folder() -> Path:
    """Return this user's folder of packed weights; it may not exist yet."""
    return cache_folder() / "weights"


def usual_folder(engine: str) -> Path | None:
    """Return the folder that an engine without a say of its user's takes, or None.

    None for an engine that has no weight cache, and for a user without a home folder.
    """
    if engine == "tflite-runtime":
        return None
    try:
        return weight_cache_folder()
    except SettingError:
        return None


def cache_file(folder: Path, model: ModelFile, engine: str, version: str) -> Path:
    """Return where the packed weights of `model` lie in `folder`.

    Engines notice neither another model nor another processor, so the name holds the
    model's hash, the engine's version and a hash of the processor's abilities.
    """
    return folder / f"{model.sha256[:32]}-{engine}-{version}-{_processor()}{KEPT}"


def proven_file(file: Path, model: ModelFile, open_with: Open) -> Path | None:
    """Return `file` with the model's packed weights, None where it has to do without.

    It is made where it is missing, or is no longer what was proven, which takes two
    loads and two runs of each entry point. Processes that start at once each make it;
    the last one's stays. A folder that cannot be written is one line on stderr.
    """
    if _is_proven(file):
        return file
    if file.with_suffix(REFUSED).is_file():
        return None
    try:
        with replacing(file) as temporary:
            _prove(model, open_with, temporary)
            sha256 = _sha256(temporary)
        # The file first: what lies there without its digest is made anew.
        write_text(file.with_suffix(DIGEST), sha256)
    except _DiffersError:
        with replacing(file.with_suffix(REFUSED)):
            return None
    except SettingError as error:
        print(f"tiedge: weight cache: {error}; goes on without", file=sys.stderr)
        return None
    return file


def _is_proven(file: Path) -> bool:
    """Return whether `file` is there, whole, and as it was when it was proven."""
    try:
        return file.with_suffix(DIGEST).read_bytes() == _sha256(file).encode()
    except OSError:
        return False


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _prove(model: ModelFile, open_with: Open, file: Path) -> None:
    """Pack the weights into `file`; _DiffersError where that changes an output."""
    inputs = {s.name: sample_inputs(s, seed=0) for s in model.signatures}
    with open_with(None) as plain, open_with(file) as packed:
        for signature, arrays in inputs.items():
            expected = plain.run(signature, arrays)
            found = packed.run(signature, arrays)
            if any(
                expected[name].tobytes() != np.asarray(found[name]).tobytes()
                for name in expected
            ):
                raise _DiffersError
    with file.open("rb") as written:
        os.fsync(written.fileno())


def _processor() -> str:
    """Return a short hash of the instruction sets that packing depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    abilities = {line for line in lines if line.startswith(("flags", "Features"))}
    return hashlib.sha256("\n".join(sorted(abilities)).encode()).hexdigest()[:8]


def run(arguments: Sequence[str]) -> int:
    """List or remove this user's packed weights; returns the exit status."""
    parser = Parser(
        prog="python -m edge_runtime.weight_cache",
        description="Show the packed weights kept for this user.",
    )
    parser.add_argument("--remove", action="store_true", help="remove them")
    try:
        options = parser.parse_args(arguments)
        folder = weight_cache_folder()
        ours = (KEPT, DIGEST, REFUSED)
        files = sorted(f for f in folder.glob("*") if f.suffix in ours)
        n_bytes = sum(file.stat().st_size for file in files)
        if options.remove:
            _remove(files, folder)
    except TiedgeError as error:
        print(f"tiedge: {error}", file=sys.stderr)
        return 1
    done = "removed" if options.remove else "holds"
    print(f"{folder}: {done} {len(files)} files, {n_bytes / BYTES_PER_MB:.1f} MB")
    return 0


def _remove(files: Sequence[Path], folder: Path) -> None:
    try:
        for file in files:
            file.unlink(missing_ok=True)
    except OSError as error:
        raise SettingError(f"{folder}: cannot be emptied: {error.strerror}") from error
    with suppress(OSError):  # something else lies there
        folder.rmdir()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
