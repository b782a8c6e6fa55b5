import numpy as np
import pytest

from export.narrow import narrow

KERNEL = np.linspace(-2.0, 1.0, 24, dtype=np.float32).reshape(4, 6)


@pytest.mark.parametrize(
    ("precision", "top"), [("int8-weight", 127), ("int4-weight", 7)]
)
@pytest.mark.parametrize("axis", [0, 1, None])
def test_integers_are_within_half_a_step(
    precision: str, top: int, axis: int | None
) -> None:
    """The largest of each channel has the largest code, the others are rounded."""
    form = narrow(KERNEL, precision, axis)

    assert form is not None
    assert form.scale is not None
    shape = [1, 1]
    if axis is not None:
        shape[axis] = -1
    scale = form.scale.reshape(shape)
    assert top == np.abs(form.codes).max()
    assert np.all(np.abs(form.codes * scale - KERNEL) <= 0.5001 * scale)


def test_a_channel_of_zeros_stays_zeros() -> None:
    """Its scale is one, which every engine takes."""
    form = narrow(np.zeros((2, 3), np.float32), "int8-weight", 0)

    assert form is not None
    assert form.scale is not None
    assert [1.0, 1.0] == form.scale.tolist()
    assert not form.codes.any()


def test_what_one_scale_holds_exactly_has_one() -> None:
    """Equal numbers stay equal codes, whatever is largest in their channel."""
    codes = np.array([[127, 3, -5], [10, 3, -3]], np.int8)

    form = narrow(codes * np.float32(0.01), "int8-weight", 0)

    assert form is not None
    assert form.scale is not None
    assert codes.tolist() == form.codes.tolist()
    assert 1 == len(set(form.scale.tolist()))


def test_half_precision_rounds() -> None:
    """A number of 11 bits survives as it is."""
    form = narrow(np.array([1.0, 1.0 + 2.0**-10], np.float32), "fp16", 0)

    assert form is not None
    assert form.scale is None
    assert [1.0, 1.0 + 2.0**-10] == form.codes.tolist()


@pytest.mark.parametrize(
    ("values", "precision"),
    [
        (np.array([70000.0, 1.0], np.float32), "fp16"),
        (np.array([3.0], np.float32), "fp16"),
        (np.array([1, 2], np.int32), "fp16"),
        (np.array([np.nan, 1.0], np.float32), "fp16"),
        (np.linspace(0, 1, 8, dtype=np.float32), "int8-weight"),
        (np.ones((1, 8, 1), np.float32), "int4-weight"),
    ],
    ids=["too large", "one number", "whole numbers", "NaN", "vector", "row"],
)
def test_what_keeps_its_bits(values: np.ndarray, precision: str) -> None:
    """What fewer bits cannot hold, or gain nothing on, stays float32."""
    assert narrow(values, precision, 0) is None
