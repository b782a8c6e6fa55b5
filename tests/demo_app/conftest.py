from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the demo extra is not installed")
pytest.importorskip("uvicorn", reason="the demo extra is not installed")

from demo_app.settings import Settings
from tests.demo_app.hand_made_bundles import (
    blur_bundle,
    double_bundle,
    light_bundle,
    tones_bundle,
)
from tests.demo_app.served import Served, serving


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """The bundles `blur` and `tones`."""
    folder = tmp_path_factory.mktemp("bundles")
    return blur_bundle(folder), tones_bundle(folder)


@pytest.fixture(scope="session")
def served(bundles: tuple[Path, ...]) -> Iterator[Served]:
    """A demo server with small limits."""
    settings = Settings(
        port=0,
        bundles=bundles,
        max_body_bytes=2 << 20,
        max_message_bytes=1 << 16,
        max_picture_px=400_000,
        max_silence_s=1.0,
        bench_s=0.01,
    )
    with serving(settings) as running:
        yield running


@pytest.fixture(scope="session")
def doubling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A demo server of two bundles that take no noise level.

    `double` takes nothing else, `light` a strength and a look.
    """
    folder = tmp_path_factory.mktemp("double")
    bundles = (double_bundle(folder), light_bundle(folder, ("plain", "bright")))
    with serving(Settings(port=0, bundles=bundles)) as running:
        yield running
