"""Int8 while training: a convolution rounded as static int8 rounds it.

After Jacob et al. 2018 (arXiv:1712.05877): values are rounded on the way forward, and
gradients pass as if they were not. A kernel that many steps share is rounded as the one
tensor that it is, and an activation of a repeated block has one range for all steps,
as it will have on the device.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CUT_OFF = 3e-4
"""Part of an activation's values that its range may leave outside on either side, here
and in an exported file. Halfway through its training the denoiser at depth 8 then lost
0.06 dB at sigma 25 and 0.07 dB at sigma 50; with 1e-4 it lost 0.12 and 0.05 dB. What
the shipped one loses stands in results/denoise.json."""
N_SAMPLES = 4096
"""Values of an activation that its range is judged by at each use."""
FORGETTING = 0.01
"""How far a range moves at each use towards what it meets, where that is narrower."""
STEPS = 255
"""Distances between the 256 values of int8."""
PEAK = 127
"""Largest code of a weight in int8."""
NO_DISTANCE = 1e-3
"""Of a number from a code, in codes: what is left of one by float32 is below 1e-4."""


class Int8Rounding(nn.Module):
    """Rounds an activation to int8 and back, in a range that it learns.

    It does nothing until `round_to_int8` turns it on.
    """

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.on = False
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation, of any shape, as int8 would hold it."""
        if not self.on:
            return x
        x = x.float()  # in mixed precision, an activation has 8 bits already
        if self.training:
            self._learn(x.detach())
        scale = ((self.high - self.low) / STEPS).clamp_min(1e-8)
        lowest = (
            (self.low / scale).round().clamp(-STEPS, 0)
        )  # a whole number: 0 is exact
        rounded: Tensor = _Rounding.apply(x, scale.item(), lowest.item())
        return rounded

    @torch.no_grad()
    def _learn(self, x: Tensor) -> None:
        values = _samples(x)
        n_outside = int(CUT_OFF * len(values))
        ordered = values.sort().values
        low = ordered[n_outside].clamp_max(0.0)
        high = ordered[-1 - n_outside].clamp_min(0.0)
        self.low.copy_(torch.minimum(low, self.low.lerp(low, FORGETTING)))
        self.high.copy_(torch.maximum(high, self.high.lerp(high, FORGETTING)))


def _samples(x: Tensor) -> Tensor:
    """Return about N_SAMPLES of an activation's values, from all of its channels.

    They are taken in the order in which they lie in memory, which copies nothing else.
    """
    by_place = x.movedim(1, -1) if x.ndim > 1 else x
    stride = max(1, x.numel() // N_SAMPLES)
    while math.gcd(stride, by_place.shape[-1]) > 1:
        stride += 1
    return by_place.reshape(-1)[::stride]


class _Rounding(torch.autograd.Function):
    """Rounds and clips; gradients pass where nothing was clipped.

    A fifth of the time of `torch.fake_quantize_per_tensor_affine`, which also forgets
    how its input lies in memory.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float, lowest: float) -> Tensor:
        codes = (x / scale).round_()
        clipped = codes.clamp(lowest, lowest + STEPS)
        ctx.save_for_backward(clipped.ne(codes))
        return clipped.mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (outside,) = ctx.saved_tensors
        return gradients[0].masked_fill(outside, 0.0), None, None


class ConvRounding(nn.Module):
    """Runs a convolution, in int8 where that is enabled and on.

    It holds two ranges, of what goes in and of what comes out, and no weight.
    """

    def __init__(self, *, enabled: bool) -> None:
        super().__init__()
        self.enabled = enabled
        if enabled:
            self.before = Int8Rounding()
            self.after = Int8Rounding()

    def forward(self, x: Tensor, convolution: nn.Conv2d) -> Tensor:
        """Return the convolution's result, (B, C, Y, X)."""
        if not (self.enabled and self.before.on):
            out: Tensor = convolution(x)
            return out
        kernel = round_kernel(convolution.weight)
        padding = convolution.padding
        bias = convolution.bias
        return self.after(F.conv2d(self.before(x), kernel, bias, padding=padding))


def round_weight(weight: Tensor) -> Tensor:
    """Return a weight as int8 holds it with one scale: symmetric, for all of it."""
    scale = (weight.detach().abs().max() / PEAK).clamp_min(1e-8)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_tensor_affine(weight, scale, zero, -PEAK, PEAK)


def fits_one_scale(weight: Tensor) -> bool:
    """Return whether `round_weight` leaves each number of a weight as it is.

    An exported file then has this one scale in every channel: its int8 is exact, and
    equal numbers stay equal codes.
    """
    codes = weight.detach() / weight.detach().abs().max() * PEAK
    return bool((codes - codes.round()).abs().max() < NO_DISTANCE)


def round_kernel(kernel: Tensor) -> Tensor:
    """Return a kernel, (C, …), as int8 holds it: symmetric, a scale per channel.

    One that `fits_one_scale` is returned as it is.
    """
    if fits_one_scale(kernel):
        return kernel
    largest = kernel.detach().flatten(1).abs().amax(dim=1)
    scale = (largest / PEAK).clamp_min(1e-8)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(kernel, scale, zero, 0, -PEAK, PEAK)


def knows_ranges(network: nn.Module) -> bool:
    """Return whether a network's activations have met values in training."""
    return any(
        isinstance(module, Int8Rounding) and bool(module.high > module.low)
        for module in network.modules()
    )


def round_to_int8(network: nn.Module) -> None:
    """Turn on all rounding that a network has."""
    for module in network.modules():
        if isinstance(module, Int8Rounding):
            module.on = True
