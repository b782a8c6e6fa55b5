"""Int8 by PT2E for ExecuTorch's XNNPACK, with the ranges that `.tflite` gets."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from operator import attrgetter
from typing import Any

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from torch import Tensor
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver

from export.prepare import VIEWS
from export.ranges import extremes
from training.rounding import PEAK, fits_one_scale

SMALLEST_SCALE = 2.0**-24
"""The quantizer's own floor, 2^-12, is too coarse for the later steps of a repeated
block: their activations span less than 0.04."""

BIASED = (
    torch.ops.aten.conv1d.default,
    torch.ops.aten.conv2d.default,
    torch.ops.aten.linear.default,
)
"""Operators with an input, a weight and maybe a bias."""

TRANSPOSED = (
    torch.ops.aten.conv_transpose1d.default,
    torch.ops.aten.conv_transpose2d.input,
)

RECTIFIERS = (torch.ops.aten.relu.default, torch.ops.aten.relu_.default)

STAYS_FLOAT = (
    torch.ops.aten.add.Tensor,
    torch.ops.aten.mul.Tensor,
    torch.ops.aten.cat.default,
)
"""What static int8 leaves alone, for the reasons of `quantize_tflite`, but for a bias
between two convolutions."""


class ExtremesObserver(MinMaxObserver):  # type: ignore[misc]  # torchao has no types
    """Takes the range that `extremes` gives, the widest over all inputs."""

    min_val: Tensor
    max_val: Tensor

    def forward(self, x_orig: Tensor) -> Tensor:
        """Note the range of a tensor and pass the tensor on."""
        if x_orig.numel():
            low, high = extremes(x_orig.detach().numpy().reshape(-1))
            self.min_val = torch.minimum(self.min_val, torch.tensor(low))
            self.max_val = torch.maximum(self.max_val, torch.tensor(high))
        return x_orig


class WeightObserver(PerChannelMinMaxObserver):  # type: ignore[misc]  # as above
    """Takes a range per channel, the same for each where that stores a weight exactly.

    4-bit weights have a range per channel always.
    """

    min_val: Tensor
    max_val: Tensor

    def forward(self, x_orig: Tensor) -> Tensor:
        """Note the ranges of a weight and pass the weight on."""
        super().forward(x_orig)
        if self.quant_max == PEAK and fits_one_scale(x_orig):
            largest = x_orig.detach().abs().max()
            self.min_val.fill_(-largest)
            self.max_val.fill_(largest)
        return x_orig


def make_quantizer(*, dynamic: bool, weight_bits: int = 8) -> XNNPACKQuantizer:
    """Return the quantizer: weights of 8 or 4 bits per channel, activations by scheme.

    XNNPACK knows 4-bit weights by their range, which is not symmetric.
    """
    low, high = (-8, 7) if weight_bits == 4 else (-PEAK, PEAK)
    config = get_symmetric_quantization_config(
        is_per_channel=True, is_dynamic=dynamic, weight_qmin=low, weight_qmax=high
    )
    fine: dict[str, Any] = {"eps": SMALLEST_SCALE}
    weight = replace(
        config.weight,
        observer_or_fake_quant_ctr=WeightObserver.with_args(**fine),
    )
    config = replace(config, weight=weight)
    if not dynamic:
        observer = ExtremesObserver.with_args(**fine)
        activation = replace(
            config.input_activation, observer_or_fake_quant_ctr=observer
        )
        config = replace(
            config, input_activation=activation, output_activation=activation
        )
    tool = XNNPACKQuantizer().set_global(config)
    return tool.set_filter_function(_becomes_integer)


def _becomes_integer(node: Node) -> bool:
    if node.target in BIASED or node.target in TRANSPOSED:
        kernel = node.args[1]  # one that is computed has no range of its own
        return isinstance(kernel, Node) and kernel.op == "get_attr"
    return node.target not in STAYS_FLOAT or _adds_between(node)


def _adds_between(node: Node) -> bool:
    """Return whether a node adds a computed bias, one per channel, between two maps.

    In float it costs three more passes over what it is added to, which comes out of
    int8 and goes into int8 again.
    """
    terms = [term for term in node.args if isinstance(term, Node)]
    if node.target != torch.ops.aten.add.Tensor or len(terms) != 2:
        return False
    large, small = sorted(terms, key=lambda term: -term.meta["val"].numel())
    readers = list(node.users)
    if len(readers) == 1 and readers[0].target in RECTIFIERS:
        readers = list(readers[0].users)
    return (
        large.target in BIASED
        and len(large.users) == 1
        and not _is_constant(small)  # it stays float where another operator reads it
        and small.meta["val"].numel() <= large.meta["val"].shape[1]
        and bool(readers)
        and all(reader.target in BIASED for reader in readers)
    )


def _is_constant(node: Node) -> bool:
    if node.target in VIEWS:
        return _is_constant(node.all_input_nodes[0])
    return node.op == "get_attr"


def part_rectifiers(graph: GraphModule) -> None:
    """Spell a ReLU behind a convolution as a limit: the two would stay float.

    XNNPACKQuantizer (executorch 1.5.1) takes them for one pattern that its dynamic
    scheme does not have.
    """
    for node in graph.graph.nodes:
        if node.target in RECTIFIERS:
            (source,) = node.all_input_nodes
            if source.target in (*BIASED, *TRANSPOSED):
                node.target, node.args = torch.ops.aten.clamp.default, (source, 0.0)
    graph.recompile()


def share_ranges(prepared: GraphModule) -> None:
    """Give inputs that meet one kernel and one bias one range.

    An integer bias has the scale of its input times that of its kernel: one bias for
    two inputs of different scales would be stored twice.
    """
    observers: dict[tuple[bytes, bytes], list[ExtremesObserver]] = defaultdict(list)
    for node in prepared.graph.nodes:
        if node.target not in BIASED or len(node.args) < 3:
            continue
        source, kernel, bias = (_behind(prepared, node, i) for i in range(3))
        if isinstance(source, ExtremesObserver) and bias is not None and bias.any():
            key = (kernel.numpy().tobytes(), bias.numpy().tobytes())
            observers[key].append(source)
    for alike in observers.values():
        low = torch.stack([one.min_val for one in alike]).min()
        high = torch.stack([one.max_val for one in alike]).max()
        for one in alike:
            one.min_val, one.max_val = low.clone(), high.clone()


def _behind(graph: GraphModule, node: Node, position: int) -> Any:
    """Return an operand's observer, or for a weight the tensor behind it."""
    operand = node.args[position]
    if not isinstance(operand, Node):
        return None
    if operand.op == "call_module" and position:
        operand = operand.all_input_nodes[0]
    if operand.op not in ("call_module", "get_attr"):
        return None
    found = attrgetter(str(operand.target))(graph)
    return found.detach() if isinstance(found, torch.Tensor) else found
