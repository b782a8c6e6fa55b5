from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from demo_app.engine_cache import EngineCache, EngineKey, open_bundles
from edge_runtime.errors import EngineError, SettingError

BLUR = EngineKey("blur", "litert", "fp32")
TONES = EngineKey("tones", "litert", "fp32")


@pytest.fixture
def cache(bundles: tuple[Path, ...]) -> Iterator[EngineCache]:
    """A cache for one engine."""
    made = EngineCache(open_bundles(bundles), threads=1, limit=1)
    yield made
    made.close()


def test_engine_is_loaded_once(cache: EngineCache) -> None:
    """The second lease gets the engine of the first."""
    with cache.lease(BLUR) as first, cache.lease(BLUR) as second:
        engines = first.engine, second.engine

    with cache.lease(BLUR) as third:
        assert (third.engine, third.engine) == engines


def test_idle_engine_makes_room(cache: EngineCache) -> None:
    """An engine that nobody uses is closed when another one is needed."""
    with cache.lease(BLUR) as lease:
        engine = lease.engine
    cache.lease(TONES).release()

    with pytest.raises(EngineError, match="the litert engine is closed"):
        engine.run(
            "depth_1",
            {
                tensor.name: np.zeros(tensor.shape, tensor.dtype)
                for tensor in lease.bundle.models[0].signatures[0].inputs
            },
        )


def test_engine_in_use_stays(cache: EngineCache) -> None:
    """While all engines are in use, another one is refused with the way out."""
    with cache.lease(BLUR), pytest.raises(EngineError) as caught:
        cache.lease(TONES)

    assert (
        "all 1 engines that may be loaded are in use; try again when a picture or a"
        " recording is finished"
    ) == str(caught.value)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (EngineKey("x", "litert", "fp32"), SettingError),
        (EngineKey("blur", "x", "fp32"), SettingError),
        (EngineKey("blur", "litert", "int8"), SettingError),
    ],
)
def test_failure_takes_no_room(
    cache: EngineCache, key: EngineKey, kind: type[Exception]
) -> None:
    """What cannot be loaded leaves its place to others."""
    with pytest.raises(kind):
        cache.lease(key)

    with cache.lease(BLUR) as lease:
        assert "blur" == lease.bundle.name


def test_one_caller_runs_at_a_time(cache: EngineCache) -> None:
    """Who wants to run an engine waits for the one who does."""
    order = []
    with cache.lease(BLUR) as lease:

        def other() -> None:
            with lease.running():
                order.append("other")

        with lease.running():
            waiting = Thread(target=other)
            waiting.start()
            waiting.join(0.05)
            order.append("first")
        waiting.join()

    assert ["first", "other"] == order


def test_two_bundles_of_one_name(bundles: tuple[Path, ...]) -> None:
    """A name that two bundles share is refused when the server starts."""
    with pytest.raises(SettingError) as caught:
        open_bundles([bundles[0], bundles[0]])

    assert (
        f'{bundles[0]}: a bundle named "blur" is served already, from {bundles[0]};'
        " leave one out"
    ) == str(caught.value)
