"""Where a bundle is put: checked before work, whole or not at all after it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.errors import SettingError
from export.output_folder import check_output, replacing_folder


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def refusal(output: Path) -> str:
    with pytest.raises(SettingError) as caught:
        check_output(output)
    return str(caught.value)


@pytest.fixture
def standing(tmp_path: Path) -> Path:
    """A bundle, as far as its folder can tell."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "bundle.json").write_text("old")
    return folder


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A file system that nobody may write to."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=16k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs a root that may mount: a read-only file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_the_draft_becomes_the_folder(tmp_path: Path) -> None:
    """What the block wrote stands in the folder, with the folders above it."""
    with replacing_folder(tmp_path / "a" / "b" / "bundle") as draft:
        (draft / "bundle.json").write_text("new")

    assert {"a", "a/b", "a/b/bundle", "a/b/bundle/bundle.json"} == below(tmp_path)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_a_failure_takes_away_the_folders_that_it_made(
    tmp_path: Path, error: type[BaseException]
) -> None:
    """Folders above the output go again; those that stood before stay."""
    (tmp_path / "a").mkdir()

    with pytest.raises(error):
        with replacing_folder(tmp_path / "a" / "b" / "c" / "bundle") as draft:
            (draft / "model.tflite").write_bytes(b"half")
            raise error

    assert {"a"} == below(tmp_path)


def test_a_link_leads_to_what_is_replaced(standing: Path, tmp_path: Path) -> None:
    """The link stays one, and leads to the new bundle."""
    link = tmp_path / "current"
    link.symlink_to(standing)

    with replacing_folder(link) as draft:
        (draft / "bundle.json").write_text("new")

    assert link.is_symlink()
    assert "new" == (standing / "bundle.json").read_text()
    assert {"bundle", "bundle/bundle.json", "current"} == below(tmp_path)


def test_the_folder_that_one_stands_in_can_be_replaced(
    standing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-o .` is the folder itself, not a folder without a name in it."""
    monkeypatch.chdir(standing)

    with replacing_folder(Path()) as draft:
        (draft / "bundle.json").write_text("new")

    assert "new" == (standing / "bundle.json").read_text()
    assert {"bundle.json"} == below(standing)


def test_a_check_makes_nothing(tmp_path: Path, standing: Path) -> None:
    """A place that will do is left as it is, made or not."""
    before = below(tmp_path)

    check_output(standing)
    check_output(tmp_path / "a" / "b")

    assert before == below(tmp_path)


def test_refuses_a_file(tmp_path: Path) -> None:
    """A regular file is no bundle, and stays."""
    (tmp_path / "file").write_text("mine")

    assert (
        f"{tmp_path / 'file'}: is there and is no bundle; name a folder that is not"
        " there yet"
    ) == refusal(tmp_path / "file")


def test_refuses_a_folder_below_a_file(tmp_path: Path) -> None:
    """The operating system's reason is given."""
    (tmp_path / "file").write_text("mine")
    output = tmp_path / "file" / "a" / "bundle"

    assert f"{output}: cannot be written: Not a directory" == refusal(output)


def test_refuses_a_read_only_disk(read_only: Path) -> None:
    """Even root may not write there, and is told so before any work."""
    output = read_only / "a" / "bundle"

    assert f"{output}: cannot be written: Read-only file system" == refusal(output)


def test_refuses_a_name_that_is_too_long(tmp_path: Path) -> None:
    """A name that no file system takes is an expected failure."""
    output = tmp_path / ("x" * 5000)

    assert f"{output}: cannot be written: File name too long" == refusal(output)


def test_refuses_a_link_to_itself(tmp_path: Path) -> None:
    """A link in a circle leads to no folder."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)

    assert f"{loop}: is a link that leads to itself; name another folder" == refusal(
        loop
    )
