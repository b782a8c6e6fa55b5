from pathlib import Path

import pytest

from tests.tiny_models import TinyBundle, tiny_picture_bundle, tiny_speech_bundle


@pytest.fixture(scope="session")
def tiny_picture(tmp_path_factory: pytest.TempPathFactory) -> TinyBundle:
    return tiny_picture_bundle(tmp_path_factory.mktemp("tiny") / "picture")


@pytest.fixture(scope="session")
def tiny_speech(tmp_path_factory: pytest.TempPathFactory) -> TinyBundle:
    return tiny_speech_bundle(tmp_path_factory.mktemp("tiny") / "speech")


@pytest.fixture
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tiedge"
