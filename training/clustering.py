"""Weights that share a few values: k-means at first, and then what training finds.

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
from training.rounding import round_weight

VALUES, NUMBERS = ".original0", ".original1"
"""What a parametrization of two tensors calls them."""
LEAST_NUMBERS = 8192
"""Smaller weights stay free: few numbers, of which an update gains little, and in the
shipped networks those that meet the picture or write the letters. Before fine-tuning,
16 values cost the denoiser 2.0 dB in its head alone (5,616 numbers), 0.6 dB in its
tail and 0.5 dB in both kernels of its body (41,472), over 16 held-out photographs."""
MAX_ROUNDS = 10_000
"""Of k-means; the shipped weights needed 759 to 3,901 for 32 values."""


class SharedValues(nn.Module):
    """Parametrization: a weight whose every number is the nearest of k values.

    Training moves the values, of which each has the gradients of all numbers that take
    it, and the free numbers behind the weight, each with the gradient of its own: one
    that comes nearer to another value takes that. The values are used as int8 stores
    them, by one scale for the whole weight: a scale per channel would make k other
    values of them in each.
    """

    def __init__(self, n_values: int) -> None:
        super().__init__()
        self.n_values = n_values

    def forward(self, values: Tensor, numbers: Tensor) -> Tensor:
        """Return the weight, in the shape of the free numbers; values are (k,)."""
        rising = round_weight(values).sort().values
        nearest = torch.bucketize(
            numbers.detach(), (rising[1:] + rising[:-1]).detach() / 2
        )
        # The gradient of a value is summed in order, by one thread, hence the same at
        # each run; that of `rising[nearest]` is not.
        shared = rising.index_select(0, nearest.flatten()).view(numbers.shape)
        return shared + (numbers - numbers.detach())

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values of `nearest_values`, (k,), and the weight as it is."""
        assignment = torch.from_numpy(
            nearest_values(weight.detach().numpy(), self.n_values)
        ).flatten()
        sums = torch.zeros(self.n_values, dtype=torch.float64)
        sums.index_add_(0, assignment, weight.detach().flatten().double())
        n_members = assignment.bincount(minlength=self.n_values)
        # A weight of fewer numbers leaves values without any: zeros.
        return (sums / n_members.clamp(min=1)).to(weight.dtype), weight


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
        owner, _, own_name = name.rpartition(".")
        parametrize.register_parametrization(
            network.get_submodule(owner),
            own_name,
            SharedValues(n_values),
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
        elif rest.endswith(VALUES):
            numbers = state[name.removesuffix(VALUES) + NUMBERS]
            own_name = rest.removesuffix(VALUES)
            plain[f"{owner}{own_name}"] = SharedValues(len(tensor))(tensor, numbers)
    return plain


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
