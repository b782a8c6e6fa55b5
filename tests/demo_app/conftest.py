import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the demo extra is not installed")
pytest.importorskip("uvicorn", reason="the demo extra is not installed")

from demo_app.commands.serve import bound_socket, make_server
from demo_app.settings import Settings
from tests.demo_app.hand_made_bundles import blur_bundle, tones_bundle
from tests.demo_app.served import Served

START_S = 30.0


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


@contextmanager
def serving(settings: Settings) -> Iterator[Served]:
    """Serve in a thread, at a free port of the loopback address."""
    with bound_socket("127.0.0.1", 0) as listener:
        bound = replace(settings, port=listener.getsockname()[1])
        server = make_server(bound)
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, daemon=True
        )
        thread.start()
        deadline = time.monotonic() + START_S
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.02)
        yield Served(bound.port, bound)
        server.should_exit = True
        thread.join(START_S)
