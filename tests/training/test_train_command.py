"""`tiedge train` from its arguments to its checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

import tiedge
from edge_runtime.errors import SettingError
from training.checkpoint import read_record
from training.commands.train import Transfer, read_transfer, run

TINY = (
    "steps=2 batch=2 channels=4 depths=1,8 depth_weights=0.5,1 patch_px=16"
    " validate_steps=2"
).split()


def test_trains_from_the_users_own_pictures(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--data` trains on a folder; stdout names the checkpoint and its score."""
    output = tmp_path / "run"

    status = tiedge.main(
        ["train", "denoise", *TINY, "--data", str(photos), "--output", str(output)]
    )

    assert 0 == status
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{output}: step 2, psnr_db ")
    assert [True] == [line.startswith("step 2/2 ") for line in shown.err.splitlines()]


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
        ([], "the following arguments are required: recipe"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake on the command line is one line on stderr and exit status 1."""
    status = tiedge.main(["train", *arguments])

    shown = capsys.readouterr()
    assert (1, "") == (status, shown.out)
    assert shown.err.startswith(f"tiedge train: {message}")
    assert 1 == shown.err.count("\n")
