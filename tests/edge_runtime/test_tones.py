"""How bright a picture is, and that its network is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.bundle import Bundle, Signature
from edge_runtime.engine import Engine
from edge_runtime.errors import BundleError
from edge_runtime.image_filter import ImageFilter
from edge_runtime.tones import N_SAMPLES_PX, sample_step, tones_of
from tests.sample_bundles import (
    model,
    picture_manifest,
    picture_signatures,
    tensor,
    write_bundle,
)

LEVELS = (0.1, 0.5, 0.9)
TILE_PX = 16


class ToldEngine(Engine):
    """Gives the tile back and keeps the tones that it was told."""

    def __init__(self, signatures: Sequence[Signature]) -> None:
        super().__init__("numpy", "1", "sample.tflite", signatures, 1)
        self.told: list[NDArray[Any]] = []

    def _call(
        self, signature: Signature, inputs: tuple[NDArray[Any], ...]
    ) -> Sequence[NDArray[Any]]:
        picture, tones = inputs
        self.told.append(tones.copy())
        return [picture]

    def _release(self) -> None:
        pass


def manifest(levels: Sequence[float], n_told: int) -> dict[str, Any]:
    told = [tensor("tones", (1, 1, 1, n_told), "BYXC")]
    signatures = picture_signatures((1,), TILE_PX, told=told)
    models = [model("sample.tflite", signatures)]
    made = picture_manifest((1,), TILE_PX, {1: 1}, models)
    made["picture"] |= {"sigma": None, "tones": list(levels)}
    return made


def test_tones_are_quantiles_of_all_three_channels() -> None:
    """In 0–1, whatever the samples' type."""
    ramp = np.linspace(0, 255, 60 * 60 * 3).astype(np.uint8).reshape(60, 60, 3)

    np.testing.assert_allclose(LEVELS, tones_of(ramp, LEVELS), atol=0.01)
    np.testing.assert_allclose(
        LEVELS, tones_of(ramp.astype(np.float32) / 255, LEVELS), atol=0.01
    )


def test_a_large_picture_is_sampled() -> None:
    """Enough pixels are looked at, and never many more than that."""
    for n_rows, n_columns in ((321, 481), (3000, 4000), (100, 100), (7, 5)):
        step = sample_step(n_rows, n_columns)
        n_looked_at = -(-n_rows // step) * -(-n_columns // step)

        assert min(N_SAMPLES_PX, n_rows * n_columns) <= n_looked_at < 4.2 * N_SAMPLES_PX


def test_every_tile_is_told_the_tones_of_the_whole_picture(tmp_path: Path) -> None:
    """Noise beyond 0–1 counts as black or white."""
    bundle = Bundle.open(write_bundle(tmp_path, manifest(LEVELS, 3)))
    engine = ToldEngine(bundle.models[0].signatures)
    picture = np.linspace(-0.2, 1.2, 20 * 40 * 3, dtype=np.float32).reshape(20, 40, 3)

    restored = ImageFilter(bundle, engine).apply(picture)

    np.testing.assert_array_equal(picture, restored)
    assert len(engine.told) > 1
    for told in engine.told:
        assert (1, 1, 1, 3) == told.shape
        np.testing.assert_allclose([0.0, 0.5, 1.0], told.flatten(), atol=0.06)


@pytest.mark.parametrize(
    ("levels", "n_told", "message"),
    [
        ((0.5, 0.1), 2, "picture.tones is [0.5, 0.1], expected rising numbers from 0"),
        ((0.5, 1.5), 2, "picture.tones is [0.5, 1.5], expected rising numbers from 0"),
        (LEVELS, 2, '"tones" is float32 (1, 1, 1, 2), expected float32 (1, 1, 1, 3)'),
    ],
)
def test_tones_that_do_not_fit_are_refused(
    tmp_path: Path, levels: Sequence[float], n_told: int, message: str
) -> None:
    """Before an engine sees the file."""
    with pytest.raises(BundleError) as caught:
        Bundle.open(write_bundle(tmp_path, manifest(levels, n_told)))

    assert message in str(caught.value)
