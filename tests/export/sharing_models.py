"""Tiny modules with every kind of sharing, exported with and without care for it."""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

os.environ.setdefault("LITERT_TORCH_SHOW_PROGRESS", "0")

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.audit import SourceWeight

CHANNELS = 8
SIDE_PX = 8
STEPS = (1, 2)
KERNEL_BYTES = CHANNELS * CHANNELS * 3 * 3


class Recursive(nn.Module):
    """One kernel for every step; the affine stands before a ReLU, so it stays apart."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, CHANNELS, 3, padding=1, bias=False)
        self.shared = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.scale = nn.ParameterList(_vectors(around=1.0))
        self.bias = nn.ParameterList(_vectors(around=0.0))

    def forward(self, x: Tensor, n_steps: int) -> Tensor:
        h = self.head(x)
        for scale, bias in list(zip(self.scale, self.bias, strict=True))[:n_steps]:
            h = h + self.shared(F.relu(h * scale + bias))
        return h


class Foldable(Recursive):
    """A batch norm per step right behind the shared kernel: converters fold it in."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.ModuleList(
            nn.BatchNorm2d(CHANNELS).requires_grad_(False) for _ in self.scale
        )
        for norm, scale, bias in zip(self.norm, self.scale, self.bias, strict=True):
            norm.weight.copy_(scale.detach().flatten())
            norm.bias.copy_(bias.detach().flatten())
        self.scale, self.bias = nn.ParameterList(), nn.ParameterList()

    def forward(self, x: Tensor, n_steps: int) -> Tensor:
        h = self.head(x)
        for norm in self.norm[:n_steps]:
            h = F.relu(norm(self.shared(h)))
        return h


class Tied(nn.Module):
    """A convolution, and its own transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(CHANNELS, 3, 4, 4) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(F.conv2d(x, self.weight, stride=2, padding=1))
        return F.conv_transpose2d(h, self.weight, stride=2, padding=1)


class TiedProjection(nn.Module):
    """An embedding that is the output's projection as well."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(16, CHANNELS)

    def forward(self, token: Tensor) -> Tensor:
        h = torch.tanh(self.embedding(token))
        return F.linear(h, self.embedding.weight)


class AtSteps(nn.Module):
    """A recursive network that runs a fixed number of steps."""

    def __init__(self, network: Recursive, n_steps: int) -> None:
        super().__init__()
        self.network, self.n_steps = network, n_steps

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x, self.n_steps)


def _vectors(around: float) -> list[nn.Parameter]:
    return [
        nn.Parameter(around + 0.3 * torch.rand(CHANNELS, 1, 1) + 0.1)
        for _ in range(max(STEPS))
    ]


@cache
def network(kind: type[nn.Module]) -> Any:
    torch.manual_seed(0)
    return kind().eval()


def source(kind: type[nn.Module]) -> list[SourceWeight]:
    """Return the module's distinct parameters."""
    return [
        SourceWeight(name, (), parameter.detach().numpy())
        for name, parameter in network(kind).named_parameters()
    ]


def picture() -> Tensor:
    return torch.rand(
        1, 3, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(1)
    )


def example(kind: type[nn.Module]) -> Tensor:
    return torch.tensor([3]) if kind is TiedProjection else picture()


def entry_points(kind: type[nn.Module]) -> dict[str, nn.Module]:
    """Return what becomes a signature or a method, under its name."""
    if not issubclass(kind, Recursive):
        return {"forward": network(kind)}
    return {f"depth_{n}": AtSteps(network(kind), n).eval() for n in STEPS}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the converters' own warnings and progress out of the tests."""
    hidden = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(hidden),
        contextlib.redirect_stderr(hidden),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


@cache
def tflite(kind: type[nn.Module]) -> bytes:
    """Return the fp32 `.tflite` file that litert-torch makes."""
    with quiet():
        import litert_torch

        target: Any = litert_torch
        for name, module in entry_points(kind).items():
            target = target.signature(name, module, (example(kind),))
        return bytes(target.convert().model_content())


@cache
def quantized_tflite(kind: type[nn.Module], scheme: str) -> bytes:
    """Return the file quantized by "static", "dynamic", "int4" or "fp16"."""
    with quiet():
        from ai_edge_quantizer import quantizer

        q = quantizer.Quantizer(bytearray(tflite(kind)))
        q.load_quantization_recipe(_recipe(scheme))
        samples = [{"args_0": _numbers(example(kind))}]
        data = dict.fromkeys(entry_points(kind), samples)
        calibration = q.calibrate(data) if q.need_calibration else None
        return bytes(q.quantize(calibration).quantized_model)


def _numbers(value: Tensor) -> Any:
    return value.numpy().astype(np.float32 if value.is_floating_point() else np.int32)


def _recipe(scheme: str) -> Any:
    from ai_edge_quantizer import recipe

    if scheme == "fp16":
        return _half_precision()
    return {
        "static": recipe.static_wi8_ai8,
        "dynamic": recipe.dynamic_wi8_afp32,
        "int4": recipe.dynamic_wi4c_afp32,
    }[scheme]()


def _half_precision() -> Any:
    from ai_edge_quantizer import qtyping, recipe_manager

    manager = recipe_manager.RecipeManager()
    manager.add_quantization_config(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        algorithm_key="float_casting",
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(
                num_bits=16, dtype=qtyping.TensorDataType.FLOAT
            ),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
    )
    return manager.get_quantization_recipe()


def pte(kind: type[nn.Module], scheme: str = "fp32") -> bytes:
    """Return the `.pte` file: "fp32", "int8" with care for sharing, or "naive" int8."""
    return _pte(kind, scheme)


@cache
def _pte(kind: type[nn.Module], scheme: str) -> bytes:
    with quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import (
            XnnpackPartitioner,
        )
        from executorch.exir import to_edge_transform_and_lower

        programs = {
            name: torch.export.export(
                module if scheme == "fp32" else _quantized(module, kind, scheme),
                (example(kind),),
            )
            for name, module in _methods(kind, scheme).items()
        }
        lowered = to_edge_transform_and_lower(
            programs, partitioner=[XnnpackPartitioner()]
        )
        return bytes(lowered.to_executorch().buffer)


def _methods(kind: type[nn.Module], scheme: str) -> dict[str, nn.Module]:
    """Return the entry points; of quantized ones the deepest alone, to save time."""
    methods = entry_points(kind)
    return methods if scheme == "fp32" else dict(list(methods.items())[-1:])


def _quantized(module: nn.Module, kind: type[nn.Module], scheme: str) -> Any:
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    graph = torch.export.export(module, (example(kind),)).module()
    if scheme == "int8":
        _untie(graph)
    quantizer = XNNPACKQuantizer().set_global(
        get_symmetric_quantization_config(is_per_channel=True)
    )
    prepared = prepare_pt2e(graph, quantizer)
    with torch.no_grad():
        prepared(example(kind))
    return convert_pt2e(prepared)


def _untie(module: Any) -> None:
    """Give each use of a parameter a copy of its own, so that each is quantized."""
    seen: dict[str, int] = {}
    for node in list(module.graph.nodes):
        for operand, value in enumerate(node.args):
            if not isinstance(value, torch.fx.Node) or value.op != "get_attr":
                continue
            seen[value.target] = n = seen.get(value.target, -1) + 1
            if not n:
                continue
            name = f"{value.target.replace('.', '_')}_use_{n}"
            original = module.get_parameter(value.target)
            module.register_buffer(name, original.detach().clone())
            with module.graph.inserting_before(node):
                copy = module.graph.get_attr(name)
            copy.meta = dict(value.meta)
            node.update_arg(operand, copy)
    module.recompile()
