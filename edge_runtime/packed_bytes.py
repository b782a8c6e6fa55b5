"""How many bytes an engine keeps in RAM for weights."""

from __future__ import annotations

import ctypes
import gc
import tempfile
from pathlib import Path

from edge_runtime.bundle import ModelFile
from edge_runtime.engines import open_packed
from edge_runtime.errors import EngineError
from edge_runtime.sample_inputs import sample_inputs


class _HeapCounts(ctypes.Structure):
    """What glibc's `mallinfo2` returns, bytes but for the counts of blocks."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


def measure_packed(name: str, model: ModelFile, threads: int = 1) -> int | None:
    """Return the bytes that an engine without a weight cache keeps for weights.

    The model is loaded and run twice: with its packed weights on the heap, and with
    them in a file that is mapped. The difference in heap bytes in use is what the
    weights take, to a few kB. None where the C library does not count its heap, or
    the engine cannot keep packed weights in a file. A process of its own is the place
    for this: other threads' memory would count.
    """
    if heap_bytes() is None or name == "tflite-runtime":
        return None
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "weights.packed"
        try:
            # The first pair packs the file and has the libraries make what they keep.
            in_file, on_heap = [
                _held_bytes(name, model, threads, place)
                for place in (packed, None, packed, None)
            ][2:]
        except EngineError:
            return None
    return max(0, on_heap - in_file)


def heap_bytes() -> int | None:
    """Return the bytes in use on this process's heap; None without glibc's count."""
    try:
        count = ctypes.CDLL(None).mallinfo2
    except (OSError, AttributeError):  # glibc before 2.33, or another C library
        return None
    count.restype = _HeapCounts
    gc.collect()
    counts = count()
    return int(counts.uordblks + counts.hblkhd)


def _held_bytes(name: str, model: ModelFile, threads: int, packed: Path | None) -> int:
    """Return what the heap grows by while the model is loaded and has run."""
    inputs = {s.name: sample_inputs(s, seed=0) for s in model.signatures}
    before = heap_bytes() or 0
    with open_packed(name, model, threads, packed) as engine:
        for signature, arrays in inputs.items():
            engine.run(signature, arrays)
        return (heap_bytes() or 0) - before
