import json
import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import tiedge
from edge_runtime.errors import DataError, PictureError
from edge_runtime.options import usable_cores
from edge_runtime.photo.journal import open_journal
from edge_runtime.photo.plan import Job, plan
from edge_runtime.photo.restore import Setting
from edge_runtime.photo.workers import Opening, filter_at_once
from edge_runtime.pictures import (
    add_noise,
    read_picture,
    to_8_bits,
    to_float,
    write_picture,
)
from tests.demo_app.hand_made_bundles import blur_bundle, light_bundle

ENDINGS = ".bmp .jpeg .jpg .png .tif .tiff .webp"

NOBODY = 2**22 + 1
"""The number of no process: Linux gives none above 2**22."""


@pytest.fixture(scope="module")
def blur(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of a bundle whose depth N averages 3×3 pixels N times."""
    return str(blur_bundle(tmp_path_factory.mktemp("bundles")))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    write_picture(
        tmp_path / "photo.png", rng.integers(0, 256, (100, 130, 3), dtype=np.uint8)
    )
    return tmp_path / "photo.png"


def blurred(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the average of each pixel's 3×3 neighbours, inside the picture's frame."""
    total = np.zeros((98, 128, 3), np.float32)
    for row in range(3):
        for column in range(3):
            total += to_float(picture)[row : row + 98, column : column + 128]
    return to_8_bits(total / 9)


def call(*arguments: str) -> int:
    return tiedge.main(["filter", *arguments, "--precision", "fp32"])


def call_in_turn(*arguments: str) -> int:
    """Filter a folder's pictures one after another, in the order of their names."""
    return call(*arguments, "--jobs", "1")


def pictures_of(folder: Path) -> list[str]:
    """Return the names in a folder, but for hidden ones."""
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def test_one_picture_is_filtered(
    blur: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file that comes out holds what the network computes, tiled."""
    target = tmp_path / "out" / "photo.png"

    status = call(blur, str(photo), str(target), "--depth", "1", "--sigma", "25")

    assert status == 0
    actual = read_picture(target)[1:-1, 1:-1].astype(int)
    np.testing.assert_allclose(blurred(read_picture(photo)), actual, atol=1)
    output = capsys.readouterr()
    assert re.fullmatch(
        rf"{target}: sigma 25, depth 1, \d+ ms \(blur, litert fp32\)\n", output.out
    )
    assert output.err == ""


def test_one_picture_s_line_has_its_note(
    blur: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was changed beside the filter is told, as it is in folders."""
    with Image.open(photo) as picture:
        picture.convert("CMYK").save(tmp_path / "printed.jpg")

    call(blur, str(tmp_path / "printed.jpg"), str(tmp_path / "out.jpg"))

    assert ", CMYK made sRGB (blur, litert fp32)\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "look"), [((), "plain"), (("--look", "bright"), "bright")]
)
def test_the_look_is_told(
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    look: str,
) -> None:
    """The first on offer is made without a word, and the line says which it is."""
    light = str(light_bundle(tmp_path, ("plain", "bright")))
    (tmp_path / "in").mkdir()
    photo.rename(tmp_path / "in" / "a.png")

    call(light, str(tmp_path / "in" / "a.png"), str(tmp_path / "a.png"), *words)
    alone = capsys.readouterr().out
    call(light, str(tmp_path / "in"), str(tmp_path / "out"), *words)
    folder = capsys.readouterr().out

    assert alone.endswith(f"(light, litert fp32, look {look})\n")
    assert f"(litert fp32, depth 2, look {look}), " in folder


def test_json_is_one_object_and_nothing_else(
    blur: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The deepest depth and the estimated sigma are the defaults, and it says so."""
    target = tmp_path / "out.png"

    status = call(blur, str(photo), str(target), "--json")

    result = json.loads(capsys.readouterr().out)
    (row,) = result.pop("rows")
    assert status == 0
    assert result == {
        "bundle": "blur",
        "engine": "litert",
        "precision": "fp32",
        "depth": 2,
        "fps": None,
        "threads": 1,
        "jobs": 1,
        "sigma": "auto",
        "strength": None,
        "look": None,
        "quality": 95,
        "n_pictures": 1,
        "n_done_before": 0,
    }
    assert row.pop("ms") > 0
    assert row.pop("sigma") > 50  # it is all noise
    assert row == {
        "source": str(photo),
        "target": str(target),
        "width_px": 130,
        "height_px": 100,
        "depth": 2,
    }


def test_a_folder_keeps_its_names(
    blur: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each picture of a folder goes to its own place; stderr tells of each."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    photo.rename(folder / "a.png")
    write_picture(folder / "deep" / "b.jpg", np.zeros((9, 7, 3), np.uint8))

    status = call_in_turn(blur, str(folder), str(tmp_path / "out"))

    assert status == 0
    assert read_picture(tmp_path / "out" / "a.png").shape == (100, 130, 3)
    assert read_picture(tmp_path / "out" / "deep" / "b.jpg").shape == (9, 7, 3)
    output = capsys.readouterr()
    assert output.out.startswith("2 of 2 pictures filtered")
    lines = output.err.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        f"1/2 {tmp_path}/out/a.png",
        f"2/2 {tmp_path}/out/deep/b.jpg",
    ]


def test_a_bad_picture_stops_no_other_and_fails_at_the_end(
    blur: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Partial success is failure, but what could be done is done."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "bad.png").write_bytes(b"no picture")
    photo.rename(folder / "good.png")

    status = call_in_turn(blur, str(folder), str(tmp_path / "out"), "--json")

    output = capsys.readouterr()
    result = json.loads(output.out)
    message = (
        f"{folder}/bad.png: not a picture that can be read; expected JPEG, PNG, BMP,"
        " TIFF or WebP"
    )
    assert status == 1
    assert result["n_pictures"] == 1
    assert result["rows"][0] == {"source": f"{folder}/bad.png", "error": message}
    assert output.err.splitlines()[0] == f"1/2 {message}"
    assert ["good.png"] == pictures_of(tmp_path / "out")


def test_an_unwritable_picture_stops_no_other(
    blur: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for the picture, the rest is written, and the last line counts both."""
    write_picture(tmp_path / "in" / "a.png", np.zeros((9, 7, 3), np.uint8))
    photo.rename(tmp_path / "in" / "b.png")
    (tmp_path / "out" / "a.png").mkdir(parents=True)

    status = call_in_turn(blur, str(tmp_path / "in"), str(tmp_path / "out"))

    output = capsys.readouterr()
    assert 1 == status
    assert (
        f"1/2 {tmp_path}/out/a.png: is a folder, expected a file to write"
        == output.err.splitlines()[0]
    )
    assert output.out.startswith("1 of 2 pictures filtered by blur ")
    assert output.out.endswith(" ms each, 1 failed\n")
    assert (tmp_path / "out" / "b.png").is_file()


def test_a_wrong_setting_is_told_once_for_a_folder(
    blur: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What no picture can be filtered with is not repeated for each of them."""
    status = call(blur, str(tmp_path), f"{tmp_path}-out", "--sigma", "99")

    assert 1 == status
    assert (
        "tiedge filter: blur: sigma is 99, expected 0 to 55\n"
        == capsys.readouterr().err
    )


def test_sigma_auto_is_estimated_from_each_picture(
    blur: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The row holds the estimate, inside the bundle's range, and so does the line."""
    grey = np.full((64, 64, 3), 128, np.uint8)
    for name, sigma in (("a.png", 20.0), ("b.png", 90.0)):
        noisy = add_noise(grey, sigma, seed=0, clip=True)
        write_picture(tmp_path / "in" / name, to_8_bits(noisy))
    folders = str(tmp_path / "in"), str(tmp_path / "out")

    status = call_in_turn(blur, *folders, "--sigma", "auto", "--json")

    output = capsys.readouterr()
    result = json.loads(output.out)
    first, second = (row["sigma"] for row in result["rows"])
    assert (0, "auto") == (status, result["sigma"])
    assert 20 == pytest.approx(first, rel=0.1)
    assert 55 == second
    assert "/b.png: sigma 55, " in output.err
    (tmp_path / "out" / "a.png").unlink()
    (tmp_path / "out" / "b.png").unlink()
    call_in_turn(blur, *folders)
    mean = (first + second) / 2
    assert f"sigma auto: {mean:.1f} on average), " in capsys.readouterr().out


def test_sigma_auto_needs_some_pixels(
    blur: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A picture too small to be judged is named, with the way out."""
    write_picture(tmp_path / "a.png", np.zeros((2, 9, 3), np.uint8))

    status = call(
        blur, str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--sigma", "auto"
    )

    assert 1 == status
    assert (
        f"tiedge filter: {tmp_path}/a.png: picture: 9×2 pixels are too few to judge the"
        " noise, expected at least 3×3; give --sigma a number\n"
    ) == capsys.readouterr().err


def test_a_speech_bundle_is_refused_before_its_engine_is_loaded(
    photo: Path, tmp_path: Path
) -> None:
    """One line, and none from LiteRT behind it."""
    done = subprocess.run(
        [sys.executable, "-m", "tiedge", "filter", "digits", photo, tmp_path / "a.png"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (1, "") == (done.returncode, done.stdout)
    assert done.stderr.endswith(
        'digits: task is "speech", expected "picture"; use tiedge transcribe\n'
    )
    assert 1 == done.stderr.count("\n")


def test_control_c_while_computing_is_quiet(
    blur: str, photo: Path, tmp_path: Path
) -> None:
    """LiteRT says nothing as it is freed, and nothing half-written stays."""
    out = tmp_path / "out"
    out.mkdir()
    code = (
        "import signal, sys, tiedge\n"
        "from edge_runtime.engine import Engine\n"
        "run = Engine.run\n"
        "def interrupted(engine, *arguments):\n"
        "    run(engine, *arguments)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "Engine.run = interrupted\n"
        "sys.exit(tiedge.main(sys.argv[1:]))\n"
    )
    words = ["filter", blur, photo, out / "a.png", "--precision", "fp32"]

    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (130, "", "") == (done.returncode, done.stdout, done.stderr)
    assert [] == list(out.iterdir())


def test_a_name_too_long_to_be_one_is_one_line(photo: Path, tmp_path: Path) -> None:
    """The system's reason stands behind the name."""
    name = tmp_path / ("x" * 300 + ".png")

    assert f"{name}: File name too long" == refusal_of(name, tmp_path / "out.png")
    assert f"{name}: File name too long" == refusal_of(photo, name)


def test_a_bad_picture_alone_is_one_line(
    blur: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written, stdout is empty and the status is 1."""
    (tmp_path / "bad.png").write_bytes(b"no picture")

    status = call(blur, str(tmp_path / "bad.png"), str(tmp_path / "out.png"), "--json")

    output = capsys.readouterr()
    assert status == 1
    assert output.out == ""
    assert output.err == (
        f"tiedge filter: {tmp_path}/bad.png: not a picture that can be read; expected"
        " JPEG, PNG, BMP, TIFF or WebP\n"
    )
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sigma", "99"], "blur: sigma is 99, expected 0 to 55"),
        (["--depth", "8"], "blur: depth is 8, expected one of 1 2"),
        (["--depth", "0"], "blur: depth is 0, expected one of 1 2"),
        (["--sigma", "nan"], "blur: sigma is nan, expected 0 to 55"),
        (
            ["--sigma", "x"],
            "argument --sigma: found 'x', expected a number or auto;"
            " see tiedge filter --help",
        ),
        (
            ["--seed", "1"],
            "unrecognized arguments: --seed 1; see tiedge filter --help",
        ),
        (
            ["--engine", "executorch"],
            "engine: found executorch, blur has no .pte file to run on it",
        ),
    ],
)
def test_a_wrong_option_is_one_line(
    blur: str,
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    """What the bundle does not offer is refused before anything is written."""
    status = call(blur, str(photo), str(tmp_path / "out.png"), *options)

    assert status == 1
    assert capsys.readouterr().err == f"tiedge filter: {message}\n"
    assert not (tmp_path / "out.png").exists()


def test_a_precision_that_was_not_packed_is_one_line(
    blur: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The default int8 is refused by a bundle that has fp32 alone."""
    status = tiedge.main(["filter", blur, str(photo), str(tmp_path / "out.png")])

    assert status == 1
    assert capsys.readouterr().err == (
        "tiedge filter: precision: found int8, blur offers fp32 on litert\n"
    )


def test_one_picture_goes_into_a_folder_that_exists(
    photo: Path, tmp_path: Path
) -> None:
    """A folder takes the picture under its own name."""
    (tmp_path / "out").mkdir()

    assert [Job(photo, tmp_path / "out" / "photo.png")] == plan(photo, tmp_path / "out")


def refusal_of(source: Path, target: Path) -> str:
    with pytest.raises((PictureError, DataError)) as caught:
        plan(source, target)
    return str(caught.value)


def test_an_ending_that_is_no_format_is_refused(photo: Path, tmp_path: Path) -> None:
    """OUT's ending is checked before any work."""
    assert refusal_of(photo, tmp_path / "out.gif") == (
        f"{tmp_path}/out.gif: unknown ending '.gif', expected a folder that exists or"
        f" one of {ENDINGS}"
    )


def test_a_missing_input_is_refused(tmp_path: Path) -> None:
    """A path that leads nowhere is named."""
    assert refusal_of(tmp_path / "none.png", tmp_path / "out.png") == (
        f"{tmp_path}/none.png: no such picture or folder"
    )


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    """An empty folder is a mistake, not a success."""
    (tmp_path / "in").mkdir()

    assert refusal_of(tmp_path / "in", tmp_path / "out") == (
        f"{tmp_path}/in: holds no picture, expected files ending in {ENDINGS}"
    )


@pytest.mark.parametrize("way", ["same", "folder", "symbolic", "hard"])
def test_the_input_is_never_overwritten(photo: Path, tmp_path: Path, way: str) -> None:
    """Whatever name leads to it, the input stays as it is."""
    target = {
        "same": photo,
        "folder": tmp_path,
        "symbolic": tmp_path / "symbolic.png",
        "hard": tmp_path / "hard.png",
    }[way]
    (tmp_path / "symbolic.png").symlink_to(photo)
    os.link(photo, tmp_path / "hard.png")
    named = photo if way == "folder" else target

    assert refusal_of(photo, target) == (
        f"{named}: is the input itself, expected another file"
    )


@pytest.mark.parametrize("below", ["", "out"])
def test_a_folder_is_not_filtered_into_itself(
    photo: Path, tmp_path: Path, below: str
) -> None:
    """Nor into a folder inside it, which the next run would take for input."""
    target = tmp_path / below

    assert refusal_of(tmp_path, target) == (
        f"{target}: is or lies in the input folder {tmp_path}, expected one outside"
    )


def test_a_link_to_the_input_folder_is_seen_through(
    photo: Path, tmp_path: Path
) -> None:
    """Another name of the same folder is the same folder."""
    folder = tmp_path / "in"
    folder.mkdir()
    photo.rename(folder / "photo.png")
    (tmp_path / "link").symlink_to(folder)

    assert refusal_of(folder, tmp_path / "link") == (
        f"{tmp_path}/link: is or lies in the input folder {folder}, expected one"
        " outside"
    )


def test_no_input_is_overwritten_by_the_output_of_another(
    photo: Path, tmp_path: Path
) -> None:
    """A folder inside OUT may meet its own pictures there."""
    write_picture(tmp_path / "in" / "in" / "a.png", np.zeros((4, 4, 3), np.uint8))
    write_picture(tmp_path / "in" / "a.png", np.zeros((4, 4, 3), np.uint8))

    assert refusal_of(tmp_path / "in", tmp_path) == (
        f"{tmp_path}/in/a.png: is one of the inputs, expected another folder"
    )


def test_links_below_out_are_seen_through(photo: Path, tmp_path: Path) -> None:
    """Neither into the input folder, nor two pictures into one."""
    for name in ("a", "b"):
        write_picture(tmp_path / "in" / name / "x.png", np.zeros((4, 4, 3), np.uint8))
    source, target = tmp_path / "in", tmp_path / "out"
    target.mkdir()

    (target / "a").symlink_to(source)
    assert refusal_of(source, target) == (
        f"{target}/a: is or leads into the input folder {source}, expected another"
        " folder"
    )
    (target / "a").unlink()
    (target / "a").symlink_to(target / "b")
    assert refusal_of(source, target) == (
        f"{target}/b/x.png: is {target}/a/x.png, too, by a link; remove that link"
    )


def test_a_link_that_leads_nowhere_is_told(
    blur: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other pictures are filtered."""
    (tmp_path / "in").mkdir()
    photo.rename(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").symlink_to(tmp_path / "gone.png")

    status = call(blur, str(tmp_path / "in"), str(tmp_path / "out"))

    assert status == 1
    assert f"{tmp_path}/in/b.png: no such file" in capsys.readouterr().err
    assert (tmp_path / "out" / "a.png").exists()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_devices_among_pictures_are_told(
    blur: str,
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    jobs: str,
) -> None:
    """Nothing is read of them, which might never end; the other pictures are done."""
    if int(jobs) > usable_cores():
        pytest.skip("one core leaves no choice")
    (tmp_path / "in").mkdir()
    photo.rename(tmp_path / "in" / "b.png")
    os.mkfifo(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "c.png").symlink_to("/dev/zero")

    status = call(blur, str(tmp_path / "in"), str(tmp_path / "out"), "--jobs", jobs)

    said = capsys.readouterr().err
    assert 1 == status
    for name in ("a", "c"):
        path = tmp_path / "in" / f"{name}.png"
        assert f"{path}: is a device or a pipe, expected a picture\n" in said
    assert ["b.png"] == pictures_of(tmp_path / "out")


def test_a_device_is_not_replaced_by_a_picture(
    blur: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever reads a pipe would wait for ever."""
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)

    status = call(blur, str(photo), str(pipe))

    assert (
        1,
        f"tiedge filter: {pipe}: is a device or a pipe, expected a file to write\n",
    ) == (status, capsys.readouterr().err)
    assert pipe.is_fifo()


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_link_to_itself_is_no_place_to_write_to(
    photo: Path, tmp_path: Path, below: str
) -> None:
    """Neither for a folder of pictures nor for one."""
    (tmp_path / "in").mkdir()
    photo.rename(tmp_path / "in" / "a.png")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    message = f"{loop}: is a link to itself; remove it"

    assert message == refusal_of(tmp_path / "in", loop / below)
    assert message == refusal_of(tmp_path / "in" / "a.png", loop / below / "a.png")


WITH_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from edge_runtime.photo.plan import plan
from edge_runtime.photo.restore import Setting
from edge_runtime.photo.workers import Opening, filter_in_turn
with Opening(sys.argv[1], "litert", "fp32", 1).open() as image_filter:
    jobs = plan(Path(sys.argv[2]), Path(sys.argv[3]))
    list(filter_in_turn(image_filter, Setting(25.0, 1), jobs[:1]))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + (64 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for _, row in filter_in_turn(image_filter, Setting(25.0, 1), jobs):
        print(row.get("error", "done"))
"""


def test_a_picture_that_does_not_fit_into_memory_is_told(
    blur: str, photo: Path, tmp_path: Path
) -> None:
    """It stops no other."""
    source = tmp_path / "in"
    source.mkdir()
    (source / "c.png").write_bytes(photo.read_bytes())
    photo.rename(source / "a.png")
    Image.new("RGB", (8000, 5000)).save(source / "b.png", compress_level=1)

    done = subprocess.run(
        [sys.executable, "-c", WITH_LITTLE_MEMORY, blur, source, tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert [
        "done",
        f"{source}/b.png: too large for the free memory; end other programs, or make"
        " it smaller first",
        "done",
    ] == done.stdout.splitlines(), done.stderr


def test_workers_import_nothing_from_the_current_folder(
    blur: str, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """A downloaded folder may hold a pickle.py."""
    if usable_cores() < 2:
        pytest.skip("one core leaves no choice")
    for name in ("pickle", "struct"):
        (tmp_path / f"{name}.py").write_text("open('was-run', 'w')\n")
    program = Path(sys.executable).with_name("tiedge")

    done = subprocess.run(
        [program, "filter", blur, *folders, "--jobs", "2", "--precision", "fp32"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    assert not (tmp_path / "was-run").exists()


def test_a_file_cannot_take_a_folder(photo: Path, tmp_path: Path) -> None:
    """The pictures of a folder need a folder."""
    (tmp_path / "in").mkdir()
    (tmp_path / "out").write_text("")

    assert refusal_of(tmp_path / "in", tmp_path / "out") == (
        f"{tmp_path}/out: is a file, expected a folder for the pictures of"
        f" {tmp_path}/in"
    )


@pytest.mark.parametrize(
    ("paths", "name"), [(("", "x.png"), "IN"), (("x.png", ""), "OUT")]
)
def test_an_empty_path_is_not_this_folder(
    paths: tuple[str, str],
    name: str,
    blur: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An unset shell variable must not filter, or write to, the current folder."""
    status = call(blur, *paths)

    assert status == 1
    assert (
        f"tiedge filter: argument {name}: is empty, expected a path;"
        " see tiedge filter --help\n" == capsys.readouterr().err
    )


def test_a_pace_chooses_the_depth(
    blur: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With much time the deepest, with next to none the shallowest."""
    depths = []
    write_picture(photo, np.zeros((900, 1200, 3), np.uint8))  # many tiles
    for fps in ("0.1", "240"):
        status = call(
            *(blur, str(photo), str(tmp_path / "o.png"), "--fps", fps, "--json"),
            *("--sigma", "25"),
        )

        result = json.loads(capsys.readouterr().out)
        assert (0, None) == (status, result["depth"])
        depths.append(result["rows"][0]["depth"])

    assert [2, 1] == depths


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(
            (
                ("--fps", fps),
                f"argument --fps: found {fps}, expected 0.1 to 240.0, frames a second;"
                " see tiedge filter --help",
            )
            for fps in ("0", "nan", "1e20")
        ),
        (
            ("--fps", "30", "--depth", "1"),
            "--fps: chooses the depth itself; leave out --depth",
        ),
    ],
)
def test_a_pace_that_cannot_be_is_one_line(
    blur: str,
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    """Nothing is written."""
    status = call(blur, str(photo), str(tmp_path / "out.png"), *options)

    assert (1, f"tiedge filter: {message}\n") == (status, capsys.readouterr().err)
    assert not (tmp_path / "out.png").exists()


@pytest.fixture
def folders(photo: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Return a folder of three pictures, and one that is to be made."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    photo.rename(tmp_path / "in" / "a.png")
    for name in ("b.jpg", "deep/c.png"):
        write_picture(tmp_path / "in" / name, np.full((20, 30, 3), 90, np.uint8))
    return tmp_path / "in", tmp_path / "out"


def test_several_at_once_write_what_one_does(
    blur: str, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """The same bytes, whoever filtered them."""
    source, target = folders
    other = tmp_path / "other"

    statuses = [
        call(blur, str(source), str(target), "--jobs", "2"),
        call_in_turn(blur, str(source), str(other)),
    ]

    assert [0, 0] == statuses
    for name in ("a.png", "b.jpg", "deep/c.png"):
        assert (other / name).read_bytes() == (target / name).read_bytes()


def test_a_second_run_does_what_has_changed(
    blur: str, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A new input, a damaged output and another setting are done again, no more."""
    source, target = folders
    words = blur, str(source), str(target), "--json"

    def done_again(*options: str) -> tuple[int, list[str]]:
        assert 0 == call_in_turn(*words, *options)
        result = json.loads(capsys.readouterr().out)
        names = [Path(row["target"]).name for row in result["rows"] if "ms" in row]
        return result["n_done_before"], names

    assert (0, ["a.png", "b.jpg", "c.png"]) == done_again()
    assert (3, []) == done_again()
    write_picture(source / "b.jpg", np.full((20, 30, 3), 200, np.uint8))
    (target / "a.png").write_bytes(b"cut short")
    assert (1, ["a.png", "b.jpg"]) == done_again()
    os.utime(source / "b.jpg")  # a new date is no new picture
    assert (3, []) == done_again()
    assert (0, ["a.png", "b.jpg", "c.png"]) == done_again("--sigma", "20")


def test_a_second_run_says_what_was_done_before(
    blur: str, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Stderr names each, and the last line counts them."""
    source, target = folders
    call_in_turn(blur, str(source), str(target))
    capsys.readouterr()

    call_in_turn(blur, str(source), str(target))

    output = capsys.readouterr()
    assert f"1/3 {target}/a.png: done before" == output.err.splitlines()[0]
    assert output.out.startswith("0 of 3 pictures filtered by blur ")
    assert output.out.endswith(", 3 done before\n")


def test_what_a_killed_run_left_is_tidied(
    blur: str, folders: tuple[Path, Path]
) -> None:
    """Half a file and half a line of the journal do no harm."""
    source, target = folders
    (target / "deep").mkdir(parents=True)
    (target / "deep" / f".tiedge-{NOBODY}-0123abcd.png").write_bytes(b"half")
    (target / ".tiedge-filter.jsonl").write_text('{"target": "a.png", "targ')

    status = call_in_turn(blur, str(source), str(target))

    assert 0 == status
    assert ["c.png"] == [path.name for path in (target / "deep").iterdir()]
    lines = (target / ".tiedge-filter.jsonl").read_text().splitlines()
    assert ["a.png", "b.jpg", "deep/c.png"] == [
        json.loads(line)["target"] for line in lines[1:]
    ]


def test_other_hidden_pictures_are_left_alone(
    blur: str, folders: tuple[Path, Path]
) -> None:
    """A live run's unfinished file, a user's own, all of a folder not written to."""
    source, target = folders
    elsewhere = target / "of another run"
    elsewhere.mkdir(parents=True)
    kept = [
        target / f".tiedge-{os.getpid()}-0123abcd.png",
        target / ".0123abcd.png",
        elsewhere / f".tiedge-{NOBODY}-0123abcd.png",
    ]
    for path in kept:
        path.write_bytes(b"half")

    assert 0 == call_in_turn(blur, str(source), str(target))

    assert [b"half"] * 3 == [path.read_bytes() for path in kept]


@pytest.mark.parametrize("kind", ["link", "pipe", "device"])
def test_what_is_no_journal_is_not_written_to(
    blur: str, folders: tuple[Path, Path], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not through a link, which may lead to an input, and no device is read."""
    source, target = folders
    target.mkdir()
    journal = target / ".tiedge-filter.jsonl"
    if kind == "link":
        journal.symlink_to(source / "a.png")
    elif kind == "pipe":
        os.mkfifo(journal)
    else:
        journal.symlink_to("/dev/zero")
    before = (source / "a.png").read_bytes()

    status = call_in_turn(blur, str(source), str(target))

    error = capsys.readouterr().err
    assert (1, 1) == (status, error.count("\n"))
    assert error.startswith(f"tiedge filter: {journal}: is a ")
    assert before == (source / "a.png").read_bytes()


@pytest.mark.parametrize(
    "line", ['{"target": []}', "[" * 200_000, "[1]", '{"target": "a.png"}', "\0" * 9]
)
def test_odd_lines_of_a_journal_are_passed_over(
    blur: str, folders: tuple[Path, Path], line: str
) -> None:
    """Whoever wrote them: all is done again."""
    source, target = folders
    target.mkdir()
    (target / ".tiedge-filter.jsonl").write_text(f"{line}\n")

    assert 0 == call_in_turn(blur, str(source), str(target))

    assert (target / "a.png").exists()


def test_two_runs_do_not_write_to_one_folder(
    blur: str, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The second is refused while the first is at it."""
    source, target = folders
    with open_journal(target, {}, []):
        status = call_in_turn(blur, str(source), str(target))

    assert 1 == status
    assert (
        f"tiedge filter: {target}: another tiedge filter writes there; wait for its"
        " end\n"
    ) == capsys.readouterr().err


def test_a_picture_that_kills_its_worker_stops_no_other(
    blur: str, folders: tuple[Path, Path]
) -> None:
    """A crash of native code costs the picture that made it, and is named."""
    source, target = folders
    opening, setting = Opening(blur, "litert", "fp32", 1), Setting(25.0, 1)
    jobs = plan(source, target)
    ended = []

    with closing(filter_at_once(opening, setting, iter(jobs), 1)) as rows:
        for number, (job, row) in enumerate(rows):
            ended.append((job, row.get("error")))
            if number == 0:
                (worker,) = active_children()
                os.kill(worker.pid or 0, signal.SIGKILL)

    killed = f"{jobs[1].source}: its process was ended (SIGKILL); try --jobs 1"
    assert [(jobs[0], None), (jobs[1], killed), (jobs[2], None)] == ended


def test_no_worker_outlives_its_parents_interest(
    blur: str, folders: tuple[Path, Path]
) -> None:
    """Who stops listening ends them, and no half picture stays."""
    opening, setting = Opening(blur, "litert", "fp32", 1), Setting(25.0, 1)

    with closing(filter_at_once(opening, setting, plan(*folders), 2)) as rows:
        next(rows)

    assert [] == active_children()
    assert not list(folders[1].rglob(".*"))


def test_hidden_pictures_are_passed_over(photo: Path, tmp_path: Path) -> None:
    """Other systems leave files beside pictures that only look like them."""
    write_picture(tmp_path / "in" / "a.png", np.zeros((4, 4, 3), np.uint8))
    write_picture(tmp_path / "in" / ".trash" / "b.png", np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "in" / "._a.png").write_bytes(b"no picture")

    jobs = plan(tmp_path / "in", tmp_path / "out")

    assert [Job(tmp_path / "in" / "a.png", tmp_path / "out" / "a.png")] == jobs


def test_a_hard_link_to_an_input_is_no_output(tmp_path: Path) -> None:
    """Whatever its name, a file that is read is never written."""
    write_picture(tmp_path / "in" / "a.png", np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "out").mkdir()
    os.link(tmp_path / "in" / "a.png", tmp_path / "out" / "a.png")

    assert refusal_of(tmp_path / "in", tmp_path / "out") == (
        f"{tmp_path}/out/a.png: is one of the inputs, expected another folder"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--quality", "0"),
            "argument --quality: found 0, expected 1 to 100, the qualities of JPEG and"
            " WebP; see tiedge filter --help",
        ),
        (
            ("--jobs", "2", "--fps", "5"),
            "--fps: paces one picture after another; leave out --jobs",
        ),
    ],
)
def test_new_options_are_checked(
    blur: str,
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    """One line, and nothing is written."""
    status = call(blur, str(photo), str(tmp_path / "out.png"), *options)

    assert (1, f"tiedge filter: {message}\n") == (status, capsys.readouterr().err)


def test_more_threads_than_cores_are_refused(
    blur: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They would only take turns."""
    n = usable_cores()
    if n < 2:
        pytest.skip("one core leaves no choice")

    call(blur, str(photo), str(tmp_path), "--jobs", str(n), "--threads", "2")

    assert (
        f"tiedge filter: --jobs: {n} pictures at once of 2 threads each are {2 * n}"
        f" threads, expected at most the {n} cores of this machine\n"
    ) == capsys.readouterr().err
