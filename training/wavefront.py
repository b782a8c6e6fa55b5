"""A GRU cell shared by layers, run for all of them at once: training in less time.

Layer l at step t needs layer l - 1 at step t and itself at step t - 1, so those with
the same l + t make a wave whose products are one product. Layer after layer, as
`nn.GRU` runs, reads the kernels for each step of each layer; waves read them L times
more seldom. Forward and backward through 4 layers of 320, 130 steps, on one core of an
AMD EPYC took 0.76 of the time for batches of 12, and 1.06 for batches of 24.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def wavefront(y: Tensor, cell: nn.GRU, scale: Tensor, bias: Tensor) -> Tensor:
    """Return the stream, (B, T, H), behind the last layer.

    It computes, for y of (B, T, H) and scale and bias of (L, H), what `SharedGRU` does:
    `y = y + (GRU(y) * scale[l] + bias[l])` for each layer l, from states of zero.
    """
    input_map, state_map, input_bias, state_bias = cell.all_weights[0]
    last: Tensor = _Wavefront.apply(
        y, input_map, state_map, input_bias, state_bias, scale, bias
    )
    return last


class _Wavefront(torch.autograd.Function):
    """Buffers are (W, L, B, …), with W = T + L - 1 waves; what no layer uses is 0."""

    @staticmethod
    def forward(
        ctx: Any,
        y: Tensor,
        input_map: Tensor,
        state_map: Tensor,
        input_bias: Tensor,
        state_bias: Tensor,
        scale: Tensor,
        bias: Tensor,
    ) -> Tensor:
        n_layers, (n_batch, n_steps, hidden) = len(scale), y.shape
        n_waves = n_steps + n_layers - 1
        shape = (n_layers, n_batch, hidden)
        inputs = y.new_zeros(n_waves + 1, *shape)
        inputs[:n_steps, 0] = y.transpose(0, 1)
        states = y.new_zeros(n_waves + 1, *shape)
        gates = y.new_zeros(n_waves, n_layers, n_batch, 3 * hidden)
        from_states = y.new_zeros(n_waves, *shape)
        outs = y.new_zeros(n_waves, *shape)
        to_gates, to_states = input_map.t(), state_map.t()
        for wave in range(n_waves):
            some = _active(wave, n_steps, n_layers)
            x, h = inputs[wave, some], states[wave, some]
            gate = torch.addmm(input_bias, x.flatten(0, 1), to_gates)  # (n · B, 3H)
            recurrent = torch.addmm(state_bias, h.flatten(0, 1), to_states)
            both = gate[:, : 2 * hidden]
            both.add_(recurrent[:, : 2 * hidden]).sigmoid_()
            reset, update = both.chunk(2, dim=1)
            new = gate[:, 2 * hidden :]
            new.addcmul_(reset, recurrent[:, 2 * hidden :]).tanh_()
            gates[wave, some] = gate.view(-1, n_batch, 3 * hidden)
            from_states[wave, some] = recurrent[:, 2 * hidden :].view_as(x)
            state = torch.lerp(new, h.flatten(0, 1), update).view_as(x)
            states[wave + 1, some] = state
            out = torch.addcmul(x + bias[some, None], state, scale[some, None])
            outs[wave, some] = out
            above = slice(some.start + 1, min(some.stop + 1, n_layers))
            inputs[wave + 1, above] = out[: above.stop - above.start]
        ctx.save_for_backward(
            inputs, states, gates, from_states, input_map, state_map, scale
        )
        return outs[n_layers - 1 :, n_layers - 1].transpose(0, 1).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_last: Tensor) -> tuple[Tensor, ...]:
        inputs, states, gates, from_states, input_map, state_map, scale = (
            ctx.saved_tensors
        )
        n_waves, n_layers, n_batch, hidden = from_states.shape
        n_steps = n_waves - n_layers + 1
        # Gradients of what leaves the layers; filled from above while waves go back.
        to_outs = torch.zeros_like(from_states)
        to_outs[n_layers - 1 :, n_layers - 1] = to_last.transpose(0, 1)
        to_gates = torch.zeros_like(gates)
        to_news = torch.zeros_like(from_states)  # of the part that comes of a state
        to_state = torch.zeros_like(from_states[0])
        to_first = inputs.new_zeros(n_steps, n_batch, hidden)
        for wave in reversed(range(n_waves)):
            some = _active(wave, n_steps, n_layers)
            reset, update, new = gates[wave, some].chunk(3, dim=2)
            h, to_out = states[wave, some], to_outs[wave, some]
            d_state = torch.addcmul(to_state[some], to_out, scale[some, None])
            d_new = d_state * (1 - update) * (1 - new * new)
            d_gate = to_gates[wave, some]
            d_gate[..., :hidden] = d_new * from_states[wave, some] * reset * (1 - reset)
            d_gate[..., hidden : 2 * hidden] = (
                d_state * (h - new) * update * (1 - update)
            )
            d_gate[..., 2 * hidden :] = d_new
            to_news[wave, some] = d_new * reset
            flat = d_gate.reshape(-1, 3 * hidden)
            d_input = torch.mm(flat, input_map).view_as(h) + to_out
            recurrent = torch.cat(
                [flat[:, : 2 * hidden], to_news[wave, some].reshape(-1, hidden)], dim=1
            )
            to_state[some] = torch.mm(recurrent, state_map).view_as(h) + (
                d_state * update
            )
            if some.start == 0:
                to_first[wave] = d_input[0]
                d_input = d_input[1:]
            if wave and len(d_input):
                below = slice(max(some.start, 1) - 1, some.stop - 1)
                to_outs[wave - 1, below] += d_input
        flat = to_gates.flatten(0, 2)
        recurrent = torch.cat([flat[:, : 2 * hidden], to_news.flatten(0, 2)], dim=1)
        return (
            to_first.transpose(0, 1),
            flat.t() @ inputs[:-1].flatten(0, 2),
            recurrent.t() @ states[:-1].flatten(0, 2),
            flat.sum(dim=0),
            recurrent.sum(dim=0),
            (to_outs * states[1:]).sum(dim=(0, 2)),
            to_outs.sum(dim=(0, 2)),
        )


def _active(wave: int, n_steps: int, n_layers: int) -> slice:
    """Return the layers that have a step to take in a wave."""
    return slice(max(0, wave - n_steps + 1), min(n_layers, wave + 1))
