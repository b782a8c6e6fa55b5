from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from training.sharing import RepeatedBlock, SharedGRU, TiedProjection, TransposedConv


def n_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_a_repeated_block_is_stored_once() -> None:
    """Eight steps cost two kernels, and a scale and a bias each."""
    body = RepeatedBlock(4, n_steps=8)

    assert 2 * 4 * 4 * 9 + 8 * 2 * 4 == n_parameters(body)


def test_a_repeated_block_runs_as_its_formula_says() -> None:
    """Every step runs the shared kernels with its own row of scales and biases."""
    body = RepeatedBlock(3, n_steps=2)
    for parameter in body.parameters():
        nn.init.normal_(parameter, std=0.3)
    h = torch.randn(1, 3, 7, 7)

    expected = h
    for k in range(2):
        inner = F.conv2d(expected, body.first.weight, padding=1)
        inner = F.relu(inner + body.bias[k][:, None, None])
        outer = F.conv2d(inner, body.second.weight, padding=1)
        expected = body.scale[k][:, None, None] * expected + outer
    torch.testing.assert_close(expected, body(h, depth=2))


def test_convolutions_between_have_a_bias_and_a_relu() -> None:
    """They work on the branch, and each lets the block see one pixel further."""
    body = RepeatedBlock(3, n_steps=1, n_convolutions=4)
    for parameter in body.parameters():
        nn.init.normal_(parameter, std=0.3)
    h = torch.randn(1, 3, 7, 7)

    branch = F.conv2d(h, body.first.weight, padding=1) + body.bias[0][:, None, None]
    for convolution in body.between:
        branch = convolution(F.relu(branch))
    branch = F.conv2d(F.relu(branch), body.second.weight, padding=1)

    expected = body.scale[0][:, None, None] * h + branch
    torch.testing.assert_close(expected, body(h, depth=1))
    assert [2, 4] == [RepeatedBlock(3, 1).radius(1), body.radius(1)]


def shared_gru(hidden: int = 6, n_layers: int = 3) -> SharedGRU:
    gru = SharedGRU(hidden, n_layers)
    for parameter in [*gru.scale, *gru.bias]:
        nn.init.normal_(parameter)
    return gru


@pytest.mark.parametrize("n_layers", [1, 2, 5])
def test_a_shared_gru_is_stored_once(n_layers: int) -> None:
    """Any number of layers costs one cell, and a scale and bias each."""
    hidden = 6
    cell = 2 * 3 * hidden * hidden + 2 * 3 * hidden

    assert cell + n_layers * 2 * hidden == n_parameters(SharedGRU(hidden, n_layers))


def test_every_layer_of_a_shared_gru_trains_the_same_cell() -> None:
    """The cell's gradient is the sum of what each layer alone would give."""
    gru = shared_gru()
    untied = [nn.GRU(6, 6, batch_first=True) for _ in range(3)]
    for cell in untied:
        cell.load_state_dict(gru.cell.state_dict())
    y = torch.randn(2, 7, 6)

    gru(y).square().sum().backward()
    stream = y
    for cell, scale, bias in zip(untied, gru.scale, gru.bias, strict=True):
        stream = stream + (cell(stream)[0] * scale + bias)
    stream.square().sum().backward()

    expected = sum(cell.weight_hh_l0.grad for cell in untied)
    torch.testing.assert_close(expected, gru.cell.weight_hh_l0.grad)


@pytest.mark.parametrize("chunk", [1, 3, 4, 12])
def test_a_shared_gru_steps_as_it_trains(chunk: int) -> None:
    """Linear maps over chunks with explicit states equal the fused sequence."""
    gru = shared_gru()
    y = torch.randn(1, 12, 6)
    states = tuple(torch.zeros(1, 6) for _ in range(3))

    found = []
    for part in y[0].split(chunk):
        out, states = gru.step(part, states)
        found.append(out)

    torch.testing.assert_close(gru(y)[0], torch.cat(found))


def test_a_shared_gru_exports_linear_maps_over_two_weights() -> None:
    """The exported step reads its two matrices in every linear map, and no other."""

    class Step(nn.Module):
        def __init__(self, gru: SharedGRU) -> None:
            super().__init__()
            self.gru = gru

        def forward(self, y: torch.Tensor, *states: torch.Tensor) -> torch.Tensor:
            return self.gru.step(y, states)[0]

    inputs = (torch.randn(4, 6), *(torch.zeros(1, 6) for _ in range(3)))
    exported = torch.export.export(Step(shared_gru()), inputs)

    maps = [
        node.args[1].name
        for node in exported.graph.nodes
        if node.target is torch.ops.aten.linear.default
    ]
    assert 3 + 3 * 4 == len(maps)
    assert {"p_gru_cell_weight_ih_l0", "p_gru_cell_weight_hh_l0"} == set(maps)


def test_a_tied_projection_is_stored_once() -> None:
    """Embedding and output share one table; only the output's bias is its own."""
    tied = TiedProjection(n_symbols=11, hidden=4)
    symbols = torch.tensor([[0, 10], [3, 3]])
    h = torch.randn(2, 4)

    assert 11 * 4 + 11 == n_parameters(tied)
    torch.testing.assert_close(tied.weight[symbols], tied.embed(symbols))
    torch.testing.assert_close(h @ tied.weight.T + tied.bias, tied(h))


def test_a_transposed_convolution_is_stored_once() -> None:
    """Both directions share one kernel; each has a bias of its own."""
    assert 3 * 5 * 16 + 5 + 3 == n_parameters(TransposedConv(outer=3, inner=5))


def test_up_is_the_transpose_of_down() -> None:
    """Without biases ⟨down(x), h⟩ equals ⟨x, up(h)⟩, which defines the transpose."""
    conv = TransposedConv(outer=3, inner=5)
    picture, h = torch.randn(1, 3, 8, 12), torch.randn(1, 5, 4, 6)

    torch.testing.assert_close(
        (conv.down(picture) * h).sum(), (picture * conv.up(h)).sum()
    )


def test_even_sizes_come_back_exactly() -> None:
    """Down and up again gives the picture's own size."""
    conv = TransposedConv(outer=3, inner=5)

    assert (2, 3, 10, 14) == conv(torch.randn(2, 3, 10, 14)).shape
