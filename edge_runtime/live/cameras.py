"""Cameras as Linux lists them: which there are, and why one cannot be opened."""

from __future__ import annotations

import errno
import grp
import os
import stat
from pathlib import Path

from edge_runtime.errors import VideoError

DEVICES = Path("/dev")
NAMES = Path("/sys/class/video4linux")
PI = "pi"
"""`--camera pi`, or pi1 for the second: the camera at a Raspberry Pi's own port."""


def device_of(camera: str, devices: Path = DEVICES) -> Path:
    """Return the device of a camera's number or path.

    >>> print(device_of("0"), device_of("/dev/v4l/by-id/usb-Cam"))
    /dev/video0 /dev/v4l/by-id/usb-Cam
    """
    return devices / f"video{camera}" if camera.isdecimal() else Path(camera)


def check_camera(device: Path, devices: Path = DEVICES, names: Path = NAMES) -> None:
    """Raise VideoError, saying why, for a device that cannot be opened as a camera."""
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    except PermissionError as error:
        raise VideoError(
            f"{device}: may not be opened, it is for group {_group(device)}; run: sudo"
            f" usermod -aG {_group(device)} $USER, and log in anew"
        ) from error
    except OSError as error:
        raise VideoError(_unopened(device, error, devices, names)) from error
    try:
        if not stat.S_ISCHR(os.fstat(descriptor).st_mode):
            raise VideoError(f"{device}: is no device, expected a camera; see --video")
    finally:
        os.close(descriptor)


def listed(devices: Path = DEVICES, names: Path = NAMES) -> str:
    """Return the cameras there are in words, each with the name it gives itself."""
    found = [path.name for path in devices.glob("video*") if path.name[5:].isdecimal()]
    words = [
        f"{name[5:]} ({_name(names / name / 'name')})"
        for name in sorted(found, key=lambda name: int(name[5:]))
    ]
    return ", ".join(words) or "none"


def _unopened(device: Path, error: OSError, devices: Path, names: Path) -> str:
    if error.errno in {errno.ENOENT, errno.ENODEV, errno.ENXIO}:
        return f"{device}: no such camera, found {listed(devices, names)}"
    if error.errno == errno.EBUSY:
        return f"{device}: another program uses it; end that first"
    return f"{device}: cannot be opened: {error.strerror}"


def _group(device: Path) -> str:
    number = device.stat().st_gid
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _name(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "without a name"
