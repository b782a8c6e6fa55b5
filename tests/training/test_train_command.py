"""`tiedge train` from its arguments to its checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tiedge
from edge_runtime.errors import SettingError
from training.commands.train import Transfer, read_transfer, run
from training.record import STATE_FILE, read_record

ROOT = Path(tiedge.__file__).parent

TINY = (
    "steps=2 batch=2 channels=4 depths=1,8 depth_weights=0.5,1 patch_px=16"
    " validate_steps=2"
).split()


def test_trains_from_the_users_own_pictures(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--data` trains on a folder; stdout names the checkpoint and its score."""
    output = tmp_path / "run"
    where = ["--data", str(photos), "--output", str(output)]

    status = tiedge.main(["train", "denoise", *TINY, "precision=32-true", *where])

    assert 0 == status
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{output}: step 2, psnr_db ")
    *told, last = shown.err.splitlines()
    assert [
        f"reads {photos}",
        "3 pictures to train on, 1 held out",
        "denoise: 1424 parameters; on cpu (threads: 1)",
        f"writes to {output}",
    ] == told
    assert last.startswith("step 2/2 ")


def test_settings_and_options_may_alternate(photos: Path, tmp_path: Path) -> None:
    """Settings are understood before and after options."""
    output = tmp_path / "run"

    run(
        [
            "denoise",
            *TINY[:3],
            "--data",
            str(photos),
            *TINY[3:],
            "--output",
            f"{output}",
        ]
    )

    assert 16 == read_record(output)["settings"]["patch_px"]


def test_resume_keeps_the_runs_settings(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run goes on with the settings it began with, but for those named anew."""
    output = tmp_path / "run"
    common = ["--data", str(photos), "--output", str(output)]
    run(["denoise", *TINY, *common, "--seed", "3"])

    run(["denoise", "steps=4", *common, "--resume"])

    settings = read_record(output)["settings"]
    assert (4, 3, 4) == (settings["steps"], settings["seed"], settings["channels"])
    assert "resuming at step 2" in capsys.readouterr().err


def test_resume_of_another_recipe_is_refused(photos: Path, tmp_path: Path) -> None:
    """A folder that holds a run of one recipe does not go on as another."""
    output = tmp_path / "run"
    common = ["--data", str(photos), "--output", str(output)]
    run(["denoise", *TINY, *common])
    record = output / "recipe.json"
    record.write_text(record.read_text().replace('"denoise"', '"other"'))

    with pytest.raises(SettingError) as caught:
        run(["denoise", *common, "--resume"])

    assert (
        f"{output}: holds a run of other, not of denoise; name another folder with"
        " --output" == str(caught.value)
    )


def test_transfer_is_told_apart_from_settings() -> None:
    """`init=` and `freeze=` are not settings of the recipe."""
    assert Transfer(("steps=1",), Path("a/b"), ("head", "body")) == read_transfer(
        ["init=a/b", "steps=1", "freeze=head,body"]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["denois"], "denois: no such recipe, expected one of "),
        (["denoise", "step=1"], "step: no such setting, expected one of batch "),
        (["denoise", "init="], "init=: expected init=VALUE"),
        (["denoise", "init=x", "--resume"], "init=x: a run that resumes has weights"),
        (["denoise", "--data", "nowhere"], "nowhere"),
        (["denoise", "--resum", "--speed"], "unrecognized arguments: --speed"),
        (["denoise", "--data", "n" * 300], "n"),
        (["denoise", "steps=0"], "steps=0: expected 1 to 1000000000"),
        (["denoise", "clusters=1"], "clusters=1: expected one of 0 16 32"),
        (["denoise", "keep=all"], "keep=all: expected one of best last"),
        (["denoise", "clusters=x"], "clusters=x: expected int"),
        (["digits", "clusters=16"], "clusters=16: reduces weights that are trained"),
        (["denoise", "init=nowhere"], "nowhere: no checkpoint, expected a folder with"),
        (["denoise", "--seed", "-1"], "seed=-1: expected 0 to 4294967295"),
        (
            ["steps=1"],
            "steps=1: no such recipe, expected one of commands denoise denoise-live"
            " digits enhance lm looks superres transcribe",
        ),
        (
            [],
            "no recipe, expected one of commands denoise denoise-live digits enhance"
            " lm looks superres transcribe",
        ),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A mistake on the command line is one line on stderr and exit status 1."""
    monkeypatch.chdir(tmp_path)

    status = tiedge.main(["train", *arguments])

    shown = capsys.readouterr()
    assert (1, "") == (status, shown.out)
    assert shown.err.startswith(f"tiedge train: {message}")
    assert 1 == shown.err.count("\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--help"],
        ["train", "digits", "--help"],
        ["train", "digits", "hidden=0"],
        ["train", "denoise", "init=nowhere"],
        ["train", "denoise", "--resume", "--output", "nowhere"],
        ["evaluate", "denoise", "--data", "nowhere"],
        ["evaluate", "tests"],
    ],
)
def test_mistakes_and_help_do_not_wait_for_torch(arguments: list[str]) -> None:
    """What the arguments alone can tell is told without torch, which takes seconds."""
    program = (
        "import sys\n"
        "sys.modules |= {'torch': None, 'lightning': None, 'safetensors': None}\n"
        "import tiedge\n"
        "sys.exit(tiedge.main(sys.argv[1:]))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "is not installed" not in done.stderr
    assert (0 if "--help" in arguments else 1) == done.returncode, done.stderr
    assert done.stderr.count("\n") == done.returncode


def test_help_lists_recipes_and_their_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without a recipe a line each; with one, all of its settings."""
    shown = []
    for arguments in (["--help"], ["denoise", "--help"]):
        with pytest.raises(SystemExit):
            run(arguments)
        shown.append(capsys.readouterr().out)

    assert "  denoise   Take Gaussian noise of any strength out of" in shown[0]
    assert "  digits    Write down spoken English digits" in shown[0]
    assert "patch_px=96" not in shown[0]
    assert (
        "  patch_px=96  (int)\n      Side of the squares that are cut out of the"
    ) in shown[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_how_to_go_on(
    number: signal.Signals, photos: Path, tmp_path: Path
) -> None:
    """Ctrl-C and SIGTERM leave whole files, and one line with the way on."""
    output = tmp_path / "run"
    common = ["denoise", "--data", str(photos), "--output", str(output)]
    arguments = [*common, *TINY, "steps=100000", "validate_steps=5"]
    with subprocess.Popen(
        [sys.executable, "tiedge.py", "train", *arguments],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not (output / "curves.png").exists() and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(number)
        _, told = process.communicate(timeout=120)

    assert {signal.SIGINT: 130, signal.SIGTERM: 143}[number] == process.returncode
    last = told.splitlines()[-1]
    assert last.startswith(f"tiedge train: stopped; {output} holds step ")
    assert f"tiedge train denoise --resume --output {output}" in last
    assert "Traceback" not in told
    assert [] == [path for path in output.iterdir() if path.name.startswith(".")]
    assert 0 == run([*common, "steps=5", "--resume"])


def test_a_run_stopped_before_anything_was_saved_says_so(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """There is nothing to go on with before the first validation."""

    def stopped(_: object, step: int, indices: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("training.tasks.denoise.DenoiseTask.batch", stopped)

    output = str(tmp_path / "run")
    status = tiedge.main(
        ["train", "denoise", *TINY, "--data", str(photos), "--output", output]
    )

    assert 130 == status
    assert (
        "tiedge train: stopped; nothing was saved, for there was no validation yet"
        == capsys.readouterr().err.splitlines()[-1]
    )
    assert not (tmp_path / "run" / STATE_FILE).exists()
