import grp
import os
import tempfile
from pathlib import Path

import pytest

from edge_runtime.errors import VideoError
from edge_runtime.live.cameras import check_camera, device_of, listed

NOBODY = 65534


def refusal(device: Path, devices: Path, names: Path) -> str:
    with pytest.raises(VideoError) as caught:
        check_camera(device, devices, names)
    return str(caught.value)


def test_a_camera_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    """By number, each with its own name; other devices are none."""
    devices, names = tmp_path / "dev", tmp_path / "names"
    devices.mkdir()
    for name in ("video10", "video2", "video-codec", "null"):
        (devices / name).touch()
    (names / "video2").mkdir(parents=True)
    (names / "video2" / "name").write_text("Plain Webcam\n")

    found = refusal(device_of("1", devices), devices, names)

    assert (
        f"{devices}/video1: no such camera, found 2 (Plain Webcam), 10 (without a name)"
        == found
    )


def test_without_any_camera_none_is_listed(tmp_path: Path) -> None:
    """The word says so."""
    assert "none" == listed(tmp_path, tmp_path)


def test_a_file_is_no_camera(tmp_path: Path) -> None:
    """The way out is the option for videos."""
    (tmp_path / "a.mp4").touch()

    assert f"{tmp_path}/a.mp4: is no device, expected a camera; see --video" == refusal(
        tmp_path / "a.mp4", tmp_path, tmp_path
    )


def test_a_device_of_another_group_names_the_group() -> None:
    """And the command that helps."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        device = Path(folder) / "video0"
        device.touch(mode=0)
        group = grp.getgrgid(device.stat().st_gid).gr_name
        Path(folder).chmod(0o755)
        me = os.geteuid()
        if me == 0:  # root may open anything, so be somebody else for a moment
            os.seteuid(NOBODY)
        try:
            found = refusal(device, Path(folder), Path(folder))
        finally:
            os.seteuid(me)

    assert (
        f"{device}: may not be opened, it is for group {group}; run: sudo usermod -aG"
        f" {group} $USER, and log in anew" == found
    )


def test_a_device_is_opened_as_one() -> None:
    """A character device passes; whether it gives pictures is seen by reading."""
    check_camera(Path("/dev/null"))
