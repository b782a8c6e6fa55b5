"""Int8 while training: what is rounded, in which range, and what gradients see."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from training.denoiser import Denoiser
from training.rounding import (
    FORGETTING,
    ConvRounding,
    Int8Rounding,
    fits_one_scale,
    round_kernel,
    round_to_int8,
    round_weight,
)
from training.sharing import RepeatedBlock


def turned_on(low: float, high: float) -> Int8Rounding:
    """Return a rounding in a range, out of training."""
    rounding = Int8Rounding().eval()
    rounding.low.fill_(low)
    rounding.high.fill_(high)
    round_to_int8(rounding)
    return rounding


def test_an_activation_takes_256_values() -> None:
    """Inside its range it moves by half a step at most, outside it is cut off."""
    x = torch.linspace(-1.5, 2.5, 10_001)

    found = turned_on(-1.0, 2.0)(x)

    assert 256 == len(found.unique())
    inside = (x > -1.0) & (x < 2.0)
    assert (found - x)[inside].abs().max() <= 0.5 * 3.0 / 255 + 1e-6
    assert found.min() == pytest.approx(-1.0, abs=3.0 / 255)
    assert found.max() == pytest.approx(2.0, abs=3.0 / 255)


def test_zero_stays_zero() -> None:
    """Borders are padded with zeros, so zero must be one of the values."""
    assert 0.0 == turned_on(-0.7, 1.9)(torch.zeros(1)).item()


def test_gradients_pass_as_if_nothing_was_rounded() -> None:
    """Inside the range; what is cut off gets none."""
    x = torch.tensor([-2.0, 0.3, 5.0], requires_grad=True)

    turned_on(-1.0, 2.0)(x).sum().backward()

    assert x.grad is not None
    assert [0.0, 1.0, 0.0] == x.grad.tolist()


def test_a_range_grows_at_once_and_shrinks_slowly() -> None:
    """A step of a block that spreads widest sets the range for all steps."""
    rounding = Int8Rounding()
    round_to_int8(rounding)
    rounding(torch.linspace(-1.0, 3.0, 100))
    rounding(torch.linspace(-0.5, 1.0, 100))

    assert rounding.low.item() == pytest.approx(-1.0 + 0.5 * FORGETTING)
    assert rounding.high.item() == pytest.approx(3.0 - 2.0 * FORGETTING)


def test_a_range_holds_still_out_of_training() -> None:
    """Validation measures what training arrived at."""
    rounding = turned_on(-1.0, 1.0)

    rounding(torch.full((10,), 100.0))

    assert (-1.0, 1.0) == (rounding.low.item(), rounding.high.item())


def test_a_kernel_is_rounded_per_channel() -> None:
    """To the integers that an exported file holds, by their definition."""
    torch.manual_seed(0)
    kernel = (
        torch.randn(4, 3, 3, 3)
        * torch.tensor([0.01, 1.0, 5.0, 0.0])[:, None, None, None]
    )

    found = round_kernel(kernel).numpy()

    scale = np.abs(kernel.numpy()).max(axis=(1, 2, 3), keepdims=True) / 127
    integers = np.round(kernel.numpy() / np.maximum(scale, 1e-30))
    np.testing.assert_allclose(integers * scale, found, rtol=1e-5, atol=1e-9)


def test_a_weight_is_rounded_by_one_scale() -> None:
    """To 255 codes, symmetric, by definition; zeros stay zeros."""
    weight = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))

    found = round_weight(weight)

    step = weight.abs().max() / 127
    torch.testing.assert_close((weight / step).round() * step, found)
    assert torch.equal(torch.zeros(2, 3), round_weight(torch.zeros(2, 3)))


def test_a_kernel_that_one_scale_holds_stays_as_it_is() -> None:
    """Rounded by one scale it is exact already: a scale per channel would round it."""
    generator = torch.Generator().manual_seed(0)
    free = torch.randn(4, 3, 3, 3, generator=generator)
    kernel = round_weight(free)

    assert fits_one_scale(kernel)
    assert not fits_one_scale(free)
    assert not fits_one_scale(torch.zeros(4, 3))
    assert torch.equal(kernel, round_kernel(kernel))


def test_rounding_that_is_off_changes_nothing() -> None:
    """A checkpoint that was trained with it runs in float as any other."""
    convolution = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    x = torch.randn(2, 3, 8, 8)

    for rounding in (ConvRounding(enabled=False), ConvRounding(enabled=True)):
        assert torch.equal(convolution(x), rounding(x, convolution))


def test_a_shared_kernel_is_rounded_as_one_tensor() -> None:
    """All steps read it rounded alike, and its gradient is the sum over steps."""
    torch.manual_seed(0)
    body = RepeatedBlock(3, n_steps=3, rounding=True)
    round_to_int8(body)
    plain = RepeatedBlock(3, n_steps=3)
    plain.load_state_dict(body.state_dict(), strict=False)
    h = torch.randn(1, 3, 9, 9)
    body(h, depth=3)  # ranges
    body.eval()

    body(h, depth=3).square().sum().backward()
    plain(h, depth=3).square().sum().backward()

    assert 2 == sum(name.endswith("weight") for name, _ in body.named_parameters())
    gradients = [b.first.weight.grad.flatten() for b in (body, plain)]
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99


def test_ranges_are_not_weights() -> None:
    """What training learns for int8 adds no parameter to the network."""
    one, other = Denoiser(4, (1, 2)), Denoiser(4, (1, 2), rounding=True)

    assert [n for n, _ in one.named_parameters()] == [
        n for n, _ in other.named_parameters()
    ]
