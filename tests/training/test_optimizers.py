"""Which optimizer moves which weight, and how far."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from training.denoiser import Denoiser
from training.optimizers import KernelMuon, make_optimizers, orthogonal, set_rate
from training.recipes.denoise import DenoiseRecipe
from training.tasks.denoise import DenoiseTask

TINY = DenoiseRecipe(
    channels=8,
    depths=(1, 2),
    depth_weights=(0.5, 1.0),
    patch_px=16,
    learning_rate=1e-3,
    muon_rate=0.02,
)


class PhotolessTask(DenoiseTask):
    """Names the denoiser's weights and needs no photographs."""

    def __init__(self, recipe: DenoiseRecipe) -> None:
        self.recipe = recipe


def one_step(recipe: DenoiseRecipe, rate: float) -> tuple[Denoiser, Denoiser]:
    """Return a network before and after a step down a random slope."""
    torch.manual_seed(3)
    before, after = recipe.network(), recipe.network()
    after.load_state_dict(before.state_dict())
    for parameter in after.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizers = make_optimizers(after, PhotolessTask(recipe), recipe)
    set_rate(optimizers, rate)
    for optimizer in optimizers:
        optimizer.step()
    return before, after


def test_muon_moves_kernels_equally_far_in_all_directions() -> None:
    """The step of a shared kernel, as a matrix, is nearly orthogonal."""
    before, after = one_step(TINY, TINY.learning_rate)

    step = (after.body.first.weight - before.body.first.weight).flatten(1)
    lengths = torch.linalg.svdvals(step.detach()) / TINY.muon_rate
    assert 0.5 < lengths.min() and lengths.max() < 1.5


def test_adam_moves_the_other_weights() -> None:
    """Adam's first step is the learning rate, and a tenth of it for gentle weights."""
    before, after = one_step(TINY, 1e-3)

    steps = {
        name: (moved - kept).abs().max().item()
        for (name, kept), moved in zip(
            before.named_parameters(), after.parameters(), strict=True
        )
    }
    assert pytest.approx(1e-3, rel=1e-3) == steps["tail.weight"]
    assert pytest.approx(1e-4, rel=1e-3) == steps["body.bias"]


def test_adam_moves_all_weights_at_no_muon_rate() -> None:
    """A muon_rate of 0 leaves Adam alone."""
    recipe = replace(TINY, muon_rate=0.0)

    (optimizer,) = make_optimizers(recipe.network(), PhotolessTask(recipe), recipe)

    n_moved = sum(len(group["params"]) for group in optimizer.param_groups)
    assert isinstance(optimizer, torch.optim.Adam)
    assert len(list(recipe.network().parameters())) == n_moved


def test_frozen_kernels_stay() -> None:
    """Muon takes only what is trained."""
    network = TINY.network()
    network.body.first.weight.requires_grad_(False)

    *_, muon = make_optimizers(network, PhotolessTask(TINY), TINY)

    assert isinstance(muon, KernelMuon)
    n_others = 1 + len(network.body.between)
    assert n_others == len(muon.param_groups[0]["params"])


@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (6, 6)])
def test_orthogonal_keeps_the_directions(shape: tuple[int, int]) -> None:
    """Singular vectors stay, singular values come near one."""
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)

    values = left.t() @ orthogonal(matrix) @ right.t()

    off_diagonal = values - torch.diag(torch.diag(values))
    assert off_diagonal.abs().max() < 1e-4
    assert 0.5 < torch.diag(values).min() and torch.diag(values).max() < 1.5


def test_kernels_that_keep_their_norm_turn() -> None:
    """Without it the same steps make them longer."""
    lengths = {}
    for keeps_norm in (True, False):
        torch.manual_seed(0)
        kernel = torch.nn.Parameter(torch.randn(6, 2, 3))
        first = kernel.detach().clone()
        muon = KernelMuon([kernel], keeps_norm=keeps_norm)
        muon.param_groups[0]["lr"] = 0.5
        for _ in range(20):
            kernel.grad = torch.randn_like(kernel)
            muon.step()
        lengths[keeps_norm] = (kernel.norm() / first.norm()).item()
        assert not torch.allclose(kernel, first, atol=0.1)

    assert lengths[True] == pytest.approx(1.0, abs=1e-5)
    assert lengths[False] > 1.2
