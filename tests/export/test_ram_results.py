"""RAM of shared weights: how it is measured, and what results/ram.json claims."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_runtime.engines import installed_engines, open_engine
from edge_runtime.ram_use import measure_here
from export.ram_results import Cell, Layers, sources_sha256
from tests.tiny_models import TinyBundle, tiny_speech_bundle
from training.results import ROOT

PUBLISHED = ROOT / "results" / "ram.json"
ONE_CELL = 1.1
"""Packed bytes of a cell used by four layers, by those of one cell, at most."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyBundle:
    return tiny_speech_bundle(tmp_path_factory.mktemp("tiny") / "speech")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    if not PUBLISHED.is_file():
        pytest.skip("results/ram.json: run python -m export.ram_results")
    result = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert sources_sha256() == result["sources_sha256"], "stale: measure it again"
    found: list[dict[str, Any]] = result["rows"]
    return found


def test_the_cell_is_a_gated_recurrent_unit() -> None:
    """With the same weights it computes what torch's own cell does."""
    torch.manual_seed(0)
    cell, reference = Cell(), torch.nn.GRUCell(256, 256)
    with torch.no_grad():
        reference.weight_ih.copy_(cell.inner.weight)
        reference.bias_ih.copy_(cell.inner.bias)
        reference.weight_hh.copy_(cell.outer.weight)
        reference.bias_hh.copy_(cell.outer.bias)
    x, state = torch.rand(2, 256), torch.rand(2, 256)

    torch.testing.assert_close(reference(x, state), cell(x, state))


def test_shared_layers_are_one_cell() -> None:
    """Four layers have the parameters of one if shared, else of four."""
    n_one, n_shared, n_untied = [
        sum(p.numel() for p in Layers(n, shared).parameters())
        for n, shared in ((1, True), (4, True), (4, False))
    ]

    assert (n_one, 4 * n_one) == (n_shared, n_untied)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("engine", ["litert", "executorch"])
def test_a_row_is_measured(
    engine: str, cached: bool, tiny: TinyBundle, tmp_path: Path
) -> None:
    """Base, growth and packed bytes are there, with and without a weight cache."""
    if engine not in installed_engines():
        pytest.skip(f"the {engine} engine is not installed")
    folder = str(tiny.bundle.folder)
    cache = tmp_path if cached else None
    open_engine(
        engine, tiny.model({"litert": "tflite"}.get(engine, "pte")), 1, cache
    ).close()
    found = measure_here((engine, folder, folder, "1", str(cache or ""), "fp32", ""))

    assert found["base_rss_bytes"] > 10**7
    assert found["rss_bytes"] is not None
    assert 0 < found["packed_bytes"] < 10**5


@pytest.mark.parametrize("engine", ["litert", "executorch"])
def test_four_layers_pack_one_cell(engine: str, rows: list[dict[str, Any]]) -> None:
    """With a weight cache a shared cell is packed once; without, once per layer."""
    packed = {
        (row["layers"], row["weight_cache"]): row["packed_bytes"]
        for row in rows
        if (row["network"], row["engine"]) == ("cell", engine) and row["shared"]
    }

    assert packed[4, True] <= ONE_CELL * packed[1, True]
    assert packed[4, False] >= 3.9 * packed[1, False]


@pytest.mark.parametrize("engine", ["litert", "executorch"])
def test_a_loop_keeps_the_ram_of_a_repeated_convolution_flat(
    engine: str, rows: list[dict[str, Any]]
) -> None:
    """Sixteen calls of one step take what one call takes; sixteen in a graph do not."""
    grown = {
        (row["way"], row["depth"]): row["rss_bytes"]
        for row in rows
        if (row["network"], row["engine"]) == ("convolution", engine)
        and not row["weight_cache"]
    }

    assert grown["loop", 16] <= 1.2 * grown["loop", 1]
    assert grown["one graph", 16] >= 2 * grown["one graph", 1]
