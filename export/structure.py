"""Tell constants that steer operators from constants that hold weights."""

from __future__ import annotations

import numpy as np

from export.constants import Constant, Use, View, codes

STRUCTURAL_OPERANDS: dict[str, frozenset[int]] = {
    "ARG_MAX": frozenset({1}),
    "ARG_MIN": frozenset({1}),
    "BATCH_TO_SPACE_ND": frozenset({1, 2}),
    "BROADCAST_TO": frozenset({1}),
    "CUMSUM": frozenset({1}),
    "DYNAMIC_UPDATE_SLICE": frozenset({2}),
    "EXPAND_DIMS": frozenset({1}),
    "FILL": frozenset({0}),
    "GATHER": frozenset({1}),
    "GATHER_ND": frozenset({1}),
    "MEAN": frozenset({1}),
    "MIRROR_PAD": frozenset({1}),
    "PAD": frozenset({1}),
    "PADV2": frozenset({1}),
    "REDUCE_ALL": frozenset({1}),
    "REDUCE_ANY": frozenset({1}),
    "REDUCE_MAX": frozenset({1}),
    "REDUCE_MIN": frozenset({1}),
    "REDUCE_PROD": frozenset({1}),
    "RESHAPE": frozenset({1}),
    "RESIZE_BILINEAR": frozenset({1}),
    "RESIZE_NEAREST_NEIGHBOR": frozenset({1}),
    "REVERSE_V2": frozenset({1}),
    "SCATTER_ND": frozenset({0, 2}),
    "SLICE": frozenset({1, 2}),
    "SPACE_TO_BATCH_ND": frozenset({1, 2}),
    "SPLIT": frozenset({0}),
    "SPLIT_V": frozenset({1, 2}),
    "STRIDED_SLICE": frozenset({1, 2, 3}),
    "SUM": frozenset({1}),
    "TILE": frozenset({1}),
    "TOPK_V2": frozenset({1}),
    "TRANSPOSE": frozenset({1}),
    "TRANSPOSE_CONV": frozenset({0}),
}
"""Operands that say where and how large, never what: shapes, permutations, paddings,
axes, indices. Only plain integers count there."""

BIAS_OPERANDS: dict[str, int] = {
    "CONV_2D": 2,
    "CONV_3D": 2,
    "DEPTHWISE_CONV_2D": 2,
    "FULLY_CONNECTED": 2,
    "TRANSPOSE_CONV": 3,
    "XNNConv2d": 2,
    "XNNConvTranspose2d": 2,
    "XNNDepthwiseConv2d": 2,
    "XNNFullyConnected": 2,
}
"""The operand that is the bias; a converter writes zeros where the source has none."""


def structural_role(constant: Constant) -> str | None:
    """Return why a constant that holds no weight is structural, or None.

    In this order: bytes that the format itself marks (metadata, scales of a
    quantization); plain integers that are read only as shapes, permutations,
    paddings, axes or indices; zeros that are read only as biases; one number, be it
    stored once or repeated over the shape (a clip bound, a factor).
    """
    if constant.role:
        return constant.role
    if not constant.uses:
        return None
    if _is_position(constant):
        return "shape, permutation, padding, axis or index"
    if is_zero_bias(constant):
        return "zero bias that the source does not have"
    if all(_is_one_number(view, constant.data) for view in constant.views):
        return "one number"
    return None


def is_zero_bias(constant: Constant) -> bool:
    """Return whether the constant is all zeros and read only as a bias."""
    return (
        not any(constant.data)
        and bool(constant.uses)
        and all(BIAS_OPERANDS.get(u.operator) == u.operand for u in constant.uses)
    )


def _is_position(constant: Constant) -> bool:
    plain = all(
        view.dtype in ("int32", "int64", "bool") and view.quantization is None
        for view in constant.views
    )
    return plain and all(_names_a_place(use) for use in constant.uses)


def _names_a_place(use: Use) -> bool:
    return use.operand in STRUCTURAL_OPERANDS.get(use.operator, ())


def _is_one_number(view: View, data: bytes) -> bool:
    if view.packing or view.block:
        return False
    numbers = codes(view, data)
    if view.quantization is not None and len(view.quantization.scale) > 1:
        return False
    return numbers.size > 0 and bool(np.all(numbers == numbers.flat[0]))
