"""RAM of shared weights: `python -m export.ram_results` writes results/ram.json.

A gated cell used by one to four layers, shared and untied, with and without a weight
cache; and a repeated convolution, its steps in one graph or one step called in a loop.
Each row comes from a process of its own, in which a model of one small layer ran
before: what that left is the base, and counts nowhere.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edge_runtime.bundle import Bundle
from edge_runtime.child import run_apart
from edge_runtime.engines import FORMAT_OF_ENGINE, installed_engines, open_engine
from edge_runtime.errors import TiedgeError
from edge_runtime.files import write_text
from export.convert import Entry, convert
from training.results import ROOT, conditions

HIDDEN = 256
LAYERS = (1, 2, 3, 4)
CHANNELS = 16
SIDE_PX = 128
DEPTHS = (1, 2, 4, 8, 16)
ENGINES = ("litert", "executorch")
SOURCES = (
    "edge_runtime/engine.py",
    "edge_runtime/engines/*.py",
    "edge_runtime/native/shim.cpp",
    "edge_runtime/packed_bytes.py",
    "edge_runtime/ram_use.py",
    "edge_runtime/weight_cache.py",
    "export/ram_results.py",
)

Row = dict[str, Any]


class Cell(nn.Module):
    """A gated recurrent unit's step, written as two linear maps."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.outer = nn.Linear(HIDDEN, 3 * HIDDEN)

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """Return the next state; all are (B, H)."""
        reset_x, update_x, new_x = self.inner(x).chunk(3, -1)
        reset_h, update_h, new_h = self.outer(state).chunk(3, -1)
        update = torch.sigmoid(update_x + update_h)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
        return (1 - update) * new + update * state


class Layers(nn.Module):
    """Cells on top of each other, all of them the same one if shared."""

    def __init__(self, n_layers: int, shared: bool) -> None:
        super().__init__()
        first = Cell()
        others = [first if shared else Cell() for _ in range(n_layers - 1)]
        self.cells = nn.ModuleList([first, *others])

    def forward(self, x: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """Return output (B, H) and next states (B, layers, H)."""
        following = []
        for layer, cell in enumerate(self.cells):
            x = cell(x, states[:, layer])
            following.append(x)
        return x, torch.stack(following, 1)


class Repeated(nn.Module):
    """One convolution, `depth` times."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.block = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.depth = depth

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, Y, X) of the same."""
        for _ in range(self.depth):
            x = x + torch.relu(self.block(x))
        return x


@dataclass(frozen=True)
class Subject:
    """A module to measure, and what its rows say of it."""

    facts: Mapping[str, Any]
    module: nn.Module
    example: tuple[Tensor, ...]
    n_runs: int = 1
    """How often its entry point is called, one after the other."""


def subjects() -> Iterator[Subject]:
    """Yield every module that is measured."""
    for n_layers in LAYERS:
        for shared in (True, False) if n_layers > 1 else (True,):
            facts = {"network": "cell", "layers": n_layers, "shared": shared}
            example = (torch.rand(1, HIDDEN), torch.rand(1, n_layers, HIDDEN))
            yield Subject(facts, Layers(n_layers, shared), example)
    picture = (torch.rand(1, CHANNELS, SIDE_PX, SIDE_PX),)
    for depth in DEPTHS:
        facts = {"network": "convolution", "depth": depth}
        yield Subject({**facts, "way": "one graph"}, Repeated(depth), picture)
        yield Subject({**facts, "way": "loop"}, Repeated(1), picture, depth)


def measure(folder: Path) -> Iterator[Row]:
    """Yield a row per module, engine and state of the weight cache."""
    torch.manual_seed(0)
    base = _convert(Subject({}, nn.Linear(4, 4), (torch.rand(1, 4),)), folder / "base")
    for number, subject in enumerate(subjects()):
        bundle = _convert(subject, folder / f"model-{number}")
        for engine in [e for e in ENGINES if e in installed_engines()]:
            for cached in (False, True):
                model = bundle.model(FORMAT_OF_ENGINE[engine], "fp32")
                cache = folder / "cache" if cached else None
                open_engine(engine, model, 1, cache).close()
                words = (engine, str(base.folder), str(bundle.folder))
                figures = run_apart(
                    "edge_runtime.ram_use",
                    (*words, str(subject.n_runs), str(cache or ""), "fp32", ""),
                    f"{bundle.name}: {engine}",
                )
                yield {
                    **subject.facts,
                    "engine": engine,
                    "precision": "fp32",
                    "weight_cache": cached,
                    "unique_bytes": model.sharing.unique_bytes,
                    **figures,
                }


def sources_sha256() -> str:
    """Return one hash of the sources that decide the figures."""
    digest = hashlib.sha256()
    for path in [path for glob in SOURCES for path in sorted(ROOT.glob(glob))]:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def main() -> int:
    """Measure all and write the file; 1, with one line, if something could not be."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = []
            for row in measure(Path(folder)):
                print(json.dumps(row), file=sys.stderr, flush=True)
                rows.append(row)
        result = {
            "conditions": conditions("ram") | {"hidden": HIDDEN, "side_px": SIDE_PX},
            "sources_sha256": sources_sha256(),
            "rows": rows,
        }
        text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
        write_text(ROOT / "results" / "ram.json", text)
    except TiedgeError as error:
        print(f"ram: {error}", file=sys.stderr)
        return 1
    return 0


def _convert(subject: Subject, output: Path) -> Bundle:
    entry = Entry(subject.module.eval(), subject.example)
    return convert(entry, output, precisions=("fp32",), say=lambda _: None)


if __name__ == "__main__":
    sys.exit(main())
