"""Equal ranges for int8: what is scaled, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from edge_runtime.pictures import write_picture
from tests.export.tiny_plans import spread
from training.denoiser import Denoiser
from training.recipes.denoise import DenoiseRecipe
from training.rescaling import rescale
from training.tasks.denoise import DenoiseTask

DEPTHS = (1, 2, 4)
SIGMA = torch.tensor([0.02, 0.2]).reshape(2, 1, 1, 1)


@pytest.fixture
def network() -> Denoiser:
    """Return one whose channels and first step are far from alike."""
    torch.manual_seed(0)
    made: Denoiser = spread(Denoiser(4, DEPTHS))
    with torch.no_grad():
        made.head.weight.mul_(torch.tensor([8.0, 2.0, 1.0, 0.2])[:, None, None, None])
        made.body.first.weight.mul_(torch.tensor([0.2, 1, 1, 5])[:, None, None, None])
        made.body.scale[0].fill_(0.3)
    return made


@pytest.fixture
def picture() -> Tensor:
    torch.manual_seed(1)
    return torch.rand(2, 3, 32, 32)


def largest_inputs(network: Denoiser, picture: Tensor) -> list[list[Tensor]]:
    """Return the largest size in each channel of what each convolution gets."""
    seen: list[list[Tensor]] = []
    hooks = []
    body = network.body
    for convolution in (body.first, *body.between, body.second):
        met: list[Tensor] = []
        hook = convolution.register_forward_pre_hook(
            lambda _, given, met=met: met.append(given[0].abs().amax(dim=(0, 2, 3)))
        )
        hooks.append(hook)
        seen.append(met)
    network.at_depth(picture, SIGMA, depth=DEPTHS[-1])
    for hook in hooks:
        hook.remove()
    return seen


@torch.no_grad()
def test_a_rescaled_network_makes_the_same_pictures(
    network: Denoiser, picture: Tensor
) -> None:
    """At every depth, on a picture and noise that ranges were not taken from."""
    other, sigma = torch.rand(1, 3, 20, 28), torch.full((1, 1, 1, 1), 0.1)
    before = [network.at_depth(other, sigma, depth=depth) for depth in DEPTHS]
    kernel = network.body.second.weight.clone()

    rescale(network, picture, SIGMA)

    assert not torch.allclose(kernel, network.body.second.weight, rtol=0.1)
    for depth, expected in zip(DEPTHS, before, strict=True):
        found = network.at_depth(other, sigma, depth=depth)
        torch.testing.assert_close(expected, found, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_steps_and_channels_come_closer(network: Denoiser, picture: Tensor) -> None:
    """The first step's stream is as large as the others', channels are less unlike."""
    before = largest_inputs(network, picture)
    rescale(network, picture, SIGMA)
    after = largest_inputs(network, picture)

    def first_step(streams: list[Tensor]) -> float:
        return float(streams[0].max() / torch.stack(streams[1:]).max())

    def unlike(values: list[Tensor]) -> float:
        each = torch.stack(values).amax(dim=0)
        return float(each.max() / each.min())

    assert first_step(before[0]) > 2.0
    assert first_step(after[0]) == pytest.approx(1.0, abs=0.2)
    for was, became in zip(before, after, strict=True):
        assert unlike(became) < 0.75 * unlike(was)


@pytest.mark.parametrize(
    ("quantize_aware", "has_ranges", "moves"),
    [(False, False, False), (True, False, True), (True, True, False)],
)
def test_a_stage_that_rounds_starts_with_equal_ranges(
    tmp_path: Path, quantize_aware: bool, has_ranges: bool, moves: bool
) -> None:
    """The first such stage moves the weights that it starts from, and no other."""
    for number in range(2):
        noise = np.random.default_rng(number).integers(0, 256, (32, 32, 3))
        write_picture(tmp_path / f"{number}.png", noise.astype(np.uint8))
    recipe = DenoiseRecipe(channels=4, patch_px=16, quantize_aware=quantize_aware)
    task = DenoiseTask(recipe, tmp_path)
    first = spread(task.network())
    if has_ranges:
        first.head_rounding.before.high.fill_(1.0)
    kernel = first.body.second.weight.detach().clone()

    task.prepared(first)

    assert moves != torch.equal(kernel, first.body.second.weight)
