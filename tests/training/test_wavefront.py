"""All layers of a shared GRU at once: what one layer after the other computes."""

import pytest
import torch
from torch import Tensor, nn

from training.wavefront import wavefront


def layer_by_layer(y: Tensor, cell: nn.GRU, scale: Tensor, bias: Tensor) -> Tensor:
    for factor, shift in zip(scale, bias, strict=True):
        out, _ = cell(y)
        y = y + (out * factor + shift)
    return y


@pytest.mark.parametrize(("n_layers", "n_steps"), [(4, 9), (1, 5), (5, 3), (3, 1)])
def test_streams_and_gradients_are_those_of_layer_after_layer(
    n_layers: int, n_steps: int
) -> None:
    torch.manual_seed(0)
    hidden = 7
    cell = nn.GRU(hidden, hidden, batch_first=True).double()
    scale = torch.randn(n_layers, hidden, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(n_layers, hidden, dtype=torch.float64, requires_grad=True)
    y = torch.randn(2, n_steps, hidden, dtype=torch.float64, requires_grad=True)
    weights = [y, scale, bias, *cell.parameters()]
    found = []
    for run in (layer_by_layer, wavefront):
        last = run(y, cell, scale, bias)
        loss = (last * torch.arange(hidden)).cos().sum()
        found.append([last, *torch.autograd.grad(loss, weights)])
    for expected, got in zip(*found, strict=True):
        torch.testing.assert_close(got, expected)
