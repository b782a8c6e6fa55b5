"""Weights that share a few values (k-means), of which training moves the values alone.

Deep Compression (arXiv:1510.00149), section 3: a weight of n numbers is stored as n
choices among k values, so an update that is compressed transfers little more than
log2(k) bits for each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from edge_runtime.errors import CheckpointError, SettingError

LEAST_NUMBERS = 1024
"""Smaller weights stay free: sharing 16 values would spare an update 512 bytes of a
thousand at most, and few numbers behind each value cost quality."""
INT8_PEAK = 127
MAX_ROUNDS = 10_000
"""Of k-means; the shipped weights needed 759 to 3,901 for 32 values."""


class SharedValues(nn.Module):
    """Parametrization: a weight whose every number is one of k trained values.

    The gradient of a value is the sum over the numbers that take it. The weight is
    that of the int8 file (`as_int8`), though the values are not rounded: all numbers
    of one value in a channel are rounded by the same distance, so errors add up where
    those of free weights cancel. Fine-tuned without, three denoisers of 16
    values lost 0.10, 0.30 and 0.55 dB by rounding their kernels alone; the free one
    lost 0.02 dB (3 held-out photographs, sigma 25, depth 8, simulated).
    """

    assignment: Tensor

    def __init__(self, assignment: Tensor, n_values: int) -> None:
        super().__init__()
        self.n_values = n_values
        # The value, 0 to k − 1, of each number of the weight, in the weight's shape.
        self.register_buffer("assignment", assignment)

    def forward(self, values: Tensor) -> Tensor:
        """Return the weight that the values, (k,), make, rounded."""
        # Its gradient is summed in order, by one thread, hence the same at each run;
        # that of `values[assignment]` is not.
        numbers = values.index_select(0, self.assignment.flatten())
        weight = numbers.view(self.assignment.shape)
        rounded = as_int8(weight.detach())
        return weight + (rounded - weight.detach())  # a gradient as if not rounded

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return the values, (k,), that come closest: means, 0 where none is meant."""
        members = self.assignment.flatten()
        sums = torch.zeros(self.n_values, dtype=torch.float64)
        sums.index_add_(0, members, weight.detach().flatten().double())
        n_members = members.bincount(minlength=self.n_values)
        return (sums / n_members.clamp(min=1)).to(weight.dtype)


def cluster_weights(network: nn.Module, n_values: int) -> dict[str, int]:
    """Make each large trained weight share `n_values`; return their sizes by name.

    Large is a weight with at least LEAST_NUMBERS numbers along two axes or more:
    kernels and matrices. Biases and per-step scales stay free, and so do weights that
    are frozen.

    Raises SettingError where there is no such weight, CheckpointError where one holds
    what is no finite number.
    """
    chosen = [
        (name, parameter)
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and is_large(parameter.shape)
    ]
    if not chosen:
        raise SettingError(
            f"clusters={n_values}: no trained weight has {LEAST_NUMBERS} numbers along"
            " two axes or more; leave out clusters="
        )
    sizes = {name: parameter.numel() for name, parameter in chosen}
    for name, parameter in chosen:
        if not parameter.isfinite().all():
            raise CheckpointError(
                f"clusters={n_values}: weight {name!r} holds NaN or infinity, expected"
                " finite numbers; start from another checkpoint"
            )
        assignment = nearest_values(parameter.detach().numpy(), n_values)
        owner, _, own_name = name.rpartition(".")
        parametrize.register_parametrization(
            network.get_submodule(owner),
            own_name,
            SharedValues(torch.from_numpy(assignment), n_values),
        )
    return sizes


def plain_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state of a clustered network as that of the network without clusters.

    A state without clusters is returned as it is.
    """
    plain = {}
    for name, tensor in state.items():
        owner, parametrized, rest = name.partition("parametrizations.")
        if not parametrized:
            plain[name] = tensor
        elif rest.endswith(".original"):
            own_name = rest.removesuffix(".original")
            assignment = state[f"{owner}{parametrized}{own_name}.0.assignment"]
            plain[f"{owner}{own_name}"] = tensor[assignment]
    return plain


def as_int8(weight: Tensor) -> Tensor:
    """Return a weight as int8 stores it: symmetric, a scale per slice of axis 0."""
    largest = weight.abs().amax(dim=tuple(range(1, weight.ndim)), keepdim=True)
    scale = largest.clamp(min=torch.finfo(weight.dtype).tiny) / INT8_PEAK
    return (weight / scale).round() * scale


def is_large(shape: Sequence[int]) -> bool:
    """Return whether a weight of this shape is one that `cluster_weights` reduces."""
    n_axes = sum(size > 1 for size in shape)
    return n_axes >= 2 and math.prod(shape) >= LEAST_NUMBERS


def nearest_values(weight: NDArray[np.float32], n_values: int) -> NDArray[np.int64]:
    """Return which of at most `n_values` shared values each number takes, from 0 up.

    k-means in one dimension: the cluster with the largest square error is split at its
    mean, and numbers go over to the nearest mean until none moves, again and again.
    There is no chance in it: equal weights get equal clusters, whatever the seed.
    A weight with no more different numbers than that keeps each of them.
    """
    numbers, inverse, counts = np.unique(
        weight.astype(np.float64), return_inverse=True, return_counts=True
    )
    edges = np.array([0, len(numbers)])  # of the clusters, in `numbers`, which rise
    for _ in range(MAX_ROUNDS):
        means = _means(numbers, counts, edges)
        moved = np.searchsorted(numbers, (means[1:] + means[:-1]) / 2)
        nearest = np.unique([0, *moved, len(numbers)])  # without empty clusters
        if np.array_equal(nearest, edges):
            if len(means) == n_values or len(means) == len(numbers):
                break
            nearest = _split_worst(numbers, counts, edges, means)
        edges = nearest
    assignment = np.searchsorted(edges[1:-1], inverse, side="right")
    return assignment.reshape(weight.shape)


def _means(
    numbers: NDArray[np.float64], counts: NDArray[np.int64], edges: NDArray[np.int64]
) -> NDArray[np.float64]:
    sums = np.add.reduceat(numbers * counts, edges[:-1])
    means: NDArray[np.float64] = sums / np.add.reduceat(counts, edges[:-1])
    return means


def _split_worst(
    numbers: NDArray[np.float64],
    counts: NDArray[np.int64],
    edges: NDArray[np.int64],
    means: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Return the edges with one more, at the mean of the cluster that errs most."""
    n_different = np.diff(edges)
    squares = counts * (numbers - np.repeat(means, n_different)) ** 2
    errors = np.add.reduceat(squares, edges[:-1])
    worst = int(np.argmax(np.where(n_different > 1, errors, -1.0)))
    between = np.searchsorted(numbers, means[worst])
    return np.insert(edges, worst + 1, between)
