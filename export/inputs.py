"""Example inputs of a module as arrays, checked and drawn anew."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_runtime.bundle_parts import DTYPE_BYTES, TensorSpec
from edge_runtime.errors import ModuleError
from export.plan import Arrays

Inputs = Mapping[str, Tensor] | Sequence[Tensor]
"""Tensors by name, or in order: those are named x0, x1, …"""

LARGEST_INT32 = 2**31 - 1
BY_PLACE = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)
"""Parameters that a traced module gets its inputs by."""

WAY_OUT = {
    "float64": "; call .float()",
    "bfloat16": "; call .float()",
    "complex64": "; hand in real and imaginary part, as by torch.view_as_real",
    "complex128": "; hand in real and imaginary part, as by torch.view_as_real",
}


def arrays_of(where: str, inputs: Inputs, *, narrow: bool = True) -> Arrays:
    """Return inputs by name, each an array of its own.

    Whole numbers become int32, as the engines take them, unless they are not `narrow`.
    Raises ModuleError, beginning with `where`, for what is no tensor of finite numbers
    of a type and size that the engines take, for two names of one tensor, and where
    there are none.
    """
    if isinstance(inputs, Tensor):
        raise ModuleError(
            f"{where}: the example is a tensor, expected a sequence or a dictionary of"
            " them; write (tensor,)"
        )
    named = inputs
    if not isinstance(named, Mapping):
        named = {f"x{i}": tensor for i, tensor in enumerate(named)}
    if not named:
        raise ModuleError(f"{where}: no example inputs, expected at least one tensor")
    seen: dict[int, str] = {}
    for key, tensor in named.items():
        if not isinstance(key, str) or not key:
            raise ModuleError(f"{where}: input {key!r}, expected a name")
        if not isinstance(tensor, Tensor):
            raise ModuleError(
                f"{where}: input {key!r} is {type(tensor).__name__}, expected a tensor"
            )
        # Tracers take one object at two places for one input.
        place = tensor.untyped_storage().data_ptr()
        if place in seen:
            raise ModuleError(
                f"{where}: inputs {seen[place]!r} and {key!r} are the same tensor; give"
                " each its own, as by clone()"
            )
        seen[place] = key
    return {key: _array(where, key, named[key], narrow) for key in named}


def by_parameter(where: str, module: nn.Module, inputs: Arrays) -> Arrays:
    """Return inputs that were given by name in the order of forward's parameters.

    A single input may have a name of its own. Raises ModuleError where another one's
    name is none of the parameters, or one is left out.
    """
    parameters = inspect.signature(module.forward).parameters.values()
    if any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters):
        return inputs
    taken = [one for one in parameters if one.kind in BY_PLACE]
    names = [one.name for one in taken]
    n_needed = sum(one.default is inspect.Parameter.empty for one in taken)
    if len(inputs) == 1 and n_needed <= 1:
        return inputs
    takes = names[: max(n_needed, len(inputs))]
    if set(inputs) != set(takes):
        raise ModuleError(
            f"{where}: inputs {' '.join(inputs)}, forward takes"
            f" {' '.join(names) or 'none'}; name them so, or give a tuple"
        )
    return {name: inputs[name] for name in takes}


def check_dtype(what: str, dtype: torch.dtype) -> None:
    """Raise ModuleError, beginning with `what`, for a type that no bundle knows."""
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPE_BYTES:
        raise ModuleError(
            f"{what} is {name}, expected one of {' '.join(DTYPE_BYTES)}"
            f"{WAY_OUT.get(name, '')}"
        )


def _array(where: str, key: str, tensor: Tensor, narrow: bool) -> NDArray[Any]:
    """Return a tensor's numbers."""
    what = f"{where}: input {key!r}"
    check_dtype(what, tensor.dtype)
    values = np.ascontiguousarray(tensor.detach().cpu().numpy())
    if not values.size:
        raise ModuleError(f"{what} is {values.shape}, expected at least one number")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ModuleError(
            f"{what} holds numbers that are not finite; for a mask take one like -1e9"
        )
    if values.dtype != np.int64 or not narrow:
        return values
    for extreme in (int(values.min()), int(values.max())):
        if abs(extreme) > LARGEST_INT32:
            raise ModuleError(
                f"{what} holds {extreme}; the engines take whole numbers up to"
                f" {LARGEST_INT32}"
            )
    return values.astype(np.int32)


def fitting(where: str, example: Arrays, inputs: Inputs) -> Arrays:
    """Return further inputs; ModuleError where they are not shaped as the example."""
    found = arrays_of(where, inputs)
    for key in example.keys() | found.keys():
        ours, theirs = (
            f"{a[key].dtype} {a[key].shape}" if key in a else "nothing"
            for a in (example, found)
        )
        if ours != theirs:
            raise ModuleError(
                f"{where}: input {key!r} is {theirs} in further inputs, and {ours} in"
                " the example; shapes are fixed, so give each its own entry point,"
                " which costs no second copy of the weights"
            )
    return found


def drawn_like(known: Sequence[Arrays], rng: np.random.Generator) -> Arrays:
    """Return numbers drawn like known inputs: as they spread, whole ones in range."""
    drawn = {}
    for key, example in known[0].items():
        values = np.stack([inputs[key] for inputs in known])
        if values.dtype.kind in "iub":
            low, high = int(values.min()), int(values.max())
            drawn[key] = rng.integers(low, high + 1, example.shape).astype(values.dtype)
        else:
            spread = float(values.std()) or 1.0
            noise = rng.normal(float(values.mean()), spread, example.shape)
            drawn[key] = noise.astype(values.dtype)
    return drawn


def spec_of(name: str, values: NDArray[Any]) -> TensorSpec:
    """Return how a bundle describes a tensor about which nothing else is known."""
    layout = ascii_lowercase[: values.ndim]
    return TensorSpec(name, str(values.dtype), values.shape, layout, None, None, None)
