"""Shared values: how numbers find theirs, and how training moves them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_runtime.errors import CheckpointError, SettingError
from training.clustering import (
    cluster_weights,
    nearest_values,
    plain_weights,
)
from training.sharing import RepeatedBlock, SharedGRU

WIDTH = 91
"""Of layers that are just large enough to be clustered."""


def normal(n: int, seed: int = 0) -> NDArray[np.float32]:
    """Return numbers as weights have them."""
    return np.random.default_rng(seed).standard_normal(n).astype(np.float32)


def free_tensors(network: nn.Module, weight: str = "") -> tuple[Tensor, Tensor]:
    """Return the values and the free numbers behind one clustered weight."""
    values, numbers = (
        parameter
        for name, parameter in network.named_parameters()
        if "parametrizations" in name and name.startswith(weight)
    )
    return values, numbers


def squared_error(numbers: NDArray[np.float32], assignment: NDArray[np.int64]) -> float:
    """Return the sum of squares to the mean of each cluster."""
    members = [numbers[assignment == value] for value in np.unique(assignment)]
    return float(sum(((m - m.mean()) ** 2).sum() for m in members))


def best_squared_error(numbers: NDArray[np.float32], n_values: int) -> float:
    """Return the least error of all clusters, which are runs of the sorted numbers."""
    rising = np.sort(numbers.astype(np.float64))
    n = len(rising) + 1
    costs = np.full((n, n), np.inf)  # of one run, from the row to before the column
    for first, end in itertools.combinations(range(n), 2):
        costs[first, end] = rising[first:end].var() * (end - first)
    least = costs[0]
    for _ in range(n_values - 1):
        least = (least[:, None] + costs).min(axis=0)
    return float(least[-1])


def test_clusters_that_stand_apart_are_found() -> None:
    """Three heaps of numbers become three values, in rising order."""
    numbers = np.array([5.1, -3, 0.1, 4.9, 0, -3.1, 5], np.float32)

    assert [2, 0, 1, 2, 1, 0, 2] == nearest_values(numbers, 3).tolist()


def test_error_is_near_the_best_possible() -> None:
    """Against the best of all clusters, a tenth is lost at most."""
    numbers = normal(200)

    found = squared_error(numbers, nearest_values(numbers, 16))

    assert found <= 1.1 * best_squared_error(numbers, 16)


def test_every_number_takes_the_nearest_value() -> None:
    """No number lies closer to the mean of another cluster."""
    numbers = normal(5000)

    assignment = nearest_values(numbers, 32)

    means = np.array([numbers[assignment == v].mean() for v in range(32)])
    nearest = np.abs(numbers[:, None] - means).argmin(axis=1)
    assert np.array_equal(nearest, assignment)


def test_equal_weights_get_equal_clusters() -> None:
    """There is no chance in it, and no order of the numbers that matters."""
    numbers = normal(3000)
    order = np.random.default_rng(1).permutation(3000)

    first, again = nearest_values(numbers, 16), nearest_values(numbers, 16)

    assert np.array_equal(first, again)
    assert np.array_equal(first[order], nearest_values(numbers[order], 16))


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([2.0, 2.0, 2.0], [0, 0, 0]),
        ([3.0, 1.0, 2.0, 1.0], [2, 0, 1, 0]),
        ([0.0, -0.0], [0, 0]),
        ([1.0, float(np.nextafter(np.float32(1), np.float32(2)))], [0, 1]),
        ([7.0], [0]),
    ],
)
def test_few_different_numbers_are_kept(
    numbers: list[float], expected: list[int]
) -> None:
    """A weight that has no more different numbers than values loses nothing."""
    weight = np.array(numbers, np.float32)

    assert expected == nearest_values(weight, 16).tolist()


def test_an_outlier_leaves_no_value_unused() -> None:
    """One large number takes one value; the others still share all that are left."""
    numbers = np.append(normal(2000), np.float32(1e6))

    assert set(range(16)) == set(nearest_values(numbers, 16).tolist())


def test_a_weight_is_rebuilt_from_its_values() -> None:
    """Clustering a weight twice changes nothing the second time, bit for bit."""
    layer = nn.Linear(WIDTH, WIDTH)
    cluster_weights(layer, 16)
    once = plain_weights(layer.state_dict())["weight"].clone()
    copy = nn.Linear(WIDTH, WIDTH)
    copy.load_state_dict(plain_weights(layer.state_dict()))

    cluster_weights(copy, 16)

    assert 16 == len(once.unique())
    assert torch.equal(once, plain_weights(copy.state_dict())["weight"])


def test_gradient_of_a_value_is_the_sum_over_its_members() -> None:
    """A number has the gradient of a free weight, a value that of all that take it."""
    free, shared = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
    cluster_weights(shared, 16)
    free.load_state_dict(plain_weights(shared.state_dict()))
    inputs = torch.randn(5, WIDTH)

    for layer in (free, shared):
        layer(inputs).square().sum().backward()

    values, numbers = free_tensors(shared)
    taken = shared.weight.detach().unique()
    expected = torch.stack(
        [free.weight.grad[free.weight == value].sum() for value in taken]
    )
    torch.testing.assert_close(expected, values.grad)
    torch.testing.assert_close(free.weight.grad, numbers.grad)


def test_a_number_takes_the_value_that_it_comes_nearest_to() -> None:
    """What training moves past the middle of two values takes the other one."""
    layer = nn.Linear(WIDTH, WIDTH)
    cluster_weights(layer, 16)
    before = layer.weight.detach().clone()
    rising = before.unique()
    _, numbers = free_tensors(layer)

    with torch.no_grad():
        numbers[0, 0] = 0.4 * rising[5] + 0.6 * rising[6]
        numbers[0, 1] = 0.6 * rising[5] + 0.4 * rising[6]

    assert torch.equal(rising[6], layer.weight[0, 0])
    assert torch.equal(rising[5], layer.weight[0, 1])
    assert torch.equal(before[1:], layer.weight[1:])


def test_a_kernel_that_steps_share_stays_one() -> None:
    """Every use of a repeated block's kernel reads, and moves, the same values."""
    block = RepeatedBlock(31, n_steps=3)
    pictures = torch.randn(2, 31, 6, 6)
    sizes = cluster_weights(block, 16)
    plain = RepeatedBlock(31, n_steps=3)
    plain.load_state_dict(plain_weights(block.state_dict()))

    for module in (block, plain):
        module(pictures, 3).square().mean().backward()

    assert {"first.weight": 8649, "second.weight": 8649} == sizes
    torch.testing.assert_close(plain(pictures, 3), block(pictures, 3))
    values, _ = free_tensors(block, "first")
    torch.testing.assert_close(plain.first.weight.grad.sum(), values.grad.sum())


def test_a_fused_recurrent_cell_reads_the_values_of_now() -> None:
    """nn.GRU keeps its weights in a list of its own; it follows the values."""
    gru = SharedGRU(WIDTH, 2)
    cluster_weights(gru, 16)
    stream = torch.randn(1, 5, WIDTH)
    before = gru(stream)

    with torch.no_grad():
        for name, parameter in gru.named_parameters():
            if "parametrizations" in name:
                parameter.mul_(2)

    plain = SharedGRU(WIDTH, 2)
    plain.load_state_dict(plain_weights(gru.state_dict()))
    torch.testing.assert_close(plain(stream), gru(stream))
    assert not torch.equal(before, gru(stream))


def test_small_and_frozen_weights_stay_free() -> None:
    """Biases, vectors, small matrices and what does not train are let be."""
    network = nn.Sequential(
        nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH - 1), nn.Linear(WIDTH, WIDTH)
    )
    network[2].weight.requires_grad_(False)
    network.register_parameter("scale", nn.Parameter(torch.randn(2000, 1, 1)))
    before = {k: v.clone() for k, v in network.state_dict().items()}

    sizes = cluster_weights(network, 16)

    after = plain_weights(network.state_dict())
    assert {"0.weight": WIDTH * WIDTH} == sizes
    assert before.keys() == after.keys()
    assert ["0.weight"] == [k for k in before if not torch.equal(before[k], after[k])]


def test_a_network_of_small_weights_is_refused() -> None:
    """Where nothing can be shared, the line says how large a weight has to be."""
    with pytest.raises(SettingError) as caught:
        cluster_weights(nn.Linear(8, 8), 16)

    assert (
        "clusters=16: no trained weight has 8192 numbers along two axes or more; leave"
        " out clusters=" == str(caught.value)
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(number: float) -> None:
    """A weight with NaN or infinity has no clusters; the line names it."""
    layer = nn.Linear(WIDTH, WIDTH)
    with torch.no_grad():
        layer.weight[3, 4] = number

    with pytest.raises(CheckpointError) as caught:
        cluster_weights(layer, 32)

    assert (
        "clusters=32: weight 'weight' holds NaN or infinity, expected finite numbers;"
        " start from another checkpoint" == str(caught.value)
    )


def test_a_state_without_clusters_is_as_it_was() -> None:
    """Nothing is renamed where nothing is shared."""
    state = nn.Linear(3, 2).state_dict()

    assert list(state.items()) == list(plain_weights(state).items())


def test_training_sees_the_weights_of_the_int8_file() -> None:
    """Values are 16 of 255 codes of one scale, within half a step of the trained."""
    layer = nn.Linear(WIDTH, WIDTH)
    cluster_weights(layer, 16)
    values, _ = free_tensors(layer)

    seen = layer.weight.detach()

    step = values.detach().abs().max() / 127
    found = seen.unique()
    assert 16 == len(found)
    torch.testing.assert_close((found / step).round() * step, found)
    assert bool(((found - values.detach().sort().values).abs() <= 0.501 * step).all())
    assert torch.equal(seen, plain_weights(layer.state_dict())["weight"])
