"""A run's folder without its tensors: what is refused before torch is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.errors import CheckpointError, SettingError
from training.record import (
    RECIPE_FILE,
    STATE_FILE,
    check_checkpoint,
    check_output,
    read_record,
    source_revision,
)


def test_missing_checkpoint_is_named(tmp_path: Path) -> None:
    """A folder without a checkpoint says what was expected there."""
    with pytest.raises(CheckpointError) as caught:
        read_record(tmp_path)

    assert (
        f"{tmp_path / RECIPE_FILE}: no checkpoint can be read here: No such file or"
        " directory; expected a folder with recipe.json and weights.safetensors"
        == str(caught.value)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no checkpoint can be read here: Expecting property name"),
        ("[]", "is no JSON object, expected a run's record"),
        ('{"recipe": "line"}', "'settings' is None, expected dict"),
        ('{"recipe": 1, "settings": {}}', "'recipe' is 1, expected str"),
    ],
)
def test_damaged_record_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """A record that is no JSON, or lacks a key, is a CheckpointError."""
    path = tmp_path / RECIPE_FILE
    path.write_text(text)

    with pytest.raises(CheckpointError) as caught:
        read_record(tmp_path)

    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_folder_without_weights_is_no_checkpoint(tmp_path: Path) -> None:
    """`init=` of anything else is refused at once."""
    with pytest.raises(CheckpointError) as caught:
        check_checkpoint(tmp_path)

    assert (
        f"{tmp_path}: no checkpoint, expected a folder with weights.safetensors"
        == str(caught.value)
    )


def test_an_output_is_new_or_a_run_that_goes_on(tmp_path: Path) -> None:
    """A run is neither overwritten nor resumed out of nothing."""
    held = tmp_path / "held"
    held.mkdir()
    (held / STATE_FILE).touch()

    check_output(held, resume=True)
    check_output(tmp_path / "new" / "run", resume=False)
    with pytest.raises(CheckpointError, match=r"holds a run already; go on with"):
        check_output(held, resume=False)
    with pytest.raises(CheckpointError, match=r"holds no run to go on with"):
        check_output(tmp_path / "new", resume=True)


def test_an_output_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    """The line names what stands in the way."""
    in_the_way = tmp_path / "file"
    in_the_way.touch()

    with pytest.raises(SettingError) as caught:
        check_output(in_the_way / "run", resume=False)

    assert (
        f"{in_the_way}/run: cannot be written: {in_the_way} is no folder; name another"
        " folder with --output" == str(caught.value)
    )


def test_revision_is_null_outside_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sources without git have no revision, which is no error."""
    monkeypatch.setattr("training.record.__file__", str(tmp_path / "x.py"))

    assert source_revision() is None
