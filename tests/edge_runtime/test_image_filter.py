from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_runtime.bundle import Bundle, Signature
from edge_runtime.engine import Engine
from edge_runtime.errors import BundleError, PictureError, SettingError
from edge_runtime.image_filter import ImageFilter, Span, open_filter, padded_px, spans
from edge_runtime.pictures import add_noise
from tests.sample_bundles import picture_manifest, speech_manifest, write_bundle

TILE_PX = 16
KERNEL = np.random.default_rng(3).normal(0.0, 0.3, (3, 3)).astype(np.float32)


def network(
    picture: NDArray[np.float32], level: np.float32, depth: int
) -> NDArray[np.float32]:
    """Fold 2×2 phases, then convolve `depth` times with zero padding.

    Written as sums of shifted arrays: the same arithmetic for each pixel, so that
    equality can be asked for to the bit.
    """
    phases = [picture[row::2, column::2] for row in (0, 1) for column in (0, 1)]
    folded = (phases[0] + phases[1] + phases[2] + phases[3]) * np.float32(0.25)
    h = folded.repeat(2, axis=0).repeat(2, axis=1) + level  # (Y, X, 3)
    for _ in range(depth):
        padded = np.pad(h, ((1, 1), (1, 1), (0, 0)))
        h = np.zeros_like(h)
        for row in range(3):
            for column in range(3):
                window = padded[row : row + len(h), column : column + h.shape[1]]
                h = h + KERNEL[row, column] * window
        h = np.maximum(h, np.float32(-0.1))
    return np.clip(picture - h, 0.0, 1.0)


class NumpyEngine(Engine):
    """Runs `network` on one tile."""

    def __init__(self, signatures: Sequence[Signature]) -> None:
        super().__init__("numpy", "1", "sample.tflite", signatures, 1)
        self.n_runs = 0
        self.released = False

    def _call(
        self, signature: Signature, inputs: tuple[NDArray[Any], ...]
    ) -> Sequence[NDArray[Any]]:
        self.n_runs += 1
        picture, sigma = inputs
        assert signature.depth is not None
        restored = network(picture[0], sigma[0, 0, 0, 0], signature.depth)
        return [restored[np.newaxis]]

    def _release(self) -> None:
        self.released = True


@pytest.fixture(scope="module")
def image_filter(tmp_path_factory: pytest.TempPathFactory) -> ImageFilter:
    # A pixel sees its own 2×2 phase and one pixel more for each convolution.
    manifest = picture_manifest((1, 2), TILE_PX, {1: 2, 2: 3})
    bundle = Bundle.open(write_bundle(tmp_path_factory.mktemp("sample"), manifest))
    return ImageFilter(bundle, NumpyEngine(bundle.models[0].signatures))


def noisy(n_rows: int, n_columns: int) -> NDArray[np.float32]:
    rng = np.random.default_rng((n_rows, n_columns))
    return rng.normal(0.5, 0.4, (n_rows, n_columns, 3)).astype(np.float32)


@settings(max_examples=60)
@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 2]))
def test_tiled_equals_untiled_to_the_bit(
    image_filter: ImageFilter, n_rows: int, n_columns: int, depth: int
) -> None:
    """Whatever its size, a picture comes out as if the network had seen it whole."""
    picture = noisy(n_rows, n_columns)
    missing = [max(n + n % 2, TILE_PX) - n for n in (n_rows, n_columns)]
    mirrored = np.pad(picture, ((0, missing[0]), (0, missing[1]), (0, 0)), "symmetric")
    expected = network(mirrored, np.float32(25.0 / 255.0), depth)

    actual = image_filter.apply(picture, 25.0, depth)

    assert actual.shape == (n_rows, n_columns, 3)
    np.testing.assert_array_equal(expected[:n_rows, :n_columns], actual)


def test_seams_would_show_with_too_small_a_radius(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The equality above is no accident: one pixel less of overlap breaks it."""
    manifest = picture_manifest((2,), TILE_PX, {2: 1})
    bundle = Bundle.open(write_bundle(tmp_path_factory.mktemp("sample"), manifest))
    narrow = ImageFilter(bundle, NumpyEngine(bundle.models[0].signatures))
    picture = noisy(64, 64)

    actual = narrow.apply(picture, 25.0)

    assert not np.array_equal(network(picture, np.float32(25.0 / 255.0), 2), actual)


@given(
    tile=st.integers(4, 40),
    radius=st.integers(0, 12),
    multiple=st.sampled_from([1, 2, 4]),
    length=st.integers(1, 200),
)
def test_spans_cover_each_pixel_once_and_keep_clear_of_inner_edges(
    tile: int, radius: int, multiple: int, length: int
) -> None:
    """Each pixel is kept once, by a tile that sees its whole neighbourhood."""
    tile = max(tile, 2 * radius + multiple)
    tile += -tile % multiple
    padded = padded_px(length, tile, multiple)

    found = spans(length, tile, radius, multiple)

    kept = [pixel for span in found for pixel in range(span.keep_from, span.keep_to)]
    assert list(range(length)) == kept
    for span in found:
        end = span.start + tile
        assert span.start % multiple == 0
        assert 0 <= span.start <= span.keep_from < span.keep_to <= end <= padded
        assert span.start == 0 or span.keep_from - span.start >= radius
        assert end == padded or end - span.keep_to >= radius


def test_a_picture_of_one_tile_runs_once() -> None:
    """No tile is run for nothing where one tile covers the axis."""
    assert [Span(0, 0, 16)] == spans(16, tile_px=16, radius_px=3, multiple_px=2)


def test_the_deepest_depth_is_the_default(image_filter: ImageFilter) -> None:
    """Without a depth the block runs as often as it may."""
    picture = noisy(20, 20)

    assert np.array_equal(
        image_filter.apply(picture, 10.0, depth=2), image_filter.apply(picture, 10.0)
    )


def test_the_input_is_left_alone(image_filter: ImageFilter) -> None:
    """The picture that is handed in is not written to, nor returned."""
    picture = noisy(32, 32)
    before = picture.copy()

    restored = image_filter.apply(picture, 25.0)

    assert not np.shares_memory(picture, restored)
    np.testing.assert_array_equal(before, picture)


@pytest.mark.parametrize(
    ("sigma", "depth", "message"),
    [
        (56.0, 1, "sample-picture: sigma is 56, expected 0 to 55"),
        (-0.5, 1, "sample-picture: sigma is -0.5, expected 0 to 55"),
        (float("nan"), 1, "sample-picture: sigma is nan, expected 0 to 55"),
        (25.0, 3, "sample-picture: depth is 3, expected one of 1 2"),
        (25.0, 0, "sample-picture: depth is 0, expected one of 1 2"),
    ],
)
def test_what_the_bundle_does_not_offer_is_refused(
    image_filter: ImageFilter, sigma: float, depth: int, message: str
) -> None:
    """A sigma or a depth outside the bundle's is refused by name."""
    with pytest.raises(SettingError) as caught:
        image_filter.apply(noisy(8, 8), sigma, depth)

    assert message == str(caught.value)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (
            np.zeros((8, 8), np.float32),
            "picture: shape is (8, 8), expected (rows, columns, 3)",
        ),
        (
            np.zeros((8, 8, 4), np.float32),
            "picture: shape is (8, 8, 4), expected (rows, columns, 3)",
        ),
        (
            np.zeros((0, 8, 3), np.float32),
            "picture: shape is (0, 8, 3), expected (rows, columns, 3)",
        ),
        (np.zeros((8, 8, 3), np.uint8), "picture: dtype is uint8, expected float32"),
        (
            np.full((8, 8, 3), np.inf, np.float32),
            "picture: holds NaN or infinity, expected finite numbers",
        ),
    ],
)
def test_arrays_that_are_no_picture_are_refused(
    image_filter: ImageFilter, picture: NDArray[Any], message: str
) -> None:
    """An array of another shape or type never reaches the engine."""
    with pytest.raises(PictureError) as caught:
        image_filter.apply(picture, 25.0)

    assert message == str(caught.value)


@pytest.mark.parametrize(
    ("sigma", "expected"), [(20.0, pytest.approx(20, rel=0.1)), (90.0, 55.0)]
)
def test_sigma_is_estimated_inside_the_range(
    image_filter: ImageFilter, sigma: float, expected: float
) -> None:
    """The noise of a picture is judged, and `apply` takes what comes of it."""
    grey = np.full((64, 64, 3), 128, np.uint8)
    noisy = add_noise(grey, sigma, seed=0, clip=False)

    assert expected == image_filter.estimate_sigma(noisy)
    image_filter.check_sigma(image_filter.estimate_sigma(noisy))


def test_a_speech_bundle_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A speech bundle names the verb that takes it."""
    folder = tmp_path_factory.mktemp("speech")
    bundle = Bundle.open(write_bundle(folder, speech_manifest()))

    with pytest.raises(BundleError) as caught:
        ImageFilter(bundle, NumpyEngine(bundle.models[0].signatures))

    assert (
        f'{folder}: task is "speech", expected "picture"; use tiedge transcribe'
        == str(caught.value)
    )


def test_leaving_the_block_closes_the_engine(image_filter: ImageFilter) -> None:
    """A filter used in a `with` frees its engine."""
    engine = NumpyEngine(image_filter.bundle.models[0].signatures)

    with ImageFilter(image_filter.bundle, engine):
        assert not engine.released

    assert engine.released


def test_an_engine_that_no_device_has_is_refused() -> None:
    """The engines of the upper layers cannot be opened by name here."""
    with pytest.raises(SettingError) as caught:
        open_filter("denoise", engine="torch")

    assert (
        "engine: found torch, expected one of litert tflite-runtime executorch"
        == str(caught.value)
    )
