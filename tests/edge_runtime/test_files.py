import errno
import os
from pathlib import Path

import pytest

from edge_runtime.errors import SettingError
from edge_runtime.files import replacing, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_arrives_in_a_folder_made_on_the_way(tmp_path: Path) -> None:
    """Text is UTF-8, and missing folders are made."""
    write_text(tmp_path / "a" / "b" / "ü.txt", "größer\n")

    assert "größer\n".encode() == (tmp_path / "a" / "b" / "ü.txt").read_bytes()


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """The old content is gone, and nothing else lies in the folder."""
    file = tmp_path / "file.bin"
    file.write_bytes(b"something longer than the new content")

    write_text(file, "new")

    assert b"new" == file.read_bytes()
    assert ["file.bin"] == names(tmp_path)


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """Who fails half-way through has changed nothing."""
    file = tmp_path / "file.txt"
    file.write_text("old")

    with pytest.raises(ZeroDivisionError), replacing(file) as temporary:
        temporary.write_text("half of the n")
        raise ZeroDivisionError

    assert "old" == file.read_text()
    assert ["file.txt"] == names(tmp_path)


def test_a_failure_leaves_no_file_where_there_was_none(tmp_path: Path) -> None:
    """A new file that fails half-way does not appear."""
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "new.txt") as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError

    assert [] == names(tmp_path)


def test_an_end_just_after_the_file_was_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal may come between any two steps, also before the first byte."""
    touch = Path.touch

    def touched_and_ended(path: Path, **settings: bool) -> None:
        touch(path, **settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "touch", touched_and_ended)

    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "new.txt", "whole")

    assert [] == names(tmp_path)


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path: Path) -> None:
    """The system's reason stands in the message."""
    file = tmp_path / "file.txt"
    file.write_text("old")

    with pytest.raises(SettingError) as caught, replacing(file) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert f"{file}: cannot be written: No space left on device" == str(caught.value)
    assert "old" == file.read_text()
    assert ["file.txt"] == names(tmp_path)


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    """A path through a file cannot be written."""
    (tmp_path / "file").write_text("old")

    with pytest.raises(SettingError) as caught:
        write_text(tmp_path / "file" / "below.txt", "new")

    assert f"{tmp_path}/file/below.txt: cannot be written: " in str(caught.value)
    assert "old" == (tmp_path / "file").read_text()


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    """A folder is not replaced by a file."""
    (tmp_path / "taken").mkdir()

    with pytest.raises(SettingError) as caught:
        write_text(tmp_path / "taken", "new")

    assert f"{tmp_path}/taken: cannot be written: Is a directory" == str(caught.value)
    assert ["taken"] == names(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    """A folder without the right to write is an expected failure."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)

    with pytest.raises(SettingError) as caught:
        write_text(folder / "file.txt", "new")

    assert f"{folder}/file.txt: cannot be written: Permission denied" == str(
        caught.value
    )


def test_the_new_file_has_usual_rights(tmp_path: Path) -> None:
    """The temporary file's private mode does not stay."""
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file.txt", "new")
    finally:
        os.umask(before)

    assert 0o640 == (tmp_path / "file.txt").stat().st_mode & 0o777


def test_the_temporary_file_has_the_same_ending(tmp_path: Path) -> None:
    """Writers that look at the ending see the right one."""
    with replacing(tmp_path / "picture.png") as temporary:
        assert ".png" == temporary.suffix
        assert tmp_path == temporary.parent


def test_the_longest_legal_name_is_written(tmp_path: Path) -> None:
    """The temporary name is never longer than what the system allows."""
    name = "x" * 251 + ".png"

    write_text(tmp_path / name, "new")

    assert [name] == names(tmp_path)
