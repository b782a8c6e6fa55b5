"""The dial beside the graph that it replaces: `python -m export.dial_results`.

One network, three ways: a loop over one step, an entry point for each depth with its
steps one after the other, and depth 1 alone. Files, times and memory of each, in both
formats; times are taken turn by turn in one process, memory in a process each.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_runtime.bundle import Bundle
from edge_runtime.bundle_parts import Loop
from edge_runtime.child import run_apart
from edge_runtime.engine import Engine
from edge_runtime.engines import FORMAT_OF_ENGINE, installed_engines, open_engine
from edge_runtime.errors import TiedgeError
from export.convert import Entry, convert
from export.dial import with_inputs
from export.order import FORMATS, Order
from export.pack import export_bundle
from export.plan import Arrays, EntryPoint, Plan, source_facts, source_weights
from export.plans.denoise import Head, loop_parts
from export.plans.repeated import convolve, unfolded_last
from training.denoiser import Denoiser, unit_of

DEPTHS = (1, 4, 16)
CHANNELS = 48
TILE_PX = (256, 256)
SIGMA_MAX = 55.0
ENGINES = ("litert", "executorch")
PRECISIONS = ("fp32", "int8")
N_OPENED = 4
"""How often the engines are opened for the times."""
N_TIMED = 12
"""Runs of each way, turn by turn, each time."""
N_BEFORE = 3
N_HELD = 2
"""Runs before memory is looked at."""
LOOP, UNROLLED, ALONE = "loop", "unrolled", "depth 1 alone"
MILLISECONDS_PER_SECOND = 1000

Row = dict[str, Any]


class Rows(nn.Module):
    """What is each step's own, and each depth's, as weights of their own."""

    def __init__(self, network: Denoiser) -> None:
        super().__init__()
        body = network.body
        assert body.size is not None  # a denoiser has them
        self.scale, self.bias = _rows(body.scale), _rows(body.bias)
        self.size, self.exit = _rows(body.size), _rows(network.tail_bias)


class Unrolled(nn.Module):
    """The denoiser at one depth, as one graph, its rows where they are used."""

    def __init__(self, network: Denoiser, rows: Rows, depth: int) -> None:
        super().__init__()
        self.head, self.tail = Head(network), network.tail
        body = network.body
        self.first, self.between, self.second = body.first, body.between, body.second
        self.exit = rows.exit[network.depths.index(depth)]
        self.scale = nn.ParameterList(list(rows.scale)[:depth])
        self.bias = nn.ParameterList(list(rows.bias)[:depth])
        self.size = nn.ParameterList(list(rows.size)[:depth])

    def forward(self, picture: Tensor, sigma: Tensor) -> tuple[Tensor]:
        """Return the clean picture, as the loop does."""
        unit = unit_of(sigma)
        (stream,) = self.head(picture, sigma)
        for scale, bias, size in zip(self.scale, self.bias, self.size, strict=True):
            branch = F.relu(convolve(self.first, stream) + bias * unit)
            for convolution in self.between:
                branch = F.relu(convolve(convolution, branch))
            stream = stream * scale + convolve(self.second, branch) * size
        noise = unfolded_last(convolve(self.tail, stream) + self.exit * unit, 3) / unit
        return ((picture - noise).clamp(0.0, 1.0),)


def _rows(table: Tensor) -> nn.ParameterList:
    """Return a table's rows, (1, C) each."""
    return nn.ParameterList([nn.Parameter(r.detach()[None].clone()) for r in table])


def measure(folder: Path) -> Iterator[Row]:
    """Yield the rows: files first, then times, then memory."""
    torch.manual_seed(0)
    network = Denoiser(CHANNELS, DEPTHS)
    with torch.no_grad():
        network.body.bias.normal_(0.0, 0.1)
        network.body.scale.normal_(1.0, 0.02)
    bundles = {
        LOOP: _export(_loop_plan(network.eval()), folder / "loop"),
        UNROLLED: _export(_unrolled_plan(network, DEPTHS), folder / "unrolled"),
        ALONE: _export(_unrolled_plan(network, DEPTHS[:1]), folder / "alone"),
    }
    for way, bundle in bundles.items():
        yield from _files(way, bundle)
    both = {way: bundles[way] for way in (LOOP, UNROLLED)}
    base = Entry(nn.Linear(4, 4), (torch.rand(1, 4),))
    small = convert(base, folder / "base", precisions=("fp32",), say=_say)
    for engine in (e for e in ENGINES if e in installed_engines()):
        for precision in PRECISIONS:
            yield from _times(both, engine, precision)
            for way, bundle in both.items():
                yield from _memory(way, bundle, small, engine, precision)


def _files(way: str, bundle: Bundle) -> Iterator[Row]:
    for model in bundle.models:
        yield {
            "kind": "file",
            "way": way,
            "format": model.format,
            "precision": model.precision,
            "file_bytes": model.bytes,
            "unique_bytes": model.sharing.unique_bytes,
            "overhead_bytes": model.bytes - model.sharing.unique_bytes,
        }


def _times(bundles: Mapping[str, Bundle], engine: str, precision: str) -> Iterator[Row]:
    """Yield a row for each depth; where memory comes to lie is drawn anew each time."""
    times: dict[int, list[dict[str, float]]] = {depth: [] for depth in DEPTHS}
    version = ""
    for _ in range(N_OPENED):
        with ExitStack() as stack:
            opened = {
                way: stack.enter_context(
                    open_engine(
                        engine, bundle.model(FORMAT_OF_ENGINE[engine], precision)
                    )
                )
                for way, bundle in bundles.items()
            }
            version = opened[LOOP].version
            for depth in DEPTHS:
                times[depth] += _turns(opened, depth)
    for depth, pairs in times.items():
        yield {
            "kind": "time",
            "engine": engine,
            "engine_version": version,
            "precision": precision,
            "depth": depth,
            "n_runs": len(pairs),
            "loop_p50_ms": round(median(pair[LOOP] for pair in pairs), 3),
            "unrolled_p50_ms": round(median(pair[UNROLLED] for pair in pairs), 3),
            "ratio": round(median(pair[LOOP] / pair[UNROLLED] for pair in pairs), 4),
        }


def _turns(opened: Mapping[str, Engine], depth: int) -> list[dict[str, float]]:
    """Return the milliseconds of each way, turn by turn."""
    asked = _asked(0)
    turns = [
        {way: _time(engine, depth, asked) for way, engine in opened.items()}
        for _ in range(N_BEFORE + N_TIMED)
    ]
    return turns[N_BEFORE:]


def _time(engine: Engine, depth: int, asked: Arrays) -> float:
    started = time.perf_counter()
    engine.run(f"depth_{depth}", asked)
    return (time.perf_counter() - started) * MILLISECONDS_PER_SECOND


def _memory(
    way: str, bundle: Bundle, small: Bundle, engine: str, precision: str
) -> Iterator[Row]:
    for depth in DEPTHS:
        words = (engine, str(small.folder), str(bundle.folder), str(N_HELD), "")
        found = run_apart(
            "edge_runtime.ram_use",
            (*words, precision, f"depth_{depth}"),
            f"{way}: {engine}",
        )
        yield {
            "kind": "memory",
            "way": way,
            "engine": engine,
            "precision": precision,
            "depth": depth,
            "base_rss_bytes": found["base_rss_bytes"],
            "rss_bytes": found["rss_bytes"],
        }


def _loop_plan(network: Denoiser) -> Plan:
    loop = Loop("head", "step", "tail", "stream", "position", "exit", DEPTHS)
    parts = loop_parts(network, TILE_PX, SIGMA_MAX)
    points = with_inputs(parts, loop, (_asked(1),), (_asked(2),))
    return _plan(network, points, DEPTHS, loop)


def _unrolled_plan(network: Denoiser, depths: tuple[int, ...]) -> Plan:
    head, _, tail = loop_parts(network, TILE_PX, SIGMA_MAX)
    rows = Rows(network)
    points = tuple(
        EntryPoint(
            f"depth_{depth}",
            depth,
            Unrolled(network, rows, depth).eval(),
            head.inputs,
            tail.outputs,
            (_asked(1),),
            (_asked(2),),
        )
        for depth in depths
    )
    return _plan(network, points, depths, None)


def _plan(
    network: Denoiser,
    points: tuple[EntryPoint, ...],
    depths: tuple[int, ...],
    loop: Loop | None,
) -> Plan:
    source = source_weights(nn.ModuleList([point.module for point in points]))
    return Plan(
        name="dial",
        task="picture",
        summary="A network of random weights, to be measured",
        entry_points=points,
        source=source,
        quantization="static",
        int8_snr_floor_db=0.0,
        int8_metric_loss=0.0,
        measure=None,
        facts={
            "depths": list(depths),
            "states": [],
            "picture": {
                "tile_px": list(TILE_PX),
                "multiple_px": 2,
                "radius_px": {str(d): network.receptive_radius_px(d) for d in depths},
                "scale": 1,
                "sigma": {"minimum": 0.0, "maximum": SIGMA_MAX},
                "tones": [],
                "strength": None,
                "looks": [],
            },
            "speech": None,
            "source": source_facts({"recipe": "denoise", "settings": {}}, source),
            "licence": {"code": "Apache-2.0", "weights": "none", "data": ["none"]},
            "training_data": ["none"],
        },
        card="# dial\n",
        loop=loop,
        asked=(_asked(1),) if loop else (),
    )


def _asked(seed: int) -> Arrays:
    random = np.random.default_rng(seed)
    return {
        "picture": random.random((1, *TILE_PX, 3), np.float32),
        "sigma": np.full((1, 1, 1, 1), 0.1, np.float32),
    }


def _export(plan: Plan, output: Path) -> Bundle:
    return export_bundle(plan, Order(output, FORMATS, PRECISIONS), _say)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Print the rows as one JSON object; 1, with one line, if something failed."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = []
            for row in measure(Path(folder)):
                _say(json.dumps(row))
                rows.append(row)
    except TiedgeError as error:
        _say(f"dial: {error}")
        return 1
    print(json.dumps({"rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
