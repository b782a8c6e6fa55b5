"""What a picture network is told beside the picture, and the size it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.bundle import Bundle, Signature
from edge_runtime.engine import Engine
from edge_runtime.errors import SettingError
from edge_runtime.image_filter import ImageFilter
from tests.sample_bundles import (
    model,
    picture_manifest,
    picture_signatures,
    tensor,
    write_bundle,
)

TILE_PX = 16
RADIUS_PX = 1
LOOKS = ("soft", "sharp")


def enlarged(picture: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """Return each pixel plus its upper and left neighbours, twice as large."""
    padded = np.pad(picture, ((1, 0), (1, 0), (0, 0)))
    total = (padded[1:, 1:] + padded[:-1, 1:] + padded[1:, :-1]) * np.float32(level)
    return np.clip(total.repeat(2, axis=0).repeat(2, axis=1), 0.0, 1.0)


class EnlargingEngine(Engine):
    """Runs `enlarged` on one tile and keeps what it was told."""

    def __init__(self, signatures: Sequence[Signature]) -> None:
        super().__init__("numpy", "1", "sample.tflite", signatures, 1)
        self.told: dict[str, Any] = {}

    def _call(
        self, signature: Signature, inputs: tuple[NDArray[Any], ...]
    ) -> Sequence[NDArray[Any]]:
        picture, *others = inputs
        names = [spec.name for spec in signature.inputs[1:]]
        self.told = {
            n: v.flatten().tolist() for n, v in zip(names, others, strict=True)
        }
        return [enlarged(picture[0], self.told.get("strength", [0.25])[0])[np.newaxis]]

    def _release(self) -> None:
        pass


def opened(
    folder: Path, strength: tuple[float, float] | None, looks: Sequence[str]
) -> tuple[ImageFilter, EnlargingEngine]:
    """Return a filter that doubles pictures and takes no noise level."""
    told = []
    if strength is not None:
        told.append(tensor("strength", (1, 1, 1, 1), "BYXC"))
    if looks:
        told.append(tensor("look", (1, 1, 1, len(looks)), "BYXC"))
    signatures = picture_signatures((1,), TILE_PX, scale=2, told=told)
    models = [model("sample.tflite", signatures)]
    manifest = picture_manifest((1,), TILE_PX, {1: RADIUS_PX}, models)
    manifest["picture"] |= {"scale": 2, "sigma": None, "looks": list(looks)}
    if strength is not None:
        least, most = strength
        manifest["picture"]["strength"] = {"minimum": least, "maximum": most}
    bundle = Bundle.open(write_bundle(folder, manifest))
    engine = EnlargingEngine(bundle.models[0].signatures)
    return ImageFilter(bundle, engine), engine


def noise(n_rows: int, n_columns: int) -> NDArray[np.float32]:
    rng = np.random.default_rng((n_rows, n_columns))
    return rng.random((n_rows, n_columns, 3), np.float32)


@pytest.mark.parametrize("size", [(16, 16), (40, 33), (5, 70)])
def test_a_tiled_picture_is_enlarged_as_a_whole_one(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    """Tiles of the large picture meet without a seam."""
    image_filter, _ = opened(tmp_path, None, ())
    picture = noise(*size)

    actual = image_filter.apply(picture)

    np.testing.assert_array_equal(enlarged(picture, 0.25), actual)


def test_the_network_is_told_strength_and_look(tmp_path: Path) -> None:
    """A look is told by its place; without a word, the first at full strength."""
    image_filter, engine = opened(tmp_path, (0.0, 1.0), LOOKS)

    image_filter.apply(noise(16, 16), strength=0.5, look="sharp")
    asked = engine.told
    image_filter.apply(noise(16, 16))

    assert {"strength": [0.5], "look": [0.0, 1.0]} == asked
    assert {"strength": [1.0], "look": [1.0, 0.0]} == engine.told


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigma": 25.0}, "sample-picture: takes no sigma; leave it out"),
        ({"strength": 1.5}, "sample-picture: strength is 1.5, expected 0 to 1"),
        (
            {"strength": float("nan")},
            "sample-picture: strength is nan, expected 0 to 1",
        ),
        ({"look": "blue"}, "sample-picture: look is blue, expected one of soft sharp"),
    ],
)
def test_settings_that_are_not_offered_are_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    """One line names the bundle, what was found and what it offers."""
    image_filter, engine = opened(tmp_path, (0.0, 1.0), LOOKS)

    with pytest.raises(SettingError) as caught:
        image_filter.apply(noise(16, 16), **settings)

    assert message == str(caught.value)
    assert {} == engine.told


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": 1.0}, "sample-picture: takes no strength; leave it out"),
        ({"look": "soft"}, "sample-picture: takes no look; leave it out"),
    ],
)
def test_settings_of_other_networks_are_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    """A network without strength or looks says so."""
    image_filter, _ = opened(tmp_path, None, ())

    with pytest.raises(SettingError) as caught:
        image_filter.apply(noise(16, 16), **settings)

    assert message == str(caught.value)
