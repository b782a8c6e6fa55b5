import subprocess
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.bundle_parts import ModelFile
from edge_runtime.engines import FORMAT_OF_ENGINE, installed_engines
from edge_runtime.errors import ParityError, SettingError
from export.order import FORMATS, Order
from export.pack import export_bundle
from export.plan import Plan, TaskMetric
from tests.export.conftest import Exported
from tests.export.tiny_plans import (
    ALPHABET,
    CHANNELS,
    DEPTHS,
    HIDDEN,
    LAYERS,
    denoiser_plan,
    spread,
)
from training.denoiser import Denoiser

FILES = [("tflite", "fp32"), ("tflite", "int8"), ("pte", "fp32"), ("pte", "int8")]

PICTURE_PARAMETERS = {
    "head": 12 * CHANNELS * 9,
    "level and offset": 2 * CHANNELS,
    "first and second": 2 * CHANNELS * CHANNELS * 9,
    "scale, bias and size of each step": 3 * CHANNELS * max(DEPTHS),
    "tail": CHANNELS * 12 * 9,
    "tail bias of each depth": 12 * len(DEPTHS),
}
SPEECH_PARAMETERS = {
    "subsample": 6 * 40 * HIDDEN + HIDDEN,
    "context": 3 * HIDDEN * HIDDEN + HIDDEN,
    "gru": 2 * (3 * HIDDEN * HIDDEN + 3 * HIDDEN),
    "scale and bias of each layer": 2 * HIDDEN * LAYERS,
    "output": HIDDEN * len(ALPHABET) + len(ALPHABET),
}


def say_nothing(line: str) -> None:
    """Take a line of progress."""


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, hidden ones too, and folders as empty ones."""
    return {
        str(path.relative_to(folder)): b"" if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
    }


def models(exported: Exported) -> list[ModelFile]:
    return [exported.bundle.model(*kind) for kind in FILES]


def small_order(output: Path) -> Order:
    return Order(output, formats=("tflite",), precisions=("fp32",))


@pytest.fixture
def standing(tmp_path: Path) -> Path:
    """A folder that an export would replace."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "bundle.json").write_text("{}")
    (folder / "old.tflite").write_bytes(b"weights")
    return folder


def test_makes_a_bundle_of_every_format_and_precision(
    tiny_picture: Exported, tiny_speech: Exported
) -> None:
    """The folder opens as a bundle and holds the files that were ordered."""
    for exported in (tiny_picture, tiny_speech):
        opened = Bundle.open(exported.bundle.folder)

        assert exported.bundle == opened
        assert FILES == [(m.format, m.precision) for m in opened.models]
        assert {"bundle.json", "CARD.md"} | {m.path.name for m in models(exported)} == {
            path.name for path in opened.folder.iterdir()
        }


def test_no_file_holds_a_weight_twice(
    tiny_picture: Exported, tiny_speech: Exported
) -> None:
    """Duplicate bytes are 0 in both formats and precisions, for both tasks."""
    for model in [*models(tiny_picture), *models(tiny_speech)]:
        assert 0 == model.sharing.duplicate_bytes
        assert 0 == model.sharing.allowed_duplicate_bytes
        assert model.sharing.unique_bytes == model.sharing.stored_bytes


def test_unique_bytes_are_those_of_the_module(
    tiny_picture: Exported, tiny_speech: Exported
) -> None:
    """In fp32 a file holds four bytes per distinct parameter of the source module."""
    n_picture = sum(PICTURE_PARAMETERS.values())
    n_speech = sum(SPEECH_PARAMETERS.values())

    for model_format in ("tflite", "pte"):
        picture = tiny_picture.bundle.model(model_format, "fp32")
        speech = tiny_speech.bundle.model(model_format, "fp32")
        assert 4 * n_picture == picture.sharing.unique_bytes
        assert 4 * n_speech == speech.sharing.unique_bytes


def test_an_int8_file_holds_one_byte_per_kernel_element(
    tiny_picture: Exported,
) -> None:
    """Both kernels of the block are int8, once; one entry point runs every step."""
    for model_format in ("tflite", "pte"):
        model = tiny_picture.bundle.model(model_format, "int8")
        rows = {row.name: row for row in model.sharing.weights}

        for name in ("body.first.weight", "body.second.weight"):
            assert CHANNELS * CHANNELS * 9 == rows[name].stored_bytes
            assert 1 == rows[name].uses


def test_convolutions_between_are_stored_once(tmp_path: Path) -> None:
    """A file of a block of four holds each kernel once, in both formats."""
    network = spread(Denoiser(CHANNELS, (1,), n_convolutions=4))
    order = Order(tmp_path / "tiny", FORMATS, ("int8",))

    bundle = export_bundle(denoiser_plan((1,), network), order, say_nothing)

    for model in bundle.models:
        sharing = model.sharing
        names = {weight.name for weight in sharing.weights}
        assert {"body.between.0.weight", "body.between.1.weight"} <= names
        assert 0 == sharing.duplicate_bytes


def test_size_is_pinned(tiny_picture: Exported, tiny_speech: Exported) -> None:
    """A change of the converters that stores more is noticed; 10 % are left to them."""
    sizes = {m.path.name: m.bytes for m in models(tiny_picture) + models(tiny_speech)}
    pinned = {
        "tiny.fp32.tflite": 15_568,
        "tiny.int8.tflite": 14_256,
        "tiny.fp32.pte": 21_696,
        "tiny.int8.pte": 22_320,
        "tiny-speech.fp32.tflite": 29_392,
        "tiny-speech.int8.tflite": 22_736,
        "tiny-speech.fp32.pte": 36_112,
        "tiny-speech.int8.pte": 38_160,
    }

    assert {
        name: pytest.approx(size, rel=0.1) for name, size in pinned.items()
    } == sizes


def test_every_installed_engine_proves_every_file(
    tiny_picture: Exported, tiny_speech: Exported
) -> None:
    """A file has one parity row and one metric row per engine that runs its format."""
    for exported in (tiny_picture, tiny_speech):
        for model in models(exported):
            engines = [
                name
                for name in installed_engines()
                if FORMAT_OF_ENGINE[name] == model.format
            ]

            assert engines == [row.engine for row in model.parity]
            assert engines == [row.engine for row in model.metrics]
            assert {len(exported.plan.entry_points[0].held_out)} == {
                r.n_inputs for r in model.parity
            }


def test_the_metric_stands_beside_the_modules(tiny_picture: Exported) -> None:
    """The fp32 file's PSNR is the module's; the bundle repeats every file's rows."""
    (row,) = tiny_picture.bundle.model("tflite", "fp32").metrics

    assert "psnr_db" == row.name
    assert row.reference_value == pytest.approx(row.value, abs=0.01)
    assert [r for m in models(tiny_picture) for r in m.metrics] == list(
        tiny_picture.bundle.metrics
    )


def test_speech_is_measured_by_its_text(tiny_speech: Exported) -> None:
    """Every file, streamed, writes what the module writes."""
    for model in models(tiny_speech):
        assert [("differs", 0.0)] == [(row.name, row.value) for row in model.metrics]


def test_the_fingerprint_leads_from_each_parameter_to_each_file(
    tiny_picture: Exported,
) -> None:
    """Every parameter of the module is named with a constant of every file."""
    names = {model.path.name for model in models(tiny_picture)}
    fingerprint = tiny_picture.bundle.fingerprint

    assert [w.name for w in tiny_picture.plan.source] == [w.name for w in fingerprint]
    assert {w.name: names for w in fingerprint} == {
        weight.name: {path for path, constants in weight.stored.items() if constants}
        for weight in fingerprint
    }
    head = tiny_picture.plan.source[0]
    assert sha256(head.values.tobytes()).hexdigest() == fingerprint[0].sha256


def test_the_card_has_the_measured_tables(tiny_picture: Exported) -> None:
    """CARD.md is the recipe's text, then a row per file and a row per metric."""
    card = (tiny_picture.bundle.folder / "CARD.md").read_text(encoding="utf-8")
    fp32 = tiny_picture.bundle.model("tflite", "fp32")

    assert card.startswith(tiny_picture.plan.card)
    assert f"| `tiny.fp32.tflite` | {fp32.bytes:,} |" in card
    assert 2 * len(FILES) == card.count("| `tiny.")


def test_says_what_it_does(tiny_picture: Exported) -> None:
    """Each file is announced, then told of with bytes, parity and metric."""
    said = [line for line in tiny_picture.said if line.startswith("tiny.int8.tflite")]

    assert "tiny.int8.tflite: converting" == said[0]
    assert "bytes, 0 duplicate; litert: relative error" in said[1]
    assert said[-1].startswith("tiny.int8.tflite on litert: psnr_db ")


def test_replaces_a_bundle_when_all_went_well(standing: Path) -> None:
    """A new bundle takes the old one's place; nothing of the old one is left."""
    bundle = export_bundle(denoiser_plan((1,)), small_order(standing), say_nothing)

    assert standing.resolve() == bundle.folder
    assert {"bundle.json", "CARD.md", "tiny.fp32.tflite"} == set(tree(standing))
    assert [standing] == list(standing.parent.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_late_failure_leaves_all_as_it_was(
    standing: Path, error: type[BaseException]
) -> None:
    """The old bundle stands, with nothing beside it, if the last step fails."""
    before = tree(standing.parent)

    def interrupt(line: str) -> None:
        if "converting" not in line:
            raise error

    with pytest.raises(error):
        export_bundle(denoiser_plan((1,)), small_order(standing), interrupt)

    assert before == tree(standing.parent)


def test_a_failure_makes_no_folder(tmp_path: Path) -> None:
    """Where no bundle stood, none stands after an interrupt."""

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_bundle(denoiser_plan(), Order(tmp_path / "new"), interrupt)

    assert {} == tree(tmp_path)


def test_refuses_int8_that_costs_too_much_of_the_metric(tmp_path: Path) -> None:
    """Int8 that is worse than planned on the task's metric is not packed."""

    def measure(bundle: Bundle, engine: object) -> TaskMetric:
        return TaskMetric("psnr_db", 29.5, 30.5, 1.0, 1, "none", "none")

    plan = replace(denoiser_plan((1,)), measure=measure, int8_metric_loss=0.15)

    with pytest.raises(ParityError) as caught:
        export_bundle(plan, Order(tmp_path / "tiny", ("tflite",)), say_nothing)

    assert (
        "tiny.int8.tflite on litert: psnr_db 29.5, the module's is 30.5; expected at"
        " most 0.15 worse"
    ) == str(caught.value)
    assert {} == tree(tmp_path)


@pytest.mark.parametrize("content", ["holiday.txt", None])
def test_never_replaces_what_is_no_bundle(tmp_path: Path, content: str | None) -> None:
    """A folder without bundle.json is refused before anything is converted."""
    folder = tmp_path / "photos"
    folder.mkdir()
    if content:
        (folder / content).write_text("mine")
    before = tree(tmp_path)

    with pytest.raises(SettingError) as caught:
        export_bundle(denoiser_plan(), Order(folder), pytest.fail)

    assert (
        f"{folder}: is there and is no bundle; name a folder that is not there yet"
    ) == str(caught.value)
    assert before == tree(tmp_path)


def test_refuses_an_output_that_cannot_be_made(tmp_path: Path) -> None:
    """A path below a regular file is refused before anything is converted."""
    (tmp_path / "file").write_text("mine")
    output = tmp_path / "file" / "made" / "tiny"

    with pytest.raises(SettingError) as caught:
        export_bundle(denoiser_plan(), Order(output), pytest.fail)

    assert f"{output}: cannot be written: Not a directory" == str(caught.value)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs a root that may mount: a full disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_all_as_it_was(small_disk: Path) -> None:
    """A disk that fills up is an error of one line, and the old bundle stands."""
    output = small_disk / "tiny"
    output.mkdir()
    (output / "bundle.json").write_text("{}")
    before = tree(small_disk)

    with pytest.raises(SettingError) as caught:
        export_bundle(denoiser_plan((1,)), small_order(output), say_nothing)

    assert f"{output}: cannot be written: No space left on device" == str(caught.value)
    assert before == tree(small_disk)


def test_a_folder_that_cannot_be_moved_leaves_all_as_it_was(small_disk: Path) -> None:
    """A bundle that is a mounted file system cannot be replaced, and is not."""
    (small_disk / "bundle.json").write_text("{}")
    before = tree(small_disk.parent)

    with pytest.raises(SettingError) as caught:
        export_bundle(denoiser_plan((1,)), small_order(small_disk), say_nothing)

    assert f"{small_disk}: cannot be written: Device or resource busy" == str(
        caught.value
    )
    assert before == tree(small_disk.parent)


def test_every_part_of_a_plan_is_used(tiny_picture: Exported) -> None:
    """What the recipe knows stands in the bundle as it was said."""
    plan: Plan = tiny_picture.plan
    bundle = tiny_picture.bundle

    assert (plan.name, plan.task, plan.summary) == (
        bundle.name,
        bundle.task,
        bundle.summary,
    )
    assert DEPTHS == bundle.depths
    assert [entry.name for entry in plan.entry_points] == [
        signature.name for signature in bundle.models[0].signatures
    ]
    assert plan.entry_points[0].inputs == bundle.models[0].signatures[0].inputs
