"""Graphs that every converter understands alike, of any module.

What converters do to a module on their own is where shared weights get lost: a batch
norm or a factor behind a convolution is folded into the kernel, once per use (LiteRT),
or into the one shared kernel, for all uses (ExecuTorch 1.5.1: wrong, without a word).
So the graph that they get has none of it left.
"""

from __future__ import annotations

import operator
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node, map_arg

from export.trace import identity, trace

aten = torch.ops.aten

NORM = aten._native_batch_norm_legit_no_training.default
CONVOLUTIONS = (aten.conv1d.default, aten.conv2d.default)
"""Operators that a batch norm behind them folds into; the kernel's first axis is the
output's."""

BIASED = (
    *CONVOLUTIONS,
    aten.conv_transpose1d.default,
    aten.conv_transpose2d.input,
    aten.linear.default,
)
"""Operators whose third operand is the bias."""

VIEWS = (
    aten.alias.default,
    aten.detach.default,
    aten.expand.default,
    aten.numpy_T.default,
    aten.permute.default,
    aten.reshape.default,
    aten.select.int,
    aten.slice.Tensor,
    aten.squeeze.dim,
    aten.t.default,
    aten.transpose.int,
    aten.unsqueeze.default,
    aten.view.default,
)
"""Operators that read numbers in another order, or in part, and change none."""


def prepare(
    modules: Mapping[str, tuple[nn.Module, tuple[Tensor, ...]]],
) -> dict[str, GraphModule]:
    """Return a graph of each module, given with example inputs, in eval mode.

    Recurrent cells are linear maps. A bias of several kernels is a term behind each: in
    integers, it would have a scale per kernel. A batch norm is folded into a kernel
    that has no other use, and is a factor and a term behind one that has. What depends
    on weights alone is computed, equal expressions once; not so the view of a weight
    that is read in other forms as well. Weights that modules share, their graphs share.

    Raises ModuleError where a module cannot be traced.
    """
    graphs = {
        name: trace(name, module, example)
        for name, (module, example) in modules.items()
    }
    _resolve_norms(list(graphs.values()))
    _part_shared_biases(list(graphs.values()))
    _Constants().compute(list(graphs.values()))
    return {name: _with_what_it_reads(graph) for name, graph in graphs.items()}


def constant(graph: GraphModule, node: object) -> Tensor | None:
    """Return the tensor that a node takes from its module; None for any other node."""
    if not isinstance(node, Node) or node.op != "get_attr":
        return None
    value: Tensor = attrgetter(str(node.target))(graph)
    return value


def _resolve_norms(graphs: Sequence[GraphModule]) -> None:
    n_uses = Counter(_weights_read(graphs))
    for graph in graphs:
        for norm in [node for node in graph.graph.nodes if node.target is NORM]:
            before = norm.args[0]
            kernel = _kernel(graph, before)
            if kernel is not None and n_uses[identity(kernel)] == 1:
                _fold(graph, before, norm)
            else:
                _spell_out(graph, norm)


def _weights_read(graphs: Iterable[GraphModule]) -> Iterator[Hashable]:
    """Yield each constant once for every operator that reads it."""
    for graph in graphs:
        for node in graph.graph.nodes:
            for source in node.all_input_nodes:
                tensor = constant(graph, source)
                if tensor is not None:
                    yield identity(tensor)


def _kernel(graph: GraphModule, node: Node) -> Tensor | None:
    """Return the kernel of a convolution that one operator alone reads."""
    if node.target not in CONVOLUTIONS or len(node.users) > 1:
        return None
    return constant(graph, node.args[1])


def _factor_and_term(graph: GraphModule, norm: Node) -> tuple[Tensor, Tensor]:
    """Return what a batch norm amounts to, (C,) each."""
    arguments: tuple[Any, ...] = norm.args
    weight, bias, mean, variance = (constant(graph, a) for a in arguments[1:5])
    assert mean is not None  # a norm in eval mode has statistics
    assert variance is not None
    factor = torch.rsqrt(variance + arguments[6])
    if weight is not None:
        factor = factor * weight.detach()
    term = -mean * factor
    return factor, term if bias is None else term + bias.detach()


def _fold(graph: GraphModule, convolution: Node, norm: Node) -> None:
    """Take a batch norm into the kernel and bias of the convolution before it."""
    factor, term = _factor_and_term(graph, norm)
    arguments: list[Any] = [*convolution.args, None][: max(3, len(convolution.args))]
    kernel, bias = (constant(graph, a) for a in arguments[1:3])
    assert kernel is not None
    if bias is not None:
        term = term + bias.detach() * factor
    kernel = kernel.detach() * factor.reshape(-1, *[1] * (kernel.ndim - 1))
    name = str(arguments[1].target)
    arguments[1] = add_constant(graph, convolution, name, kernel)
    arguments[2] = add_constant(graph, convolution, f"{name}_bias", term)
    convolution.args = tuple(arguments)
    _replace(graph, norm, convolution)


def _spell_out(graph: GraphModule, norm: Node) -> None:
    """Make a batch norm a factor and a term."""
    before = norm.args[0]
    assert isinstance(before, Node)
    value = norm.meta["val"][0]
    shape = (-1, *[1] * (value.ndim - 2))
    name = str(norm.args[3].target).rpartition(".")[0]  # type: ignore[union-attr]
    factor, term = _factor_and_term(graph, norm)
    factor_node = add_constant(graph, norm, f"{name}_factor", factor.reshape(shape))
    term_node = add_constant(graph, norm, f"{name}_term", term.reshape(shape))
    with graph.graph.inserting_before(norm):
        scaled = graph.graph.call_function(aten.mul.Tensor, (before, factor_node))
        moved = graph.graph.call_function(aten.add.Tensor, (scaled, term_node))
    scaled.meta = {"val": value}
    moved.meta = {"val": value}
    _replace(graph, norm, moved)


def _part_shared_biases(graphs: Sequence[GraphModule]) -> None:
    """Make a bias that stands beside several kernels a term behind each of them."""
    kernels: dict[Hashable, set[Hashable]] = defaultdict(set)
    found: list[tuple[GraphModule, Node, Hashable]] = []
    for graph in graphs:
        for node in graph.graph.nodes:
            if node.target not in BIASED or len(node.args) < 3:
                continue
            kernel, bias = (constant(graph, argument) for argument in node.args[1:3])
            if kernel is not None and bias is not None:
                kernels[identity(bias)].add(identity(kernel))
                found.append((graph, node, identity(bias)))
    for graph, node, bias_key in found:
        if len(kernels[bias_key]) > 1:
            part_bias(graph, node)


def part_bias(graph: GraphModule, node: Node) -> None:
    """Make the bias of an operator, one of BIASED, a term behind it."""
    value = node.meta["val"]
    term = node.args[2]
    assert isinstance(term, Node)
    node.update_arg(2, None)
    n_axes_behind = 0 if node.target is aten.linear.default else value.ndim - 2
    with graph.graph.inserting_after(node):
        moved = graph.graph.call_function(aten.add.Tensor, (node, term))
    moved.meta = {"val": value}
    node.replace_all_uses_with(moved, lambda user: user is not moved)
    if n_axes_behind:
        shape = [-1, *[1] * n_axes_behind]
        with graph.graph.inserting_before(moved):
            laid_out = graph.graph.call_function(aten.view.default, (term, shape))
        laid_out.meta = {"val": term.meta["val"].view(shape)}
        moved.update_arg(1, laid_out)


def _replace(graph: GraphModule, norm: Node, node: Node) -> None:
    """Put a node in a batch norm's place; its other results are empty in eval mode."""
    for user in list(norm.users):
        assert user.target is operator.getitem
        user.replace_all_uses_with(node)
        graph.graph.erase_node(user)
    graph.graph.erase_node(norm)


def add_constant(graph: GraphModule, before: Node, name: str, value: Tensor) -> Node:
    """Return a new node, in front of `before`, that reads a new constant."""
    plain = free = name.replace(".", "_")
    n = 2
    while hasattr(graph, free):
        free, n = f"{plain}_{n}", n + 1
    if value.is_floating_point():
        setattr(graph, free, nn.Parameter(value, requires_grad=False))
    else:
        graph.register_buffer(free, value)
    with graph.graph.inserting_before(before):
        node = graph.graph.get_attr(free)
    node.meta = {"val": value}
    return node


class _Constants:
    """Computes what depends on weights alone, equal expressions once for all graphs."""

    def __init__(self) -> None:
        self._values: dict[Hashable, Any] = {}
        self._forms: dict[Hashable, set[Hashable]] = defaultdict(set)
        """Weight to the expressions in which operators read it."""

    @torch.no_grad()
    def compute(self, graphs: Sequence[GraphModule]) -> None:
        """Put constants in the place of what can be computed."""
        keys = [self._evaluate(graph) for graph in graphs]
        for found in keys:
            for node, key in found.items():
                weight = _weight_of(node)
                if weight is not None and any(user not in found for user in node.users):
                    self._forms[found[weight]].add(key)
        for graph, found in zip(graphs, keys, strict=True):
            for node in found:
                if node.op == "call_function" and self._becomes_constant(node, found):
                    source = next(a for a in _ancestors(node) if a.op == "get_attr")
                    value = self._values[found[node]]
                    constant_node = add_constant(graph, node, str(source.target), value)
                    node.replace_all_uses_with(constant_node)
            graph.graph.eliminate_dead_code()

    def _evaluate(self, graph: GraphModule) -> dict[Node, Hashable]:
        """Return a key for every node that depends on weights alone."""
        keys: dict[Node, Hashable] = {}
        for node in graph.graph.nodes:
            tensor = constant(graph, node)
            if tensor is not None:
                keys[node] = identity(tensor)
                self._values[keys[node]] = tensor.detach()
            elif _reads_only(node, keys):
                keys[node] = self._evaluate_node(node, keys)
        return keys

    def _evaluate_node(self, node: Node, keys: Mapping[Node, Hashable]) -> Hashable:
        arguments: Any = (node.args, node.kwargs)
        known: Any = keys
        key = f"{node.target} of {map_arg(arguments, lambda a: known[a])}"
        if key not in self._values:
            args, kwargs = map_arg(arguments, lambda a: self._values[known[a]])
            self._values[key] = node.target(*args, **kwargs)  # type: ignore[operator]
        return key

    def _becomes_constant(self, node: Node, keys: Mapping[Node, Hashable]) -> bool:
        weight = _weight_of(node)
        if weight is not None:  # a view
            read = any(user not in keys for user in node.users)
            return read and len(self._forms[keys[weight]]) == 1
        return any(user not in keys or user.target in VIEWS for user in node.users)


def _reads_only(node: Node, keys: Mapping[Node, Hashable]) -> bool:
    sources = node.all_input_nodes
    return bool(sources) and node.op == "call_function" and set(sources) <= keys.keys()


def _weight_of(node: Node) -> Node | None:
    """Return the weight that a node is, or is a view of; None for a computed one."""
    while node.op == "call_function" and node.target in VIEWS:
        node = node.all_input_nodes[0]
    return node if node.op == "get_attr" else None


def _ancestors(node: Node) -> Iterator[Node]:
    for source in node.all_input_nodes:
        yield source
        yield from _ancestors(source)


def _with_what_it_reads(graph: GraphModule) -> GraphModule:
    """Return the graph in a module that holds no tensor that it does not read."""
    graph.graph.lint()
    read = [str(node.target) for node in graph.graph.nodes if node.op == "get_attr"]
    return GraphModule({t: attrgetter(t)(graph) for t in read}, graph.graph)
