"""Any module as a graph of PyTorch's own operators; or the line that prevents it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Hashable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.graph import CodeGen
from torch.nn import functional as F

from edge_runtime.errors import ModuleError
from export.quiet import quiet

aten = torch.ops.aten

TORCH = str(Path(torch.__file__).parent)
HERE = str(Path(__file__).parent)
PYTHON = str(Path(traceback.__file__).parent)
LETTERS = 200
"""Longer first lines of errors are cut."""
_FRAME = re.compile(r'File "(.+?)", line (\d+)')


def trace(name: str, module: nn.Module, example: tuple[Tensor, ...]) -> GraphModule:
    """Return the graph of a module in eval mode, recurrent cells as linear maps.

    Raises ModuleError where it cannot be traced, with the line of the user's code.
    """
    try:
        with quiet():
            program = torch.export.export(module.eval(), example)
            unlifted = program.run_decompositions(_CELLS).module()
    except Exception as error:  # whatever the module raises
        raise ModuleError(f"{name}: cannot be traced: {_untraceable(error)}") from error
    _check_real(name, unlifted)
    first: dict[Hashable, str] = {}
    for node in list(unlifted.graph.nodes):
        if node.op == "call_module":  # checks of the example's shapes
            unlifted.graph.erase_node(node)
        elif node.op == "get_attr":  # of a shared weight's names, the first
            tensor = attrgetter(str(node.target))(unlifted)
            node.target = first.setdefault(identity(tensor), str(node.target))
    graph = GraphModule(unlifted, unlifted.graph)  # without the program's own checks
    graph.graph.set_codegen(CodeGen())
    return graph


def identity(tensor: Tensor) -> Hashable:
    """Return what is equal for two tensors that read the same memory alike."""
    return (
        tensor.untyped_storage().data_ptr(),
        tensor.storage_offset(),
        tuple(tensor.shape),
        tensor.stride(),
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an error and the line of the user's code behind it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[0][:LETTERS] if lines else type(error).__name__}{_place(error)}"


def _place(error: BaseException) -> str:
    """Return the line of the user's code behind an error, in brackets; or nothing."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if _is_theirs(frame.filename)]
    return f" ({theirs[-1].filename}:{theirs[-1].lineno})" if theirs else ""


def _untraceable(error: Exception) -> str:
    if "data-dependent" not in str(error):
        return first_line(error)
    return (
        f"what it does next hangs on a number that it computes{_place(error)}; a file"
        " has no branches, choose by torch.where"
    )


def _check_real(name: str, graph: GraphModule) -> None:
    """Raise ModuleError, naming the line, where a graph computes complex numbers."""
    for node in graph.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, Tensor) and value.is_complex():
            lines = _FRAME.findall(node.meta.get("stack_trace") or "")
            place = f" ({lines[-1][0]}:{lines[-1][1]})" if lines else ""
            raise ModuleError(
                f"{name}: computes complex numbers by {node.target}{place}, which"
                " neither format has; spell out real and imaginary parts"
            )


def _is_theirs(filename: str) -> bool:
    """Return whether a file is the user's: not torch's, ours or Python's own."""
    of_python = filename.startswith(PYTHON) and "-packages" not in filename
    return not (of_python or filename.startswith((TORCH, HERE)))


def _gru_cell(
    x: Tensor,
    state: Tensor,
    input_map: Tensor,
    state_map: Tensor,
    input_bias: Tensor | None = None,
    state_bias: Tensor | None = None,
) -> Tensor:
    from_input = F.linear(x, input_map, input_bias)
    from_state = F.linear(state, state_map, state_bias)
    reset_in, update_in, new_in = from_input.chunk(3, dim=1)
    reset_st, update_st, new_st = from_state.chunk(3, dim=1)
    reset = torch.sigmoid(reset_in + reset_st)
    update = torch.sigmoid(update_in + update_st)
    new = torch.tanh(new_in + reset * new_st)
    return new + update * (state - new)


def _lstm_cell(
    x: Tensor,
    states: Sequence[Tensor],
    input_map: Tensor,
    state_map: Tensor,
    input_bias: Tensor | None = None,
    state_bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    hidden, cell = states
    from_state = F.linear(hidden, state_map, state_bias)
    gates = F.linear(x, input_map, input_bias) + from_state
    take, keep, new, out = gates.chunk(4, dim=1)
    cell = torch.sigmoid(keep) * cell + torch.sigmoid(take) * torch.tanh(new)
    return torch.sigmoid(out) * torch.tanh(cell), cell


_CELLS: dict[Any, Callable[..., Any]] = {
    aten.gru_cell.default: _gru_cell,
    aten.lstm_cell.default: _lstm_cell,
}
