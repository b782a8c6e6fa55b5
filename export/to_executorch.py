"""PyTorch entry points to one `.pte` that holds every weight once."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import torch
from torch.export import ExportedProgram, export
from torch.fx import GraphModule, Node

from edge_runtime.errors import SharingError, missing_package
from export.bias_terms import part_unlike_biases
from export.layout import (
    CHANNELS_FIRST,
    prefer,
    put_channels_first,
    take_channels_last,
)
from export.narrow import BITS, WEIGHT_PRECISIONS
from export.plan import Arrays, EntryPoint, Plan
from export.prepare import prepare
from export.quiet import quiet
from export.schemes import scheme
from export.second_form import keep_in_program, read_in_two_forms


def to_executorch(plan: Plan, precision: str) -> bytes:
    """Return the plan's entry points as a `.pte` for XNNPACK, in any precision.

    Raises ModuleError where a module cannot be traced, SharingError where the exporter
    refuses it.
    """
    try:
        with quiet():
            from executorch.backends.xnnpack.partition.config.xnnpack_config import (
                ConfigPrecisionType,
            )
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import (
                XnnpackDynamicallyQuantizedPartitioner,
                XnnpackPartitioner,
            )
            from executorch.exir import (
                ExecutorchBackendConfig,
                to_edge_transform_and_lower,
            )
            from executorch.exir.passes import MemoryPlanningPass
            from executorch.kernels import quantized  # noqa: F401  # of its operators
    except ImportError as error:
        raise missing_package("executorch", "export") from error
    how = scheme(plan, "pte", precision)
    widened = precision in WEIGHT_PRECISIONS and how != "dynamic"
    partitioner = [XnnpackPartitioner()]
    if how == "dynamic":
        partitioner.insert(0, XnnpackDynamicallyQuantizedPartitioner())
    if widened:  # linear maps read weights that operators before them made
        partitioner = [
            XnnpackPartitioner(
                config_precisions=ConfigPrecisionType.FP32,
                force_non_static_weights_for_f32_linear=True,
            )
        ]
    examples = {e.name: _arguments(e, e.held_out[0]) for e in plan.entry_points}
    graphs = prepare({e.name: (e.module, examples[e.name]) for e in plan.entry_points})
    if how == "static":
        part_unlike_biases(graphs, plan)
    channels_last = {}
    for name, graph in graphs.items():
        prefer(graph, CHANNELS_FIRST)
        channels_last[name] = take_channels_last(graph, examples[name])
    if widened:
        from export.pte_weights import narrow_graph

        for graph in graphs.values():
            narrow_graph(graph, precision)
    else:
        kept = read_in_two_forms(graphs.values())
        for graph in graphs.values():
            keep_in_program(graph, kept, integers=precision != "fp32")
    with quiet():
        try:
            programs = {}
            for entry in plan.entry_points:
                inputs = _Inputs(entry, channels_last[entry.name])
                program = export(graphs[entry.name], inputs.example)
                if how in ("static", "dynamic"):
                    program = _quantized(inputs, program, precision, how)
                programs[entry.name] = program
            edge = to_edge_transform_and_lower(programs, partitioner=partitioner)
            # Inputs are read where they lie. Outputs need a place of their own: not
            # every caller of a file gives them one.
            memory = MemoryPlanningPass(alloc_graph_input=False)
            config = ExecutorchBackendConfig(memory_planning_pass=memory)
            return bytes(edge.to_executorch(config).buffer)
        except subprocess.CalledProcessError as error:
            raise SharingError(
                f"{plan.name}: ExecuTorch cannot export it in {precision}:"
                f" {Path(error.cmd[0]).name} ended with status {error.returncode};"
                " the disk may be full"
            ) from error
        except Exception as error:  # an exporter raises whatever it likes
            raise SharingError(
                f"{plan.name}: ExecuTorch cannot export it in {precision}:"
                f" {' '.join(str(error).split())[:300]}"
            ) from error


@dataclass(frozen=True)
class _Inputs:
    """What an entry point meets, as its graph takes it."""

    entry: EntryPoint
    channels_last: frozenset[int]

    @property
    def example(self) -> tuple[torch.Tensor, ...]:
        return self._as_taken(self.entry.held_out[0])

    @property
    def typical(self) -> Iterator[tuple[torch.Tensor, ...]]:
        return map(self._as_taken, self.entry.calibration or self.entry.held_out[:1])

    def _as_taken(self, inputs: Arrays) -> tuple[torch.Tensor, ...]:
        return put_channels_first(_arguments(self.entry, inputs), self.channels_last)


def _arguments(entry: EntryPoint, inputs: Arrays) -> tuple[torch.Tensor, ...]:
    # numpy gives a new axis the stride 0, which ExecuTorch refuses: lay them out anew.
    return tuple(
        torch.from_numpy(inputs[t.name].reshape(-1)).reshape(t.shape)
        for t in entry.inputs
    )


def _quantized(
    inputs: _Inputs, program: ExportedProgram, precision: str, how: str
) -> ExportedProgram:
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    from export.pt2e import make_quantizer, part_rectifiers, share_ranges

    graph = program.module()
    untie(graph)
    if how == "dynamic":
        part_rectifiers(graph)
    tool = make_quantizer(dynamic=how == "dynamic", weight_bits=BITS.get(precision, 8))
    prepared = prepare_pt2e(graph, tool)
    with torch.no_grad():
        # A dynamic scheme takes the weights' ranges alone, but takes them in a run.
        for arguments in inputs.typical:
            prepared(*arguments)
    if how == "static":
        share_ranges(prepared)
    return export(convert_pt2e(prepared), inputs.example)


def untie(graph: GraphModule) -> int:
    """Give every use of a weight a copy of its own; return how many were made.

    PT2E quantizes a weight at its first use only and leaves later uses in float; and
    a shared bias would get one integer form although it needs one per input scale.
    The copies are of equal content, and the exporter stores equal content once.
    """
    uses: Counter[str] = Counter()
    for node in list(graph.graph.nodes):
        if node.op != "call_function":
            continue
        for position, source in enumerate(node.args):
            if not (isinstance(source, Node) and source.op == "get_attr"):
                continue
            name = str(source.target)
            if uses[name]:
                node.update_arg(position, _copy(graph, node, source, uses[name]))
            uses[name] += 1
    graph.graph.lint()
    graph.recompile()
    return sum(n - 1 for n in uses.values())


def _copy(graph: GraphModule, before: Node, source: Node, use: int) -> Node:
    tensor = attrgetter(str(source.target))(graph)
    name = f"{str(source.target).replace('.', '_')}_use_{use}"
    graph.register_buffer(name, tensor.detach().clone())
    with graph.graph.inserting_before(before):
        copy = graph.graph.get_attr(name)
    copy.meta = dict(source.meta)
    return copy
