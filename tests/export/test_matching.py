import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.constants import Quantization, Use, View, codes
from export.matching import decode, match, relation

SHAPE = (6, 4, 3, 3)
SEEDS = st.integers(0, 2**32 - 1)
AXES = st.permutations(range(len(SHAPE)))


def weight(seed, shape=SHAPE):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def view(dtype, shape, quantization=None):
    return View("w", dtype, shape, quantization, (Use("g", 0, "CONV_2D", 1),))


def quantized(values, axis, bits=8):
    """Round to symmetric codes with a scale per slice along `axis`."""
    others = tuple(i for i in range(values.ndim) if i != axis)
    top = (1 << (bits - 1)) - 1
    scale = np.abs(values).max(axis=others, keepdims=True) / top
    stored = np.round(values / scale).astype(np.int8)
    quantization = Quantization(tuple(scale.ravel().tolist()), (0,), axis)
    return view(f"int{bits}", values.shape, quantization), stored


def packed(stored):
    pairs = (stored.astype(np.uint8) & 15).reshape(-1, 2)
    return (pairs[:, 0] | pairs[:, 1] << 4).tobytes()


def matched(how, data, values):
    decoded = decode(how, data)
    assert decoded is not None
    return match(decoded, values)


@given(seed=SEEDS, axes=AXES)
def test_finds_float_weights_in_any_order_of_axes(seed, axes):
    """A float32 weight is found, exactly, however its axes are ordered."""
    w = weight(seed)
    moved = np.ascontiguousarray(w.transpose(axes))
    found = matched(view("float32", moved.shape), moved.tobytes(), w)

    assert found is not None
    assert 0.0 == found.error


@given(seed=SEEDS, axes=AXES, bits=st.sampled_from([4, 8]), axis=st.integers(0, 3))
def test_finds_rounded_weights_in_any_order_of_axes(seed, axes, bits, axis):
    """An integer weight is found by its scales, 4-bit ones packed in pairs."""
    w = weight(seed)
    how, stored = quantized(np.ascontiguousarray(w.transpose(axes)), axis, bits)
    data = packed(stored) if bits == 4 else stored.tobytes()
    found = matched(how, data, w)

    assert found is not None
    assert found.error <= 0.501


@given(seed=SEEDS, off=st.floats(2.0, 100.0), place=st.integers(0, 6 * 4 * 9 - 1))
def test_one_element_off_by_two_steps_is_another_weight(seed, off, place):
    """A single code that no rounding explains is enough to tell two weights apart."""
    w = weight(seed)
    how, stored = quantized(w, 0)
    channel = place // (4 * 9)
    other = w.copy()
    step = how.quantization.scale[channel]
    rounded = stored.reshape(-1)[place] * step
    inward = -1.0 if rounded > 0 else 1.0
    other.reshape(-1)[place] = rounded + inward * off * step

    assert matched(how, stored.tobytes(), w) is not None
    assert matched(how, stored.tobytes(), other) is None


def test_one_changed_float_is_another_weight():
    """One unit in the last place of one element tells two float weights apart."""
    w = weight(0)
    other = w.copy()
    other[1, 2, 0, 1] = np.nextafter(other[1, 2, 0, 1], np.float32(9.0))

    assert matched(view("float32", SHAPE), w.tobytes(), other) is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_finds_half_precision_weights(dtype):
    """A weight rounded to 16 bits is found; one rounded twice as coarsely is not."""
    w = weight(0)
    if dtype == "float16":
        data = w.astype(np.float16).tobytes()
    else:
        data = (((w.view(np.uint32) + 0x8000) >> 16).astype("<u2")).tobytes()

    assert matched(view(dtype, SHAPE), data, w) is not None
    assert matched(view(dtype, SHAPE), data, w * np.float32(1.01)) is None


def test_finds_vectors_quantized_per_tensor_with_a_zero_point():
    """A per-step constant (C, 1, 1) is found as int8 (1, 1, 1, C) with one scale."""
    w = np.linspace(0.2, 1.7, 12, dtype=np.float32).reshape(12, 1, 1)
    scale, zero = 1.7 / 255, -128
    stored = np.round(w / scale + zero).astype(np.int8)
    how = view("int8", (1, 1, 1, 12), Quantization((scale,), (zero,)))
    found = matched(how, stored.tobytes(), w)

    assert found is not None
    assert "int8 per tensor" == found.form


def test_finds_biases_by_their_scale():
    """An int32 bias is found by the scale of input times weight."""
    w = weight(0, (8,))
    scale = tuple((1e-4 * np.arange(1, 9)).tolist())
    stored = np.round(w / np.array(scale)).astype(np.int32)
    found = matched(view("int32", (8,), Quantization(scale, (0,))), stored.tobytes(), w)

    assert found is not None
    assert "int32 per channel" == found.form


def test_integers_without_a_scale_hold_no_weight():
    """Shapes and permutations are never taken for weights."""
    data = np.array([0, 3, 1, 2], np.int32).tobytes()

    assert decode(view("int32", (4,)), data) is None


def test_finds_weights_with_channels_in_another_order():
    """The sub-pixel order of a last convolution is a layout of the same weight."""
    w = weight(0, (12, 8, 3, 3))
    order = np.arange(12).reshape(3, 4).T.reshape(-1)  # (phase, C) from (C, phase)
    how, stored = quantized(np.ascontiguousarray(w[order].transpose(0, 2, 3, 1)), 0)
    found = matched(how, stored.tobytes(), w)

    assert found is not None
    assert "int8 per channel, axes (0, 2, 3, 1), axis 0 reordered" == found.form


def test_finds_the_integers_that_folding_a_scale_leaves():
    """A positive factor per channel moves into the scale: the integers are the same."""
    w = weight(0)
    factor = np.linspace(0.5, 2.0, SHAPE[0], dtype=np.float32).reshape(-1, 1, 1, 1)
    how, stored = quantized(w * factor, 0)
    found = matched(how, stored.tobytes(), w)

    assert found is not None
    assert "int8 per channel, one factor per channel in the scale" == found.form


def test_a_negative_factor_changes_the_integers():
    """Folding a negative scale makes other integers: no longer the weight."""
    w = weight(0)
    how, stored = quantized(-w, 0)

    assert matched(how, stored.tobytes(), w) is None


def test_names_what_a_folded_kernel_was_made_of():
    """A float kernel times a factor per channel is no weight, but its origin shows."""
    w = weight(0)
    folded = w * np.linspace(-1.0, 2.0, SHAPE[0], dtype=np.float32).reshape(-1, 1, 1, 1)
    decoded = decode(view("float32", SHAPE), folded.tobytes())

    assert decoded is not None
    assert match(decoded, w) is None
    assert "folded: a factor per channel times" == relation(decoded, w)
    assert relation(decoded, weight(1)) is None


def test_names_what_a_converted_kernel_was_made_of():
    """Float numbers that went through int8 are near the weight, and no rounding."""
    w = weight(0)
    how, stored = quantized(w, 0)
    scale = np.array(how.quantization.scale).reshape(-1, 1, 1, 1)
    decoded = decode(view("float32", SHAPE), (stored * scale).astype("f4").tobytes())

    assert decoded is not None
    assert match(decoded, w) is None
    assert "converted: close to, but no rounding of," == relation(decoded, w)


def test_unpacks_four_bit_numbers_low_half_first():
    """Two codes share a byte, the first in its low half; an odd last one is alone."""
    data = bytes([0x21, 0xF8, 0x07])

    assert [1, 2, -8, -1, 7] == codes(view("int4", (5,)), data).tolist()
    assert [1, 2, 8, 15, 7] == codes(view("uint4", (5,)), data).tolist()
