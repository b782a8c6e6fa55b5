"""What holds for every test: no network, fixed seeds, no deadline, versions told."""

from __future__ import annotations

import ipaddress
import random
import socket
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # a busy one is no failure
settings.load_profile("any machine")

VERSIONS_SHOWN = (
    "numpy",
    "Pillow",
    "ai-edge-litert",
    "opencv-python",
    "executorch",
    "torch",
    "litert-torch",
    "ai-edge-quantizer",
    "torchao",
    "fastapi",
)


def pytest_report_header() -> list[str]:
    """Name the versions under test, and what is not installed."""
    found = []
    for package in VERSIONS_SHOWN:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    return ["tested with: " + ", ".join(found)]


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Any:
    """Let no test leave the machine."""
    patch = pytest.MonkeyPatch()
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def checked(original: Any) -> Any:
        def call(self: socket.socket, address: Any) -> Any:
            if self.family in {socket.AF_INET, socket.AF_INET6} and not _is_loopback(
                address[0]
            ):
                raise RuntimeError(f"a test tried to reach {address}: no network here")
            return original(self, address)

        return call

    patch.setattr(socket.socket, "connect", checked(connect))
    patch.setattr(socket.socket, "connect_ex", checked(connect_ex))
    yield
    patch.undo()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, not yet looked up
        return host == "localhost"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Start every test from the same random state."""
    random.seed(0)
    np.random.seed(0)
