"""Find out which operators of a `.tflite` file XNNPACK leaves to plain kernels.

The file does not say: LiteRT decides as it loads it. Its interpreter then shows the
inputs and outputs of each part that XNNPACK took, and so which operators lie inside.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_runtime.child import answer, run_apart
from edge_runtime.errors import EngineError
from edge_runtime.native_log import LITERT_LINE, silenced
from export.flatbuffer import Table
from export.stored_file import counted
from export.tflite_file import Graph, read_tflite

LONGEST_S = 60.0
"""Loading packs every weight; a file that takes longer than this is not waited for."""
_SUBGRAPHS = 2
"""Slot of the graphs in the schema's Model."""
_DELEGATE = "DELEGATE"
_CALLERS = ("IF", "WHILE", "CALL", "CALL_ONCE", "STABLEHLO_")
"""Operators, or what their names begin with, that refer to graphs by number."""


def outside_delegate(path: Path) -> Mapping[str, Mapping[str, int]]:
    """Return entry point to operators that XNNPACK does not take, and how often.

    The file is loaded in a process of its own, which a file that crashes LiteRT ends
    alone. Graphs that cannot be loaded by themselves are left out. Raises EngineError
    where LiteRT is missing, refuses the file, or takes longer than LONGEST_S.
    """
    where = f"{path.name}: litert"
    found: dict[str, dict[str, int]] = run_apart(
        __name__, [str(path)], where, LONGEST_S
    )
    return found


def partition(data: bytes, where: str) -> dict[str, dict[str, int]]:
    """Return what `outside_delegate` does, in this process."""
    file = read_tflite(data, where)
    referring = any(
        operator.name.startswith(_CALLERS)
        for graph in file.graphs
        for operator in graph.operators
    )
    return {
        graph.name: counted(_outside(graph, _delegates(_first(data, number), where)))
        for number, graph in enumerate(file.graphs)
        if number == 0 or not referring
    }


def _delegates(data: bytes, where: str) -> list[tuple[set[int], list[int]]]:
    """Return inputs and outputs of each part of the first graph that XNNPACK took."""
    from ai_edge_litert.interpreter import Interpreter

    operators: Sequence[Mapping[str, Any]]
    try:
        with silenced(LITERT_LINE):
            interpreter = Interpreter(model_content=data, num_threads=1)
            interpreter.allocate_tensors()
            operators = interpreter._get_ops_details()
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise EngineError(f"{where}: litert cannot load it: {reason}") from error
    return [
        ({int(i) for i in operator["inputs"]}, [int(i) for i in operator["outputs"]])
        for operator in operators
        if operator["op_name"] == _DELEGATE
    ]


def _outside(
    graph: Graph, delegates: Sequence[tuple[set[int], list[int]]]
) -> list[str]:
    """Return the operators that are in no delegate.

    From what a delegate gives, one comes to all that it holds by going back to what it
    takes.
    """
    makers = {t: n for n, node in enumerate(graph.operators) for t in node.outputs}
    inside: set[int] = set()
    for taken, given in delegates:
        waiting = list(given)
        while waiting:
            maker = makers.get(waiting.pop())
            if maker is None or maker in inside:
                continue
            inside.add(maker)
            inputs = graph.operators[maker].inputs
            waiting.extend(tensor for tensor in inputs if tensor not in taken)
    return [node.name for n, node in enumerate(graph.operators) if n not in inside]


def _first(data: bytes, number: int) -> bytes:
    """Return the model with graph `number` in the place of the first, and that in its.

    Offsets in a flatbuffer are relative to where they stand.
    """
    if number == 0:
        return data
    start = Table.root(data, "tflite file").vector_start(_SUBGRAPHS)
    places = (start, start + 4 * number)
    first, other = (p + int(struct.unpack_from("<I", data, p)[0]) for p in places)
    swapped = bytearray(data)
    struct.pack_into("<I", swapped, places[0], other - places[0])
    struct.pack_into("<I", swapped, places[1], first - places[1])
    return bytes(swapped)


if __name__ == "__main__":
    given = Path(sys.argv[1])
    answer(lambda: partition(given.read_bytes(), given.name))
