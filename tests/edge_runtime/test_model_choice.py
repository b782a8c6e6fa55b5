import dataclasses
from pathlib import Path

import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.errors import SettingError
from edge_runtime.model_choice import choose_model
from tests.sample_bundles import picture_manifest, write_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Return a bundle with one file, fp32 for litert."""
    return Bundle.open(write_bundle(tmp_path / "sample", picture_manifest()))


def test_the_engine_decides_the_format(bundle: Bundle) -> None:
    """The same precision is another file for another engine."""
    tflite = bundle.models[0]
    pte = dataclasses.replace(tflite, format="pte")
    both = dataclasses.replace(bundle, models=(tflite, pte))

    assert tflite == choose_model(both, "litert", "fp32")
    assert pte == choose_model(both, "executorch", "fp32")


@pytest.mark.parametrize(
    ("engine", "precision", "message"),
    [
        (
            "torch",
            "fp32",
            "engine: found torch, expected one of litert tflite-runtime executorch",
        ),
        (
            "litert",
            "fp16",
            "precision: found fp16, sample-picture offers fp32 on litert",
        ),
        (
            "executorch",
            "fp32",
            "engine: found executorch, sample-picture has no .pte file to run on it",
        ),
    ],
)
def test_what_is_not_there_names_what_is(
    bundle: Bundle, engine: str, precision: str, message: str
) -> None:
    """Nothing but the engine's own files is told, and no path."""
    with pytest.raises(SettingError) as caught:
        choose_model(bundle, engine, precision)

    assert message == str(caught.value)
