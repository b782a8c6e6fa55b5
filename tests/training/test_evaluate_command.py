from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import wave
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import tiedge
from edge_runtime.errors import missing_package
from edge_runtime.options import usable_cores
from edge_runtime.pictures import add_noise, psnr_db, read_picture, to_8_bits
from tests.demo_app.hand_made_bundles import (
    blur_bundle,
    light_bundle,
    spoken_tones,
    tones_bundle,
)
from training import scikit_image, subject
from training.checkpoint import save_weights
from training.recipes.denoise import DenoiseRecipe
from training.recipes.digits import DigitsRecipe

ROOT = Path(tiedge.__file__).parent
RATE_HZ = 8000
QUICK = ("--precision", "fp32")


TINY = DenoiseRecipe(channels=4, depths=(1, 2), depth_weights=(0.5, 1.0))


@pytest.fixture(scope="module")
def blur(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(blur_bundle(tmp_path_factory.mktemp("bundles")))


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tones_bundle(tmp_path_factory.mktemp("bundles")))


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Return a table of two clips that say "ab", one of them labelled otherwise."""
    with wave.open(str(tmp_path / "spoken.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((spoken_tones(RATE_HZ) * 32767).astype("<i2").tobytes())
    rows = ["path\ttext\tsplit", "spoken.wav\tab\tdev", "spoken.wav\tno ab\ttest"]
    (tmp_path / "transcripts.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Return an untrained `denoise` checkpoint of four channels."""
    recipe = TINY
    folder = tmp_path / "small"
    weights = recipe.network().state_dict()
    save_weights(folder, "denoise", recipe, weights, 7, {"psnr_db": 20.0})
    return folder


def call(*arguments: object) -> int:
    return tiedge.main(["evaluate", *map(str, arguments)])


def measured(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    status = call(*arguments, "--json")
    output = capsys.readouterr()
    assert status == 0, output.err
    return json.loads(output.out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the one line of a call that fails."""
    status = call(*arguments, "--json")
    output = capsys.readouterr()
    (line,) = output.err.splitlines()
    assert (1, "") == (status, output.out)
    return line.removeprefix("tiedge evaluate: ")


def test_pictures_have_the_keys_of_the_design(
    blur: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One JSON object holds bundle, conditions, means and a row per picture."""
    result = measured(capsys, blur, "--data", photos, *QUICK)

    rows = result.pop("rows")
    figures = {
        key: result.pop(key) for key in ("psnr_db", "ssim", "noisy_psnr_db", "ms")
    }
    assert result.pop("engine_version")
    assert {
        "bundle": "blur",
        "engine": "litert",
        "precision": "fp32",
        "threads": 1,
        "depth": 2,
        "data": str(photos),
        "sigma": 25.0,
        "protocol": "published",
        "blind": False,
        "seed": 0,
        "n_pictures": 4,
    } == result
    assert figures["psnr_db"] == pytest.approx(np.mean([r["psnr_db"] for r in rows]))
    assert [str(photos / f"{i}.png") for i in range(4)] == [r["path"] for r in rows]


def test_every_depth_in_one_call(
    blur: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--depth all` gives one row per depth, equal to that depth's own call."""
    every = measured(capsys, blur, "--data", photos, "--depth", "all", *QUICK)
    first = measured(capsys, blur, "--data", photos, "--depth", "1", *QUICK)

    assert [1, 2] == [row["depth"] for row in every["rows"]]
    assert (2, 1) == (every["depth"], first["depth"])
    assert every["rows"][0]["psnr_db"] == first["psnr_db"]
    assert every["rows"][1]["psnr_db"] == every["psnr_db"]


def test_progress_is_on_stderr_and_the_summary_on_stdout(
    blur: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --json a few lines say what was measured, under which conditions."""
    status = call(blur, "--data", photos, "--depth", "all", "--beside", *QUICK)

    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert status == 0
    told = output.err.splitlines()
    assert "blur: PSNR of each picture at depth 2" == told[0]
    assert ["1/4", "2/4", "3/4", "4/4"] == [line.split()[0] for line in told[1:]]
    assert lines[0].startswith(
        "blur (litert fp32), sigma 25 published, 4 pictures, noisy 2"
    )
    others = ["non-local means (scikit-image)", "non-local means (OpenCV)"]
    others += ["BM3D"] * (find_spec("bm3d") is not None)
    assert ["depth 1", "depth 2", *others] == [line.split(":")[0] for line in lines[1:]]


def test_every_look_is_measured(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --look, all that the network has, one after another; and as a plot."""
    light = str(light_bundle(tmp_path, ("smooth", "glow")))
    plot = tmp_path / "plot.png"
    asked = ("--data", photos, "--depth", "all", *QUICK)

    status = call(light, *asked, "--beside", "--plot", plot)
    output = capsys.readouterr()
    lines = output.out.splitlines()
    every = measured(capsys, light, *asked)
    one = measured(capsys, light, *asked, "--look", "glow")

    assert status == 0
    assert ["light", "depth 1", "depth 2", "smooth (OpenCV)", ""] == [
        line.partition(" (litert")[0].split(":")[0] for line in lines[:5]
    ]
    assert re.fullmatch(r"smooth \(OpenCV\): the reference, \d+ ms each", lines[3])
    assert [
        f"light, {look}: PSNR of each picture at depth 2" for look in ("smooth", "glow")
    ] == [line for line in output.err.splitlines() if "PSNR" in line]
    assert lines[5].startswith("light (litert fp32), glow, 4 pictures, untouched ")
    assert [("smooth", 1), ("smooth", 2), ("glow", 1), ("glow", 2)] == [
        (row["look"], row["depth"]) for row in every["rows"]
    ]
    assert one["look"] == "glow"
    assert [row["psnr_db"] for row in one["rows"]] == [
        row["psnr_db"] for row in every["rows"][2:]
    ]
    with Image.open(plot) as drawn:
        assert drawn.format == "PNG"


@pytest.mark.parametrize("name", ["plot.jpg", "nowhere/plot.png"])
def test_a_plot_has_to_have_a_place(
    blur: str,
    photos: Path,
    tmp_path: Path,
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is said before anything is measured."""
    status = call(blur, "--data", photos, "--plot", tmp_path / name, *QUICK)

    assert status == 1
    assert capsys.readouterr().err == (
        f"tiedge evaluate: --plot {tmp_path / name}: expected a file ending in .png,"
        " in a folder that is there\n"
    )


def test_a_plot_needs_a_name_that_fits(
    blur: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The system's reason is told before anything is measured."""
    plot = photos / f"{'a' * 300}.png"

    assert f"--plot {plot}: cannot be written: File name too long" == refused(
        capsys, blur, "--data", photos, "--plot", plot, *QUICK
    )


@pytest.mark.parametrize("name", ["gone.png", f"{'a' * 300}.png"])
def test_a_row_without_its_picture_is_told(
    blur: str,
    photos: Path,
    tmp_path: Path,
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With table and line, also beside a plot that is to be replaced."""
    table, plot = photos / "photos.tsv", tmp_path / "plot.png"
    table.write_text(f"path\n0.png\n{name}\n")
    plot.write_bytes(b"drawn before")

    assert f"{table}, line 3: no such file: {photos / name}" == refused(
        capsys, blur, "--data", table, "--plot", plot, *QUICK
    )


def test_a_table_that_is_a_pipe_is_told(
    blur: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reading it would wait for a writer."""
    os.mkfifo(tmp_path / "a.tsv")

    assert f"{tmp_path / 'a.tsv'}: is a device or a pipe, expected a table" == refused(
        capsys, blur, "--data", tmp_path / "a.tsv", *QUICK
    )


def test_a_plot_does_not_replace_what_is_measured(
    blur: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An input stays as it was."""
    before = (photos / "1.png").read_bytes()

    status = call(blur, "--data", photos, "--plot", photos / "1.png", *QUICK)

    assert (1, before) == (status, (photos / "1.png").read_bytes())
    assert capsys.readouterr().err == (
        f"tiedge evaluate: --plot {photos / '1.png'}: is one of the inputs, expected"
        " another file\n"
    )


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--depth", "0", "depth: found 0, expected one of 1 2\n"),
        ("--data", "", "argument --data: is empty, expected a path"),
    ],
)
def test_nothing_is_not_taken_for_a_default(
    blur: str,
    photos: Path,
    option: str,
    value: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Zero and an empty text are values."""
    status = call(blur, "--data", photos, option, value, *QUICK)

    assert status == 1
    assert message in capsys.readouterr().err


def test_a_table_picks_pictures(
    blur: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--where` keeps the rows of a table that fit."""
    table = photos / "photos.tsv"
    table.write_text("path\tsplit\n0.png\ttrain\n1.png\tdev\n2.png\tdev\n")

    result = measured(
        capsys, blur, "--data", table, "--where", "split=dev", "--depth", "1", *QUICK
    )

    assert [str(photos / name) for name in ("1.png", "2.png")] == [
        row["path"] for row in result["rows"]
    ]


def test_a_list_and_links_are_data_too(
    blur: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list names pictures beside itself; a folder may hold symbolic links."""
    (photos / "list.txt").write_text("3.png\n0.png\n")
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "a.png").symlink_to(photos / "0.png")

    by_list = measured(capsys, blur, "--data", photos / "list.txt", *QUICK)
    by_link = measured(capsys, blur, "--data", linked, *QUICK)

    assert [str(photos / name) for name in ("3.png", "0.png")] == [
        row["path"] for row in by_list["rows"]
    ]
    assert by_link["n_pictures"] == 1


def test_a_list_says_what_its_paths_are_relative_to(
    blur: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A picture that the list names and that is not there is named whole."""
    (photos / "list.txt").write_text("none.png\n")

    assert (
        f"{photos}/list.txt:1: no such picture: {photos}/none.png; a list's paths are"
        " relative to its own folder"
    ) == refused(capsys, blur, "--data", photos / "list.txt", *QUICK)


def test_odd_sizes_are_kept(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A picture with odd sides is measured whole."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (21, 33, 3), dtype=np.uint8)
    (tmp_path / "odd").mkdir()
    Image.fromarray(picture).save(tmp_path / "odd" / "odd.png")

    result = measured(capsys, checkpoint, "--data", tmp_path / "odd", "--sigma", "5")

    noisy = add_noise(picture, 5, (0, 0), clip=False)
    assert psnr_db(picture, to_8_bits(noisy)) == result["noisy_psnr_db"]


def test_a_checkpoint_runs_in_torch(
    checkpoint: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkpoint's folder implies torch; the network sees whole pictures."""
    result = measured(capsys, checkpoint, "--data", photos, "--sigma", "30")

    network = TINY.network()
    network.load_state_dict(load_file(checkpoint / "weights.safetensors"))
    clean = read_picture(photos / "0.png")
    noisy = add_noise(clean, 30, (0, 0), clip=False).transpose(2, 0, 1)
    with torch.no_grad():
        (restored,) = network.at_depth(
            torch.from_numpy(noisy)[None], torch.full((1, 1, 1, 1), 30 / 255), depth=2
        )
    expected = psnr_db(clean, to_8_bits(restored.numpy().transpose(1, 2, 0)))
    assert ("small", "torch", "fp32", 2) == (
        result["bundle"],
        result["engine"],
        result["precision"],
        result["depth"],
    )
    assert result["rows"][0]["psnr_db"] == pytest.approx(expected, abs=1e-3)


def test_torch_runs_the_committed_checkpoint_of_a_bundle(
    checkpoint: Path,
    blur: str,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`--engine torch` with a ready-made name runs what the bundle came from."""
    monkeypatch.setattr(subject, "CHECKPOINTS", checkpoint.parent)
    monkeypatch.setattr(subject, "BUNDLES", checkpoint.parent / "bundles")
    ready_made = checkpoint.parent / "bundles" / "small"
    ready_made.mkdir(parents=True)
    (ready_made / "bundle.json").write_text("{}")

    result = measured(capsys, "small", "--engine", "torch", "--data", photos)

    assert ("small", "torch") == (result["bundle"], result["engine"])


def test_speech_has_the_keys_of_the_design(
    tones: str, speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One JSON object holds bundle, conditions, error rates and a row per clip."""
    result = measured(capsys, tones, "--data", speech, *QUICK)

    rows = result.pop("rows")
    assert result.pop("engine_version")
    assert result.pop("rtf") > 0
    assert {
        "bundle": "tones",
        "engine": "litert",
        "precision": "fp32",
        "threads": 1,
        "depth": None,
        "data": str(speech),
        "n_utterances": 2,
        "n_left_out": 0,
        "n_words": 3,
        "n_errors": 1,
        "wer": 1 / 3,
        "cer": 3 / 7,
        "decoding": {},
        "n_understood": 0,
    } == result
    assert ["ab", "ab"] == [row["found"] for row in rows]


def test_speech_rows_are_picked_by_column(
    tones: str, speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--where` keeps the clips that fit, and the summary counts them."""
    status = call(tones, "--data", speech, "--where", "split=dev", *QUICK)

    output = capsys.readouterr()
    assert status == 0
    assert "1/1 spoken.wav: ab\n" == output.err  # nothing was heard wrong
    assert output.out.startswith(
        "tones (litert fp32): 0.00% word errors (0 of 1), 0.00% character errors,"
        " 0 left out; 1 utterances, real-time factor 0.0"
    )


def test_texts_that_no_network_writes_are_told(
    tones: str, speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With table and line, before anything is heard."""
    table = speech / "transcripts.tsv"
    table.write_text(table.read_text() + "spoken.wav\tä b\tdev\n")

    status = call(tones, "--data", speech, "--json", *QUICK)

    output = capsys.readouterr()
    assert (0, 1) == (status, json.loads(output.out)["n_left_out"])
    assert output.err.startswith(
        "1 clips left out, whose text has symbols other than a-z, such as ä of"
        f" {table}, line 4\n"
    )


def test_words_that_are_expected_are_asked_for(
    tones: str, speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was asked for stands in the result; pictures take none of it."""
    result = measured(capsys, tones, "--data", speech, "--words", "ba,ab", *QUICK)

    assert {"words": ["ba", "ab"]} == result["decoding"]
    assert 1 == result["n_errors"]


def test_intents_are_measured_by_a_grammar(
    tones: str, speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table of labels needs one; all slots have to be right."""
    (speech / "go.gram").write_text("#JSGF V1.0; public <go> = [ba] ab {what};")
    labels = speech / "labels.tsv"
    labels.write_text(
        "path\tintent\tslots_json\n"
        'spoken.wav\tgo\t{"what": "ab"}\nspoken.wav\tgo\t{"what": "ba"}\n'
    )

    result = measured(
        capsys, tones, "--data", labels, "--grammar", speech / "go.gram", *QUICK
    )

    assert (2, 1, 0.5) == (
        result["n_utterances"],
        result["n_right"],
        result["accuracy"],
    )
    assert (
        1
        == measured(
            *(capsys, tones, "--data", labels, "--grammar", speech / "go.gram"),
            *("--where", 'slots_json={"what": "ab"}', *QUICK),
        )["n_utterances"]
    )
    assert f"{labels}: no column 'split', expected one of path intent" in refused(
        *(capsys, tones, "--data", labels, "--grammar", speech / "go.gram"),
        *("--where", "split=dev", *QUICK),
    )
    assert f"{labels}: holds intents; name the grammar that has them" in refused(
        capsys, tones, "--data", labels, *QUICK
    )


def test_pocketsphinx_is_measured_beside(
    tones: str, speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same clips, its own model, the words that were asked for."""
    pytest.importorskip("pocketsphinx", reason="pocketsphinx is not installed")
    asked = ["--data", speech, "--words", "a,b", "--beside"]

    result = measured(capsys, tones, *asked, *QUICK)

    (peer,) = result["beside"]
    assert ("PocketSphinx", 2) == (peer["name"], peer["n_utterances"])
    assert peer["rtf"] > 0
    assert {word for row in peer["rows"] for word in row["found"].split()} <= {"a", "b"}


def test_what_was_heard_wrong_is_told(
    tones: str, speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Below the progress stands a line per clip with errors; --json has it in rows."""
    call(tones, "--data", speech, *QUICK)
    told = capsys.readouterr().err.splitlines()
    call(tones, "--data", speech, "--json", *QUICK)
    told_beside_json = capsys.readouterr().err.splitlines()

    assert ["spoken.wav: expected 'no ab', heard 'ab'"] == told[2:]
    assert told[:2] == told_beside_json


@pytest.mark.parametrize("damage", ["truncated", "missing", "5 kHz"])
def test_a_bad_clip_is_found_before_the_others_are_heard(
    tones: str, speech: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named, and no work is lost."""
    bad = speech / "bad.wav"
    whole = (speech / "spoken.wav").read_bytes()
    if damage == "truncated":
        bad.write_bytes(whole[: len(whole) // 2])
    elif damage == "5 kHz":
        with wave.open(str(bad), "wb") as file:
            file.setparams((1, 2, 5000, 0, "NONE", ""))
            file.writeframes(bytes(5000))
    with (speech / "transcripts.tsv").open("a") as table:
        table.write("bad.wav\tab\tdev\n")

    line = refused(capsys, tones, "--data", speech, *QUICK)  # one line: no progress

    what = f"no such file: {bad}" if damage == "missing" else f"{bad}: "
    assert line.startswith(f"{speech}/transcripts.tsv, line 4: {what}")


def test_a_truncated_picture_is_found_before_the_others_are_measured(
    blur: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named, and no work is lost."""
    last = photos / "3.png"
    last.write_bytes(last.read_bytes()[:-60])

    line = refused(capsys, blur, "--data", photos, *QUICK)  # one line: no progress

    assert line.startswith(f"{last}: damaged picture: ")


def test_a_speech_checkpoint_runs_in_torch(
    speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An untrained transcriber reads every clip and gets the words wrong."""
    recipe = DigitsRecipe(hidden=8)
    weights = recipe.network().state_dict()
    save_weights(tmp_path / "run", "digits", recipe, weights, 1, {})

    result = measured(capsys, tmp_path / "run", "--data", speech)

    assert ("torch", 2, 3) == (
        result["engine"],
        result["n_utterances"],
        result["n_words"],
    )
    assert result["wer"] > 0


def test_a_bundle_is_measured_without_torch(
    blur: str, tones: str, photos: Path, speech: Path
) -> None:
    """Neither task needs torch, lightning or safetensors when a bundle is measured."""
    program = (
        "import sys\n"
        "for name in ('torch', 'lightning', 'safetensors', 'tensorflow'):\n"
        "    sys.modules[name] = None\n"
        "import tiedge\n"
        "for what, data in zip(sys.argv[1::2], sys.argv[2::2]):\n"
        "    arguments = ['evaluate', what, '--data', data, '--precision', 'fp32']\n"
        "    assert tiedge.main(arguments) == 0\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, blur, photos, tones, speech],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert 3 == len(done.stdout.splitlines())


def test_what_is_not_there_is_one_line(
    blur: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bundle, folder, picture or column that does not exist is named."""
    empty = tmp_path / "empty"
    empty.mkdir()
    table = photos / "photos.tsv"
    table.write_text("path\tsplit\n0.png\tdev\n")

    assert "nothing-here: no such bundle, expected a folder or one of:" in refused(
        capsys, "nothing-here"
    )
    assert f"{tmp_path}/no: no such data; name yours with --data" == refused(
        capsys, blur, "--data", tmp_path / "no", *QUICK
    )
    assert refused(capsys, blur, "--data", empty, *QUICK).startswith(
        f"{empty}: holds no picture, expected files ending in .bmp"
    )
    assert f"{table}: no column 'part', expected one of path split" == refused(
        capsys, blur, "--data", table, "--where", "part=dev", *QUICK
    )
    assert f"{table}: no row with split=test, expected one of 'dev'" == refused(
        capsys, blur, "--data", table, "--where", "split=test", *QUICK
    )
    assert (
        f"{photos}: is no table, --where needs one (.tsv with a column path)"
    ) == refused(capsys, blur, "--data", photos, "--where", "split=dev", *QUICK)


def test_the_default_data_folder_is_named(
    blur: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --data the folder of TIEDGE_DATA has to be there."""
    monkeypatch.setenv("TIEDGE_DATA", "/nowhere")

    assert (
        "/nowhere: no such data folder; set TIEDGE_DATA or name your own with --data"
    ) == refused(capsys, blur, *QUICK)


def test_the_default_data_are_the_published_photographs(
    blur: str,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """CBSD68's list in the data folder is what is measured."""
    (photos / "test_CBSD68.txt").write_text("2.png\n")
    monkeypatch.setenv("TIEDGE_DATA", str(photos.parent))

    result = measured(capsys, blur, *QUICK)

    assert [str(photos / "2.png")] == [row["path"] for row in result["rows"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sigma", "-1"], "sigma: found -1, expected 0 to 55"),
        (["--depth", "3"], "depth: found 3, expected one of 1 2"),
        (
            ["--threads", "0"],
            f"argument --threads: found 0, expected 1 to {usable_cores()}, the cores of"
            " this machine; see tiedge evaluate --help",
        ),
        (["--where", "split"], "--where split: expected COLUMN=VALUE"),
        (["--where", "=dev"], "--where =dev: expected COLUMN=VALUE"),
        (
            ["--depth", "deep"],
            "argument --depth: found 'deep', expected a number or all; see tiedge"
            " evaluate --help",
        ),
    ],
)
def test_options_that_are_not_legal_are_one_line(
    blur: str,
    photos: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The line says what was found and what is expected."""
    found = refused(capsys, blur, "--data", photos, *QUICK, *arguments)

    assert message == found


def test_options_for_pictures_are_refused_for_speech(
    tones: str, speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sigma means nothing for speech, so it is no silent no-op."""
    assert "--sigma: is for pictures, tones reads speech; leave it out" == refused(
        capsys, tones, "--data", speech, "--sigma", "25", *QUICK
    )


def test_engine_and_subject_have_to_fit(
    blur: str, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Torch runs checkpoints in fp32, the other engines run bundles."""
    assert (
        f"{blur}: is a bundle, torch runs checkpoints; name the checkpoint's folder, or"
        " another --engine"
    ) == refused(capsys, blur, "--engine", "torch")
    assert (
        f"{checkpoint}: is no bundle, litert runs bundles; run tiedge export first, or"
        " leave out --engine"
    ) == refused(capsys, checkpoint, "--engine", "litert")
    assert (
        f"{checkpoint}: int8 is for bundles, a checkpoint is fp32; leave out"
        " --precision"
    ) == refused(capsys, checkpoint, "--precision", "int8")


def test_a_missing_package_names_its_extra(
    blur: str,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """scikit-image and tensorflow are optional; nothing is measured without them."""
    monkeypatch.setattr("training.tensorflow_engine.PACKAGE", "no-tensorflow")
    monkeypatch.setattr(scikit_image, "PACKAGE", "no-scikit-image")

    assert str(missing_package("no-scikit-image", "evaluate")) == refused(
        capsys, blur, "--data", photos, *QUICK
    )
    assert "no-tensorflow is not installed; it comes with tiedge's extra" in refused(
        capsys, blur, "--engine", "tensorflow", *QUICK
    )


def test_a_damaged_checkpoint_is_one_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights cut short, another network's, no record, or an unknown recipe."""
    weights = checkpoint / "weights.safetensors"
    record = checkpoint / "recipe.json"
    whole, told = weights.read_bytes(), json.loads(record.read_text())

    weights.write_bytes(whole[: len(whole) // 2])
    assert refused(capsys, checkpoint).startswith(f"{weights}: weights cannot be read:")
    weights.write_bytes(whole)
    other = told | {"settings": told["settings"] | {"channels": 6}}
    record.write_text(json.dumps(other))
    assert (f"{checkpoint}: weight 'level' is (4,), the network's is (6,)") == refused(
        capsys, checkpoint
    )
    record.write_text(json.dumps(told | {"recipe": "paint"}))
    assert (
        f"{checkpoint}: recipe 'paint', expected one of commands denoise denoise-live"
        " digits enhance lm looks superres transcribe" == refused(capsys, checkpoint)
    )
    record.unlink()
    assert f"{record}: no checkpoint can be read here: No such file or directory" in (
        refused(capsys, checkpoint)
    )
    assert refused(capsys, checkpoint).endswith(
        "expected a folder with recipe.json and weights.safetensors"
    )
