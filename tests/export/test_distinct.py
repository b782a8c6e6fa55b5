"""How many different numbers a constant holds, and what an update transfers."""

import lzma

import numpy as np
import pytest

from export.constants import Quantization, View
from export.distinct import distinct_values
from export.transfer import compressed_bytes


def view(dtype: str, shape: tuple[int, ...], scale: int = 0, axis: int = 0) -> View:
    """Return a view of a constant with so many different scales along an axis."""
    scales = tuple(0.1 * (1 + number) for number in range(scale))
    quantization = Quantization(scales, (0,), axis) if scale else None
    return View("w", dtype, shape, quantization, ())


def test_float_numbers_are_counted_over_the_whole_weight() -> None:
    """Equal numbers count once, wherever they stand."""
    data = np.array([[1, 2, 3], [3, 2, 9]], np.float32).tobytes()

    assert 4 == distinct_values(view("float32", (2, 3)), data)


@pytest.mark.parametrize(("axis", "expected"), [(0, 3), (1, 3)])
def test_codes_are_counted_channel_by_channel(axis: int, expected: int) -> None:
    """Where each channel has a scale of its own, the fullest one counts."""
    codes = np.array([[1, 2, 1], [1, 5, 6], [1, 7, 1]], np.int8)

    found = distinct_values(view("int8", (3, 3), 3, axis), codes.tobytes())

    naive = max(len(set(np.take(codes, i, axis).tolist())) for i in range(3))
    assert (expected, naive) == (found, found)


def test_one_scale_means_one_count() -> None:
    """Codes under one scale are counted over the whole weight."""
    codes = np.array([[1, 2], [3, 4]], np.int8)

    assert 4 == distinct_values(view("int8", (2, 2), 1), codes.tobytes())


def test_equal_scales_mean_one_count() -> None:
    """Channels of one scale hold equal numbers in equal codes."""
    codes = np.array([[1, 2], [3, 4]], np.int8)
    alike = View("w", "int8", (2, 2), Quantization((0.1, 0.1), (0,), 0), ())

    assert 4 == distinct_values(alike, codes.tobytes())


def test_packed_codes_are_taken_apart() -> None:
    """Two 4-bit numbers in a byte are two numbers."""
    assert 2 == distinct_values(view("int4", (4,), 1), bytes([0x21, 0x12]))


@pytest.mark.parametrize(
    ("dtype", "shape", "data"),
    [("float32", (0,), b""), ("int8", (4,), b"ab"), ("string", (1,), b"a")],
)
def test_what_is_no_row_of_numbers_is_not_counted(
    dtype: str, shape: tuple[int, ...], data: bytes
) -> None:
    """Nothing is said of an empty weight, or of bytes that are laid out otherwise."""
    assert distinct_values(view(dtype, shape), data) is None


def test_the_same_file_has_the_same_size_to_transfer() -> None:
    """What is counted can be unpacked again, and is the same each time."""
    data = bytes(range(16)) * 500

    assert compressed_bytes(data) == compressed_bytes(data) < len(data)
    assert data == lzma.decompress(lzma.compress(data, preset=6))
