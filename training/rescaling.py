"""Equal ranges for int8: a repeated network's numbers, scaled without a change of it.

After cross-layer equalization (Nagel et al. 2019, arXiv:1906.04721), here also over the
steps of a block: a ReLU lets a positive factor through, so what one kernel's channel is
divided by, the next kernel is multiplied by. All steps share one int8 range, which the
largest of them sets; the first, on a stream that still holds the whole picture, has
twice the values of the others, until it is halved and its rows doubled.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.denoiser import Denoiser
from training.rounding import CUT_OFF

STRENGTH = 0.5
"""Exponent: 1 would give all channels one range, and kernels that int8 holds badly."""


@torch.no_grad()
def rescale(network: Denoiser, picture: Tensor, sigma: Tensor) -> None:
    """Scale a network's weights for the ranges that it has on a batch.

    What the network makes of any picture stays as it is, but for float32's rounding.
    """
    body, size = network.body, _size(network)
    streams, hidden, branch = _ranges(network, picture, sigma)
    makes_stream = [network.head.weight, network.level, network.offset]

    first = float(streams[0].max() / streams[1:].max())
    for weight in (*makes_stream, body.bias[0]):
        weight.div_(first)
    for row in (body.scale[0], size[0]):
        row.mul_(first)
    streams[0] /= first

    factor = _factors(streams.amax(dim=0))
    for weight in (*makes_stream, body.second.weight):
        _divide(weight, factor)
    for kernel in (body.first.weight, network.tail.weight):
        _multiply(kernel, factor)

    convolutions = [body.first, *body.between, body.second]
    for number, values in enumerate(hidden):
        factor = _factors(values)
        _divide(convolutions[number].weight, factor)
        _multiply(convolutions[number + 1].weight, factor)
        if number == 0:
            body.bias.div_(factor)

    factor = _factors(branch)
    _divide(body.second.weight, factor)
    size.mul_(factor)


def _ranges(
    network: Denoiser, picture: Tensor, sigma: Tensor
) -> tuple[Tensor, list[Tensor], Tensor]:
    """Return the largest values of each channel.

    Those of the stream before each step and behind the last, (steps + 1, C); of what
    each convolution but the last gives, (C,) each; of the branch, (C,).
    """
    body, size = network.body, _size(network)
    unit = network.unit(sigma)
    h = network.stream(picture, sigma)
    streams, hidden, branches = [_largest(h)], [], []
    for k in range(len(body.scale)):
        branch = F.relu(body.first(h) + body.bias[k][:, None, None] * unit)
        seen = [_largest(branch)]
        for convolution in body.between:
            branch = F.relu(convolution(branch))
            seen.append(_largest(branch))
        branch = body.second(branch)
        hidden.append(torch.stack(seen))
        branches.append(_largest(branch))
        h = h * body.scale[k][:, None, None] + branch * size[k][:, None, None]
        streams.append(_largest(h))
    return (
        torch.stack(streams),
        list(torch.stack(hidden).amax(dim=0)),
        torch.stack(branches).amax(dim=0),
    )


def _size(network: Denoiser) -> nn.Parameter:
    assert network.body.size is not None  # a block that is rescalable has it
    return network.body.size


def _largest(values: Tensor) -> Tensor:
    """Return the largest size in each channel, (C,), of (B, C, Y, X), but for a few."""
    sizes = values.abs().transpose(0, 1).flatten(1)
    n_outside = int(CUT_OFF * sizes.shape[1])
    return sizes.kthvalue(sizes.shape[1] - n_outside, dim=1).values


def _factors(largest: Tensor) -> Tensor:
    """Return what each channel is divided by, 1 at most."""
    floor = 1e-3 * largest.max()  # a channel that is never used
    return (largest.clamp_min(floor) / largest.max()) ** STRENGTH


def _divide(weight: Tensor, factor: Tensor) -> None:
    """Divide the channels that come out of a kernel, or a row."""
    weight.div_(factor.reshape(-1, *[1] * (weight.ndim - 1)))


def _multiply(kernel: Tensor, factor: Tensor) -> None:
    """Multiply the channels that go into a kernel."""
    kernel.mul_(factor[:, None, None])
