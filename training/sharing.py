"""Layers that use one weight many times, written so that the sharing is visible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.rounding import ConvRounding


class RepeatedBlock(nn.Module):
    """One residual block of 3×3 convolutions, run again and again.

    Step k computes

        h = scale[k] * h + conv(relu(conv(h, first) + bias[k]), second)

    The kernels `first` and `second` are shared by all steps; scale and bias are each
    step's own, a row each of two tables. So one step, given its rows, is a function
    that a device can call as often as it likes. Both stand where no exporter can fold
    them into a kernel, which would store it once per step. (An affine right behind a
    shared convolution became 18 distinct kernels in the file: measured.)

    With more than two `n_convolutions`, those between the first and the last, each with
    a bias and a ReLU, work on the branch.

    With `n_banks`, there are so many rows for each step, and for each bias between, and
    a mixture of them is used that the caller asks for: one block, several purposes.

    A `rescalable` block has no biases between, and multiplies each step's branch by a
    row of a third table, `size`. What it makes of a stream and of biases n times as
    large is n times as large then: values can be brought into one int8 range, those of
    pictures by the `unit` that biases are given in, those of steps by `rescale`.

    With `rounding`, activations and kernels can be rounded as static int8 rounds them.
    """

    def __init__(
        self,
        channels: int,
        n_steps: int,
        *,
        n_convolutions: int = 2,
        n_banks: int = 1,
        rescalable: bool = False,
        rounding: bool = False,
    ) -> None:
        super().__init__()
        n_between = n_convolutions - 2
        has_bias = n_banks == 1 and not rescalable
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.between = nn.ModuleList(
            [
                nn.Conv2d(channels, channels, 3, padding=1, bias=has_bias)
                for _ in range(n_between)
            ]
        )
        n_rows = n_between if n_banks > 1 else 0
        self.between_bias = nn.ParameterList(
            [nn.Parameter(torch.zeros(n_banks * channels)) for _ in range(n_rows)]
        )
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        with torch.no_grad():
            self.second.weight.mul_(0.2)  # many residual steps start near identity
        self.scale = nn.Parameter(torch.ones(n_steps, n_banks * channels))
        self.bias = nn.Parameter(torch.zeros(n_steps, n_banks * channels))
        self.size = nn.Parameter(torch.ones(n_steps, channels)) if rescalable else None
        self.first_rounding = ConvRounding(enabled=rounding)
        self.between_rounding = nn.ModuleList(
            [ConvRounding(enabled=rounding) for _ in range(n_between)]
        )
        self.second_rounding = ConvRounding(enabled=rounding)

    def steps(
        self,
        h: Tensor,
        depth: int,
        mixture: Tensor | None = None,
        unit: Tensor | float = 1.0,
    ) -> Iterator[Tensor]:
        """Yield the stream, (B, C, Y, X), after each of the first `depth` steps.

        `mixture`, (B, n_banks, 1, 1), is how much of each bank's rows is used; `unit`,
        (B, 1, 1, 1), what the steps' biases are multiplied by.
        """
        for k in range(depth):
            scale, bias = (mixed(t[k], mixture) for t in (self.scale, self.bias))
            bias = bias * unit
            branch = F.relu(self.first_rounding(h, self.first) + bias)
            for number, run in enumerate(self.between_rounding):
                branch = run(branch, self.between[number])
                if self.between_bias:
                    branch = branch + mixed(self.between_bias[number], mixture)
                branch = F.relu(branch)
            branch = self.second_rounding(branch, self.second)
            if self.size is not None:
                branch = branch * mixed(self.size[k], None)
            h = h * scale + branch
            yield h

    def forward(
        self,
        h: Tensor,
        depth: int,
        mixture: Tensor | None = None,
        unit: Tensor | float = 1.0,
    ) -> Tensor:
        """Return the stream, (B, C, Y, X), after `depth` steps, told as for `steps`."""
        *_, last = self.steps(h, depth, mixture, unit)
        return last

    def radius(self, depth: int) -> int:
        """How far, in pixels of its own grid, an output of `depth` steps sees."""
        return (2 + len(self.between)) * depth


def mixed(rows: Tensor, mixture: Tensor | None) -> Tensor:
    """Return a row, (C,), as (C, 1, 1); a mixture of n, (n · C,), as (B, C, 1, 1)."""
    if mixture is None:
        return rows[:, None, None]
    banks = rows.reshape(1, mixture.shape[1], -1, 1)  # (1, n, C, 1)
    return (banks * mixture).sum(dim=1)[..., None]


class SharedGRU(nn.Module):
    """One GRU cell run over L layers, with a scale and bias per layer.

    Layer l computes `y = y + (GRU(y) * scale[l] + bias[l])`. The affine's result is
    added to the residual stream before any linear map sees it: an affine directly in
    front of a linear map would be folded into it, once per layer.

    `forward` trains with the fused `nn.GRU`, called once per layer on the whole
    sequence; `step` is the same computation as plain linear maps, for export.
    """

    def __init__(self, hidden: int, n_layers: int) -> None:
        super().__init__()
        self.cell = nn.GRU(hidden, hidden, batch_first=True)
        self.scale = nn.ParameterList(
            [nn.Parameter(torch.ones(hidden)) for _ in range(n_layers)]
        )
        self.bias = nn.ParameterList(
            [nn.Parameter(torch.zeros(hidden)) for _ in range(n_layers)]
        )

    @property
    def n_layers(self) -> int:
        """How often the cell is used, one above the other."""
        return len(self.scale)

    def forward(self, y: Tensor) -> Tensor:
        """Return the stream, (B, T, H), behind the last layer; states begin at zero."""
        for scale, bias in zip(self.scale, self.bias, strict=True):
            out, _ = self.cell(y)
            y = y + (out * scale + bias)
        return y

    def step(
        self, y: Tensor, states: Sequence[Tensor]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the stream, (T, H), of a chunk of one utterance and the next states.

        `states` holds one (1, H) per layer, all zero at the utterance's start. Loops
        unroll on export; every product is an `F.linear` over one of two weights.
        """
        input_map, _, input_bias, _ = self.cell.all_weights[0]
        next_states = []
        for state, scale, bias in zip(states, self.scale, self.bias, strict=True):
            from_input = F.linear(y, input_map, input_bias)  # (T, 3H)
            outs = []
            for t in range(len(from_input)):  # split fails to export at T = 1
                state = self._recur(from_input[t : t + 1], state)
                outs.append(state)
            y = y + (torch.cat(outs) * scale + bias)  # (T, H)
            next_states.append(state)
        return y, tuple(next_states)

    def _recur(self, from_input: Tensor, state: Tensor) -> Tensor:
        _, state_map, _, state_bias = self.cell.all_weights[0]
        from_state = F.linear(state, state_map, state_bias)  # (1, 3H)
        reset_in, update_in, new_in = from_input.chunk(3, dim=1)  # (1, H) each
        reset_st, update_st, new_st = from_state.chunk(3, dim=1)  # (1, H) each
        reset = torch.sigmoid(reset_in + reset_st)
        update = torch.sigmoid(update_in + update_st)
        new = torch.tanh(new_in + reset * new_st)
        return new + update * (state - new)


class TiedProjection(nn.Module):
    """An embedding whose table is also the output projection (arXiv:1608.05859)."""

    def __init__(self, n_symbols: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_symbols, hidden) / hidden**0.5)
        self.bias = nn.Parameter(torch.zeros(n_symbols))

    def embed(self, symbols: Tensor) -> Tensor:
        """Return the rows, (…, H), of integer symbols, (…)."""
        return F.embedding(symbols, self.weight)

    def forward(self, h: Tensor) -> Tensor:
        """Return logits, (…, V), of hidden vectors, (…, H)."""
        return F.linear(h, self.weight, self.bias)


class TransposedConv(nn.Module):
    """Halves a picture's size with a convolution, doubles it with the same kernel.

    The kernel is 4×4 with stride 2 and padding 1, so even sizes come back exactly
    and no output padding is needed, which LiteRT's converter refuses.
    """

    KERNEL_PX = 4
    STRIDE_PX = 2
    PADDING_PX = 1

    def __init__(self, outer: int, inner: int) -> None:
        super().__init__()
        fan = outer * self.KERNEL_PX**2
        self.weight = nn.Parameter(
            torch.randn(inner, outer, self.KERNEL_PX, self.KERNEL_PX) / fan**0.5
        )
        self.inner_bias = nn.Parameter(torch.zeros(inner))
        self.outer_bias = nn.Parameter(torch.zeros(outer))

    def down(self, picture: Tensor) -> Tensor:
        """Return (B, inner, Y/2, X/2) of (B, outer, Y, X); Y and X are even."""
        return F.conv2d(
            picture, self.weight, self.inner_bias, self.STRIDE_PX, self.PADDING_PX
        )

    def up(self, h: Tensor) -> Tensor:
        """Return (B, outer, 2Y, 2X) of (B, inner, Y, X)."""
        return F.conv_transpose2d(
            h, self.weight, self.outer_bias, self.STRIDE_PX, self.PADDING_PX
        )

    def forward(self, picture: Tensor) -> Tensor:
        """Return the picture, (B, outer, Y, X), after down, ReLU and up."""
        return self.up(F.relu(self.down(picture)))
