"""The sharing report of a checkpoint's module."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch runs the checkpoints")

from edge_runtime.errors import CheckpointError  # noqa: E402 (after the skip)
from export.audit import audit  # noqa: E402
from export.checkpoint_report import checkpoint_report  # noqa: E402
from export.commands.inspect import run  # noqa: E402
from tests.export.conftest import Exported  # noqa: E402
from training.checkpoint import save_weights  # noqa: E402
from training.recipes.denoise import DenoiseRecipe  # noqa: E402
from training.recipes.digits import DigitsRecipe  # noqa: E402

DENOISE = DenoiseRecipe(
    channels=4, convolutions=2, depths=(1, 2), depth_weights=(0.5, 1.0)
)
DIGITS = DigitsRecipe(hidden=8)


@pytest.fixture
def denoise(tmp_path: Path) -> Path:
    """Return a checkpoint of a tiny denoiser."""
    weights = DENOISE.network().state_dict()
    save_weights(tmp_path / "denoise", "denoise", DENOISE, weights, 1, {})
    return tmp_path / "denoise"


def test_a_repeated_block_counts_once_with_all_its_uses(denoise: Path) -> None:
    """A run at depth 2 uses the block twice, and the tail once."""
    report = checkpoint_report(denoise)

    uses = {weight.name: weight.uses for weight in report.weights}
    n_parameters = sum(p.numel() for p in DENOISE.network().parameters())
    assert {"depth_1": 1, "depth_2": 2} == report.uses["body.first.weight"]
    assert {"depth_1": 1, "depth_2": 1} == report.uses["tail.weight"]
    assert (3, 3, 2) == (
        uses["body.first.weight"],
        uses["body.second.weight"],
        uses["tail.weight"],
    )
    assert (4 * n_parameters, 0, ()) == (
        report.stored_bytes,
        report.duplicate_bytes,
        report.missing,
    )


def test_a_recurrent_cell_counts_once_with_all_its_uses(tmp_path: Path) -> None:
    """The cell is used in every layer and at every step of a chunk."""
    weights = DIGITS.network().state_dict()
    save_weights(tmp_path, "digits", DIGITS, weights, 1, {})

    report = checkpoint_report(tmp_path)

    uses = {weight.name: weight.uses for weight in report.weights}
    n_steps = DIGITS.chunk_frames // 3
    assert n_steps * DIGITS.layers == uses["gru.cell.weight_hh_l0"]


@pytest.mark.parametrize("model_format", ["tflite", "pte"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_uses_are_those_of_an_exported_file(
    tmp_path: Path,
    tiny_picture: Exported,
    tiny_speech: Exported,
    model_format: str,
    precision: str,
) -> None:
    """A checkpoint and what is exported from it count every use alike.

    A loop's step is one entry point, which a run at depth N uses N times.
    """
    recipes = {
        "denoise": (DENOISE, tiny_picture),
        "digits": (DigitsRecipe(hidden=8, chunk_frames=6), tiny_speech),
    }
    for name, (recipe, exported) in recipes.items():
        weights = recipe.network().state_dict()
        save_weights(tmp_path / name, name, recipe, weights, 1, {})
        data = exported.data(model_format, precision)
        uses = audit(data, model_format, exported.plan.source).uses
        if exported.plan.loop is not None:
            uses = {
                weight: {
                    f"depth_{depth}": n["head"] + depth * n["step"] + n["tail"]
                    for depth in exported.plan.loop.depths
                }
                for weight, n in uses.items()
            }

        assert uses == checkpoint_report(tmp_path / name).uses


def test_inspect_takes_a_checkpoint(
    denoise: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command prints a summary, the table, or one JSON object."""
    run([str(denoise)])
    summary = capsys.readouterr().out.splitlines()
    run([str(denoise), "--weights"])
    shown = capsys.readouterr().out
    run([str(denoise), "--json"])
    found = json.loads(capsys.readouterr().out)

    size = (denoise / "weights.safetensors").stat().st_size
    assert summary[0].startswith(f"{denoise}: checkpoint, {size:,} bytes, ")
    assert size == found["rows"][0]["bytes"] > found["compressed_bytes"]
    assert "most used: body.first.weight, 1/2 times" == summary[2]
    assert "duplicate bytes: 0" in shown
    assert found["rows"][0]["source_known"]
    assert found["stored_bytes"] == found["unique_bytes"] > 0


def test_a_checkpoint_of_an_unknown_recipe_is_refused(tmp_path: Path) -> None:
    """One line says which recipes there are."""
    save_weights(tmp_path, "paint", DENOISE, DENOISE.network().state_dict(), 1, {})

    with pytest.raises(CheckpointError) as caught:
        checkpoint_report(tmp_path)

    assert (
        f"{tmp_path}: recipe 'paint', expected one of commands denoise denoise-live"
        " digits enhance lm looks superres transcribe" == str(caught.value)
    )
