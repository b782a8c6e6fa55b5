from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_runtime.bundle import Bundle
from edge_runtime.engines import open_engine
from edge_runtime.sample_inputs import sample_inputs
from export import measured_run, side_by_side
from export.comparison_modules import COMPARISONS
from export.side_by_side_file import FAILURE, PLAIN, Cell, make_or_tell
from tests.demo_app.hand_made_bundles import blur_bundle

TRANSPOSED = "linear = its transpose"


@pytest.mark.parametrize("name", COMPARISONS)
def test_a_module_is_the_same_at_every_call(name: str) -> None:
    """Equal weights, so what one process exports another one may judge."""
    comparison = COMPARISONS[name]

    first, again = comparison.modules(), comparison.modules()

    assert first.keys() == again.keys()
    for entry, module in first.items():
        inputs = tuple(comparison.inputs(seed=1).values())
        results = [torch.stack(_outputs(m(*inputs))) for m in (module, again[entry])]
        assert torch.equal(*results)
        assert torch.isfinite(results[0]).all()


def _outputs(results: torch.Tensor | tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    found = (results,) if isinstance(results, torch.Tensor) else results
    return [one.sum() for one in found]


def test_a_run_gives_outputs_and_memory(tmp_path: Path) -> None:
    """The numbers are those of the engine, and loading takes some memory."""
    model = Bundle.open(blur_bundle(tmp_path)).models[0]
    signature = model.signatures[0]
    inputs = sample_inputs(signature, seed=0)
    _write_case(tmp_path, model.path, inputs, signature)

    measured_run.measure("tflite", tmp_path)

    with open_engine("litert", model) as engine:
        expected = engine.run(signature.name, inputs)
    with np.load(tmp_path / "outputs.npz") as found:
        for i, tensor in enumerate(signature.outputs):
            np.testing.assert_allclose(
                expected[tensor.name], found[f"{signature.name}/0/{i}"], atol=1e-6
            )
    told = json.loads((tmp_path / "run.json").read_text())
    assert "litert" == told["engine"]
    assert 0 < told["ram_bytes"]


def _write_case(folder: Path, model: Path, inputs, signature) -> None:  # type: ignore[no-untyped-def]
    (folder / "model.tflite").write_bytes(model.read_bytes())
    case = {"name": signature.name}
    for role in ("inputs", "outputs"):
        case[role] = [
            {"name": t.name, "dtype": t.dtype, "shape": list(t.shape)}
            for t in getattr(signature, role)
        ]
    (folder / "case.json").write_text(json.dumps([case]))
    arrays = {
        f"{signature.name}/0/{i}/input": inputs[tensor.name]
        for i, tensor in enumerate(signature.inputs)
    }
    np.savez(folder / "case.npz", **arrays)


def test_a_file_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """The reason stands in one line, with its kind where it is none of ours."""
    make_or_tell(Cell("no such module", "pte", "fp32", PLAIN), tmp_path)

    assert "KeyError: 'no such module'" == (tmp_path / FAILURE).read_text()


def test_an_unknown_module_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The line lists the names that there are."""
    status = side_by_side.main(["conv"])

    assert 1 == status
    assert capsys.readouterr().err.startswith(
        "side_by_side: module: found 'conv', expected one of conv × 4, conv × 16, "
    )


@pytest.mark.campaign
def test_both_exporters_are_judged() -> None:
    """A crash of the plain exporter's file is a result; tiedge is right or refuses."""
    rows = list(side_by_side.compare([TRANSPOSED]))

    assert 8 == len(rows)
    (crash,) = (row for row in rows if (row["failure"] or "").startswith("crashes"))
    assert ("pte", "fp32", "plain") == tuple(
        crash[key] for key in ("format", "precision", "exporter")
    )
    for row in rows:
        if row["exporter"] == "tiedge":
            assert row["right"] or "duplicate bytes" in row["failure"]
        if row["right"] and row["exporter"] == "tiedge":
            assert 0 == row["duplicate_bytes"]
