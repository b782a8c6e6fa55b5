from pathlib import Path

import pytest

import tiedge
from edge_runtime.bundle import Bundle
from tests.export.test_plans import checkpoint, needs_data
from training.checkpoint import WEIGHTS_FILE
from training.recipes.denoise import DenoiseRecipe

TINY = DenoiseRecipe(channels=4, depths=(1,), depth_weights=(1.0,), reach=(1,))


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A checkpoint of `denoise`, four channels wide."""
    return checkpoint(tmp_path / "run", "denoise", TINY, TINY.network())


def failure(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Return the one line on stderr of an export that fails."""
    status = tiedge.main(["export", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert (1, "") == (status, out)
    (line,) = err.splitlines()
    return line


@needs_data
def test_a_checkpoint_becomes_a_bundle(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stdout is the bundle's folder; what was done stands on stderr."""
    output = tmp_path / "made" / "denoise"
    chosen = ["--formats", "tflite", "--precisions", "fp32"]

    status = tiedge.main(["export", str(trained), "-o", str(output), *chosen])

    out, err = capsys.readouterr()
    bundle = Bundle.open(output)
    assert 0 == status
    assert f"{output.resolve()}\n" == out
    assert "denoise.fp32.tflite: converting" == err.splitlines()[0]
    assert ("denoise", 7) == (bundle.source.recipe, bundle.source.step)
    assert [("tflite", "fp32")] == [(m.format, m.precision) for m in bundle.models]


def test_no_checkpoint_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is not there is named with what was looked for."""
    line = failure(capsys, tmp_path / "none", "-o", tmp_path / "out")

    assert line.startswith(f"tiedge export: {tmp_path / 'none' / 'recipe.json'}: ")
    assert "expected a folder with recipe.json and weights.safetensors" in line


@pytest.mark.parametrize("n_bytes", [0, 100])
def test_damaged_weights_are_one_line(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], n_bytes: int
) -> None:
    """Weights that were cut off are refused; no output is made."""
    weights = trained / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:n_bytes])

    line = failure(capsys, trained, "-o", tmp_path / "out")

    assert line.startswith(f"tiedge export: {weights}: weights cannot be read: ")
    assert not (tmp_path / "out").exists()


def test_an_unknown_recipe_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recipes that can be exported are listed."""
    folder = checkpoint(tmp_path / "run", "knitting", TINY, TINY.network())

    assert (
        f"tiedge export: {folder}: recipe 'knitting', expected one of denoise digits"
    ) == failure(capsys, folder, "-o", tmp_path / "out")


@pytest.mark.parametrize(
    ("option", "value", "wrong", "legal"),
    [
        ("--formats", "onnx", "onnx", "tflite,pte"),
        ("--formats", "tflite,onnx", "onnx", "tflite,pte"),
        ("--formats", "", "", "tflite,pte"),
        ("--precisions", "int3", "int3", "fp32,int8"),
    ],
)
def test_an_unknown_choice_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    option: str,
    value: str,
    wrong: str,
    legal: str,
) -> None:
    """What can be chosen is listed, before the checkpoint is read."""
    line = failure(capsys, tmp_path, "-o", tmp_path / "out", option, value)

    assert (
        f"tiedge export: {option} {value}: found {wrong!r}, expected some of {legal}"
    ) == line


def test_an_output_must_be_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no default place for a bundle."""
    line = failure(capsys, tmp_path)

    assert "tiedge export: the following arguments are required: -o/--output" in line


@needs_data
def test_an_unwritable_output_is_one_line(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An output below a regular file is refused before anything is converted."""
    (tmp_path / "file").write_text("mine")
    output = tmp_path / "file" / "made" / "denoise"

    assert (f"tiedge export: {output}: cannot be written: Not a directory") == failure(
        capsys, trained, "-o", output
    )


@needs_data
def test_a_folder_that_is_no_bundle_is_one_line(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The checkpoint itself is not overwritten by its bundle."""
    line = failure(capsys, trained, "-o", trained)

    assert (
        f"tiedge export: {trained}: is there and is no bundle; name a folder that is"
        " not there yet"
    ) == line
    assert (trained / WEIGHTS_FILE).is_file()
