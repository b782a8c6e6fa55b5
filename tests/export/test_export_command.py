import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tiedge
from edge_runtime.bundle import Bundle
from edge_runtime.errors import missing_package
from tests.export.test_plans import checkpoint, needs_data
from training.data import data_folder
from training.recipes.denoise import DenoiseRecipe
from training.record import WEIGHTS_FILE

ROOT = Path(__file__).parents[2]
TINY = DenoiseRecipe(channels=4, depths=(1,), depth_weights=(1.0,))


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A checkpoint of `denoise`, four channels wide."""
    return checkpoint(tmp_path / "run", "denoise", TINY, TINY.network())


def failure(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Return the one line on stderr of an export that fails."""
    status = tiedge.main(["export", *map(str, arguments)])
    out, err = capfd.readouterr()
    assert (1, "") == (status, out)
    (line,) = err.splitlines()
    return line


@needs_data
def test_a_checkpoint_becomes_a_bundle(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Stdout is the bundle's folder; what was done stands on stderr."""
    output = tmp_path / "made" / "denoise"
    chosen = ["--formats", "tflite", "--precisions", "fp32"]

    status = tiedge.main(["export", str(trained), "-o", str(output), *chosen])

    out, err = capfd.readouterr()
    bundle = Bundle.open(output)
    assert 0 == status
    assert f"{output.resolve()}\n" == out
    assert "denoise.fp32.tflite: converting" == err.splitlines()[0]
    assert ("denoise", 7) == (bundle.source.recipe, bundle.source.step)
    assert [("tflite", "fp32")] == [(m.format, m.precision) for m in bundle.models]


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one page."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs a root that may mount: a full disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@needs_data
def test_a_full_disk_is_one_line(
    trained: Path, full_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A converter without room for its own files ends; nothing of it is left."""
    status = tiedge.main(
        ["export", str(trained), "-o", str(full_disk / "a" / "b"), "--formats=tflite"]
    )

    out, err = capfd.readouterr()
    assert (1, "") == (status, out)
    assert (
        f"tiedge export: {trained}: a converter ended the export (status 1); memory or"
        f" the disk of {full_disk / 'a' / 'b'} may be full"
    ) == err.splitlines()[-1]
    assert "Traceback" not in err
    assert [] == list(full_disk.iterdir())


@needs_data
@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "ended by SIGTERM"),
    ],
)
def test_a_signal_leaves_nothing_behind(
    trained: Path, tmp_path: Path, number: signal.Signals, status: int, said: str
) -> None:
    """Ended in the middle of a conversion, it says so and removes what it began."""
    made, temporary = tmp_path / "made", tmp_path / "temporary"
    temporary.mkdir()
    words = ["export", str(trained), "-o", str(made / "a" / "denoise")]
    with subprocess.Popen(
        [sys.executable, str(ROOT / "tiedge.py"), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(temporary)},
    ) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.send_signal(number)
        out, err = process.communicate()

    assert "denoise.fp32.tflite: converting\n" == first
    assert (status, "") == (process.returncode, out)
    assert f"tiedge export: {said}; nothing half-written is left\n" == err
    assert not made.exists()
    assert [] == list(temporary.iterdir())


@needs_data
@pytest.mark.parametrize(
    "words",
    [
        ["none", "-o", "out"],
        ["run", "-o", "run"],
        ["run", "-o", "run/recipe.json/out"],
        ["run", "-o", "out", "--formats", "onnx"],
        ["run", "-o", "out", "--precisions", "fp8"],
        ["run"],
    ],
    ids=" ".join,
)
def test_a_mistake_is_answered_without_torch(trained: Path, words: list[str]) -> None:
    """Checkpoint, output and options are looked at before anything large is loaded."""
    code = (
        "import sys, tiedge; status = tiedge.main(['export', *sys.argv[1:]]);"
        "print(status, [p for p in ('torch', 'numpy') if p in sys.modules])"
    )
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "TIEDGE_DATA": str(data_folder().resolve()),
    }

    result = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        cwd=trained.parent,
        env=environment,
        check=True,
    )

    assert "1 []\n" == result.stdout
    assert 1 == len(result.stderr.splitlines())


@needs_data
@pytest.mark.parametrize(
    "package", ["torch", "litert_torch", "executorch", "safetensors"]
)
def test_a_missing_package_names_the_extra(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    package: str,
) -> None:
    """What brings all that an export needs is named, before any work."""
    monkeypatch.setitem(sys.modules, package, None)

    line = failure(capfd, trained, "-o", tmp_path / "out")

    name = package.replace("_", "-")
    assert f"tiedge export: {missing_package(name, 'export')}" == line


def test_no_checkpoint_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A folder that is not there is named with what was looked for."""
    line = failure(capfd, tmp_path / "none", "-o", tmp_path / "out")

    assert line.startswith(f"tiedge export: {tmp_path / 'none' / 'recipe.json'}: ")
    assert line.endswith(
        "No such file or directory; expected a folder with recipe.json and"
        " weights.safetensors"
    )


@pytest.mark.parametrize("n_bytes", [0, 100])
def test_damaged_weights_are_one_line(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], n_bytes: int
) -> None:
    """Weights that were cut off are refused; no output is made."""
    weights = trained / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:n_bytes])

    line = failure(capfd, trained, "-o", tmp_path / "out")

    assert line.startswith(f"tiedge export: {weights}: weights cannot be read: ")
    assert not (tmp_path / "out").exists()


def test_an_unknown_recipe_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The recipes that can be exported are listed."""
    folder = checkpoint(tmp_path / "run", "knitting", TINY, TINY.network())

    assert (
        f"tiedge export: {folder}: recipe 'knitting', expected one of commands denoise"
        " denoise-live digits enhance lm looks superres transcribe"
    ) == failure(capfd, folder, "-o", tmp_path / "out")


@pytest.mark.parametrize(
    ("option", "value", "wrong", "legal"),
    [
        ("--formats", "onnx", "onnx", "tflite,pte"),
        ("--formats", "tflite,onnx", "onnx", "tflite,pte"),
        ("--formats", "", "", "tflite,pte"),
        (
            "--precisions",
            "int3",
            "int3",
            "fp32,fp16,int8,int8-dynamic,int8-weight,int4-weight",
        ),
    ],
)
def test_an_unknown_choice_is_one_line(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    option: str,
    value: str,
    wrong: str,
    legal: str,
) -> None:
    """What can be chosen is listed, before the checkpoint is read."""
    line = failure(capfd, tmp_path, "-o", tmp_path / "out", option, value)

    assert (
        f"tiedge export: {option} {value}: found {wrong!r}, expected some of {legal}"
    ) == line


def test_an_output_must_be_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """There is no default place for a bundle."""
    line = failure(capfd, tmp_path)

    assert "tiedge export: the following arguments are required: -o/--output" in line


@needs_data
def test_an_unwritable_output_is_one_line(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An output below a regular file is refused before anything is converted."""
    (tmp_path / "file").write_text("mine")
    output = tmp_path / "file" / "made" / "denoise"

    assert (f"tiedge export: {output}: cannot be written: Not a directory") == failure(
        capfd, trained, "-o", output
    )


@needs_data
def test_a_folder_that_is_no_bundle_is_one_line(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The checkpoint itself is not overwritten by its bundle."""
    line = failure(capfd, trained, "-o", trained)

    assert (
        f"tiedge export: {trained}: is there and is no bundle; name a folder that is"
        " not there yet"
    ) == line
    assert (trained / WEIGHTS_FILE).is_file()
