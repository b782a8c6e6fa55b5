"""A module run on its example, before anything is converted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_runtime.errors import ModuleError
from export.inputs import check_dtype
from export.plan import Arrays
from export.trace import first_line


@contextmanager
def evaluated(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Put modules into eval mode for a while, and every part back into its own.

    Gradients are on in the block, whatever the caller has set: the converters' checks
    break without.
    """
    parts = {part for module in modules for part in module.modules()}
    training = [part for part in parts if part.training]
    try:
        for part in training:
            part.training = False
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for part in training:
            part.training = True


def outputs_of(where: str, module: nn.Module, example: Arrays) -> list[NDArray[Any]]:
    """Return what a module gives for its example inputs, in order.

    Raises ModuleError, beginning with `where`, for weights of a type that is not
    float32, for a module that fails, and for outputs that are no tensors, not finite,
    or others at a second call.
    """
    for name, weight in (*module.named_parameters(), *module.named_buffers()):
        inexact = weight.is_floating_point() or weight.is_complex()
        if inexact and weight.dtype != torch.float32:
            dtype = str(weight.dtype).removeprefix("torch.")
            raise ModuleError(
                f"{where}: weight {name!r} is {dtype}, expected float32"
                f"{'' if weight.is_complex() else '; call .float()'}"
            )
    first, again = (_run(where, module, example) for _ in range(2))
    for number, (one, other) in enumerate(zip(first, again, strict=True)):
        if not np.isfinite(one).all():
            raise ModuleError(
                f"{where}: output {number} is not finite on the example inputs; nothing"
                " can be compared with it"
            )
        if not np.array_equal(one, other):
            raise ModuleError(
                f"{where}: output {number} differs between two calls in eval mode; take"
                " out what is random or keeps a state of its own"
            )
    return first


@torch.no_grad()
def _run(where: str, module: nn.Module, example: Arrays) -> list[NDArray[Any]]:
    tensors = {key: torch.from_numpy(values.copy()) for key, values in example.items()}
    try:
        with _same_buffers(where, module):
            results = module(*tensors.values())
    except ModuleError:
        raise
    except Exception as error:  # whatever the module raises
        shapes = ", ".join(f"{k} {v.dtype} {v.shape}" for k, v in example.items())
        raise ModuleError(
            f"{where}: fails on the example inputs ({shapes}): {first_line(error)}"
        ) from error
    for key, tensor in tensors.items():
        if not np.array_equal(tensor.numpy(), example[key]):
            raise ModuleError(
                f"{where}: writes over its input {key!r}; compute a new tensor instead,"
                " such as x + 1 for x.add_(1)"
            )
    flat = (results,) if isinstance(results, Tensor) else results
    if not isinstance(flat, tuple | list):
        raise ModuleError(
            f"{where}: gives {type(flat).__name__}, expected a tensor or a tuple of"
            " tensors"
        )
    if not flat:
        raise ModuleError(f"{where}: gives nothing, expected at least one tensor")
    for number, result in enumerate(flat):
        _check_output(f"{where}: output {number}", result)
        if any(result is other for other in flat[:number]):
            raise ModuleError(
                f"{where}: output {number} is an earlier output; give it once"
            )
    return [np.asarray(result.numpy()) for result in flat]


def _check_output(what: str, result: object) -> None:
    if not isinstance(result, Tensor):
        raise ModuleError(
            f"{what} is {type(result).__name__}, expected a tensor; give a flat tuple"
            " of tensors"
        )
    check_dtype(what, result.dtype)
    if result.dtype == torch.int64:
        raise ModuleError(f"{what} is int64, expected 32 bits at most; end with .int()")
    if not result.numel():
        raise ModuleError(
            f"{what} is {tuple(result.shape)}, expected at least one number"
        )


@contextmanager
def _same_buffers(where: str, module: nn.Module) -> Iterator[None]:
    """Give a module that writes buffers their numbers back, and raise ModuleError."""
    before = [(name, b, b.detach().clone()) for name, b in module.named_buffers()]
    try:
        yield
    finally:
        written = [
            name
            for name, buffer, values in before
            if not np.array_equal(buffer.numpy(), values.numpy(), equal_nan=True)
        ]
        for _, buffer, values in before:
            buffer.data.copy_(values)
    if written:
        raise ModuleError(
            f"{where}: writes its buffer {written[0]!r}; take it as an input, give it"
            " as an output and name both in states="
        )
