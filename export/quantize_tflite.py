"""Int8 for `.tflite`, every shared weight quantized once."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import qtyping, quantizer, recipe_manager

from edge_runtime.bundle_parts import Loop
from edge_runtime.errors import SharingError
from export.plan import Plan
from export.quiet import quiet
from export.ranges import extremes
from export.tflite_file import Graph, TfliteFile, read_tflite
from export.tflite_rewrite import restore_outputs
from export.to_tflite import TfliteDraft
from training.rounding import fits_one_scale

Operator = qtyping.TFLOperationName

STATIC_OPERATORS = (
    Operator.CONV_2D,
    Operator.DEPTHWISE_CONV_2D,
    Operator.FULLY_CONNECTED,
)
"""What static int8 covers. The stream of a repeated block stays float, and so does the
picture. Simulated on a half-trained denoiser at depth 8, sigma 25, a stream rounded at
every step lost 0.14 dB and one in float 0.04; float took 5 to 10 % more time (x86-64,
one short run)."""

COVERED = {operator.value for operator in STATIC_OPERATORS}

CHANNEL_AXIS = {
    Operator.CONV_2D.value: 0,
    Operator.DEPTHWISE_CONV_2D.value: -1,
    Operator.FULLY_CONNECTED.value: 0,
    Operator.EMBEDDING_LOOKUP.value: 0,
}
"""Operator to the axis of its weight, its second input, along which scales lie."""

DYNAMIC_OPERATORS = (
    Operator.FULLY_CONNECTED,
    Operator.CONV_2D,
    Operator.EMBEDDING_LOOKUP,
)
"""The last in static int8 as well: an embedding may be a projection, too."""


def quantize_tflite(draft: TfliteDraft, plan: Plan, *, static: bool) -> TfliteDraft:
    """Return the static or the dynamic int8 form of an fp32 draft.

    Static int8 takes its ranges from the plan's calibration inputs. One recipe covers
    all uses of a weight: with two, the quantizer stores it twice and says nothing.
    Weights have a scale per channel, the same in each where that stores them exactly.
    """
    recipe = recipe_manager.RecipeManager()
    configs = dict.fromkeys(STATIC_OPERATORS, _static()) if static else {}
    configs = dict.fromkeys(DYNAMIC_OPERATORS, _dynamic()) | configs
    for operator, config in configs.items():
        recipe.add_quantization_config(
            regex=".*",
            operation_name=operator,
            algorithm_key="min_max_uniform_quantize",
            op_config=config,
        )
    file = read_tflite(draft.data)
    for name in _added_between(file) if static else ():
        recipe.add_quantization_config(
            regex=f"^{re.escape(name)};?$",
            operation_name=Operator.ADD,
            algorithm_key="min_max_uniform_quantize",
            op_config=_static(),
        )
    for name, operator in (
        *_step_lookups(draft.data, file, plan.loop),
        *_with_computed_kernels(file),
    ):
        recipe.add_quantization_config(
            regex=f"^{re.escape(name)};?$",
            operation_name=operator,
            algorithm_key="no_quantize",
        )
    with quiet():
        tool = quantizer.Quantizer(bytearray(draft.data))
        tool.load_quantization_recipe(recipe.get_quantization_recipe())
        ranges = _ranges(tool, draft, plan) if static else {}
        ranges |= _of_one_scale(file)
        try:
            quantized = bytes(tool.quantize(ranges).quantized_model)
        except Exception as error:  # a quantizer raises whatever it likes
            raise SharingError(
                f"{plan.name}: ai-edge-quantizer cannot make it int8:"
                f" {' '.join(str(error).split())[:300]}"
            ) from error
    return replace(draft, data=restore_outputs(quantized))


def _added_between(file: TfliteFile) -> set[str]:
    """Return the additions of a bias that is no constant between two convolutions.

    In float each costs three more passes over what it is added to, which comes out of
    int8 and goes into int8 again. It is named by its output.
    """
    found = set()
    for graph in file.graphs:
        makers = {t: operator for operator in graph.operators for t in operator.outputs}
        readers = defaultdict(list)
        for operator in graph.operators:
            for tensor in operator.inputs:
                readers[tensor].append(operator.name)
        for operator in graph.operators:
            if operator.name != Operator.ADD.value:
                continue
            (output,) = operator.outputs
            large, small = sorted(
                operator.inputs, key=lambda t: -math.prod(graph.tensors[t].shape)
            )
            if (
                all(t in makers for t in (large, small))
                and makers[large].name in COVERED
                and len(readers[large]) == 1
                and math.prod(graph.tensors[small].shape)
                <= graph.tensors[large].shape[-1]
                and readers[output]
                and all(name in COVERED for name in readers[output])
            ):
                found.add(graph.tensors[output].name)
    return found


def _step_lookups(
    data: bytes, file: TfliteFile, loop: Loop | None
) -> Iterator[tuple[str, qtyping.TFLOperationName]]:
    """Yield what looks up each step's own numbers, in a loop, by output.

    These few numbers stay float: a scale per row would round the biases of a step by
    the largest of them.
    """
    if loop is None:
        return
    interpreter = Interpreter(model_content=data, num_threads=1)
    told = set()
    for part, number in ((loop.step, loop.position), (loop.after, loop.exit)):
        if number is not None:
            inputs = interpreter.get_signature_runner(part).get_input_details()
            told.add((part, inputs[number]["index"]))
    for graph in file.graphs:
        for operator in graph.operators:
            lookup = operator.name == Operator.EMBEDDING_LOOKUP.value
            if lookup and (graph.name, operator.inputs[0]) in told:
                output = graph.tensors[operator.outputs[0]]
                yield output.name, Operator.EMBEDDING_LOOKUP


def _with_computed_kernels(
    file: TfliteFile,
) -> Iterator[tuple[str, qtyping.TFLOperationName]]:
    """Yield the operators whose kernel is no constant, by output: they stay float.

    LiteRT (2.3.0) does not run a convolution whose kernel becomes int8 on the way.
    """
    constants = {constant.index for constant in file.constants}
    for graph in file.graphs:
        for operator in graph.operators:
            if operator.name in COVERED:
                kernel = graph.tensors[operator.inputs[1]]
                if kernel.buffer not in constants:
                    output = graph.tensors[operator.outputs[0]]
                    yield output.name, Operator(operator.name)


def _of_one_scale(file: TfliteFile) -> dict[str, Any]:
    """Return the ranges of the weights that one scale stores exactly, by tensor name.

    The range is that of the whole weight, again for each channel: engines are fastest
    with a scale per channel.
    """
    content = {constant.index: constant.data for constant in file.constants}
    named: dict[str, set[int]] = defaultdict(set)
    ranges = {}
    for graph in file.graphs:
        for tensor in graph.tensors:
            named[tensor.name].add(tensor.buffer)
        for operator in graph.operators:
            if operator.name not in CHANNEL_AXIS:
                continue
            kernel = graph.tensors[operator.inputs[1]]
            if kernel.dtype != "float32" or kernel.buffer not in content:
                continue
            weight = np.frombuffer(content[kernel.buffer], "<f4").reshape(kernel.shape)
            if fits_one_scale(torch.tensor(weight)):
                sizes = [1] * weight.ndim
                axis = CHANNEL_AXIS[operator.name]
                sizes[axis] = weight.shape[axis]
                largest = np.full(sizes, np.abs(weight).max())
                ranges[kernel.name] = {"min": -largest, "max": largest}
    # A name may stand for two weights of two graphs: a range would be for both.
    return {name: found for name, found in ranges.items() if len(named[name]) == 1}


def _ranges(
    tool: quantizer.Quantizer, draft: TfliteDraft, plan: Plan
) -> dict[str, Any]:
    """Return the range of each tensor over the calibration, by tensor name.

    Each input's range is that of `extremes`; over inputs, the widest counts. The
    quantizer's own calibration keeps every outlier, and takes a moving average that
    starts at the first input: what a later, noisier one does is cut off. It is asked
    for the weights' ranges alone, which are one per channel.
    """
    inputs_of = {
        entry.name: [{**i, **draft.lifted[entry.name]} for i in entry.calibration]
        for entry in plan.entry_points
    }
    first = {name: inputs[:1] for name, inputs in inputs_of.items()}
    ranges: dict[str, Any] = tool.calibrate(first, num_threads=1)
    interpreter = Interpreter(
        model_content=draft.data, num_threads=1, experimental_preserve_all_tensors=True
    )
    # Two entry points may have tensors of one name: those get one range.
    seen: dict[str, list[tuple[float, float]]] = defaultdict(list)
    file = read_tflite(draft.data)
    added = _added_between(file)
    for index, graph in enumerate(file.graphs):
        if graph.name not in inputs_of:
            continue
        tensors = _activations(graph, added)
        runner = interpreter.get_signature_runner(graph.name)
        for inputs in inputs_of[graph.name]:
            runner(**inputs)
            for name, tensor in tensors.items():
                values = interpreter.get_tensor(tensor, subgraph_index=index)
                seen[name].append(extremes(values.reshape(-1)))
    for alike in _read_alike(file):
        found = [one for name in alike for one in seen.get(name, ())]
        seen.update({name: found for name in alike if name in seen})
    for name, found in seen.items():
        low, high = np.float32(np.min(found)), np.float32(np.max(found))
        ranges[name] = {"min": np.array([low]), "max": np.array([high])}
    return ranges


def _read_alike(file: TfliteFile) -> list[set[str]]:
    """Return the tensors that operators of one kernel and one bias read, together.

    An integer bias has the scale of its input times that of its kernel: one bias for
    two inputs of different scales would be stored twice.
    """
    content = {constant.index: constant.data for constant in file.constants}
    inputs: dict[tuple[bytes, bytes], set[str]] = defaultdict(set)
    for graph in file.graphs:
        for operator in graph.operators:
            if operator.name not in COVERED or len(operator.inputs) < 3:
                continue
            source, *others = (graph.tensors[i] for i in operator.inputs[:3])
            kernel, bias = (content.get(tensor.buffer, b"") for tensor in others)
            if any(bias):  # zeros are zeros at every scale
                inputs[kernel, bias].add(source.name)
    return [names for names in inputs.values() if len(names) > 1]


def _activations(graph: Graph, added: set[str]) -> dict[str, int]:
    """Return what goes into and out of the operators that become integer.

    `added` names the outputs of the additions among them.
    """
    made = {t for operator in graph.operators for t in operator.outputs}
    touched = {
        tensor
        for operator in graph.operators
        if operator.name in COVERED
        or any(graph.tensors[t].name in added for t in operator.outputs)
        for tensor in (*operator.inputs, *operator.outputs)
    }
    return {graph.tensors[t].name: t for t in touched & (made | set(graph.inputs))}


def _static() -> qtyping.OpQuantizationConfig:
    return qtyping.OpQuantizationConfig(
        activation_tensor_config=qtyping.TensorQuantizationConfig(
            num_bits=8,
            symmetric=False,
            granularity=qtyping.QuantGranularity.TENSORWISE,
        ),
        weight_tensor_config=_weights(),
        compute_precision=qtyping.ComputePrecision.INTEGER,
    )


def _dynamic() -> qtyping.OpQuantizationConfig:
    return qtyping.OpQuantizationConfig(
        weight_tensor_config=_weights(),
        compute_precision=qtyping.ComputePrecision.INTEGER,
    )


def _weights() -> qtyping.TensorQuantizationConfig:
    return qtyping.TensorQuantizationConfig(
        num_bits=8, symmetric=True, granularity=qtyping.QuantGranularity.CHANNELWISE
    )
