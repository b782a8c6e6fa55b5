"""Files that tiedge did not make: every constant counted, or said to be unreadable."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from torch import Tensor, nn

from edge_runtime.errors import EngineError, SharingError
from edge_runtime.file_cost import FileCost
from export.audit import audit
from export.file_finding import (
    NOT_ASKED,
    Cost,
    Outside,
    cost_line,
    find_cost,
    find_outside,
    finding_lines,
)
from export.partition import outside_delegate
from export.survey import survey
from export.tflite_rewrite import deduplicate
from tests.export.broken_sharing import has_data, rewritten
from tests.export.sharing_models import Recursive, pte, quiet, source, tflite

WIDTH = 64
NOWHERE = Outside(None, "not asked")


class Cumulative(nn.Module):
    """Two uses of one linear map, and an operator that XNNPACK does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cumsum(self.map(torch.relu(self.map(x))), 1)


@cache
def plain_tflite() -> bytes:
    """Return what litert-torch makes, two entry points of two shapes."""
    with quiet():
        import litert_torch

        module = Cumulative().eval()
        target: Any = litert_torch
        for name, n_rows in (("one", 1), ("four", 4)):
            target = target.signature(name, module, (torch.rand(n_rows, WIDTH),))
        return bytes(target.convert().model_content())


@cache
def blockwise_tflite() -> bytes:
    """Return the same with 4-bit weights, a scale for 32 of them."""
    with quiet():
        from ai_edge_quantizer import quantizer, recipe

        tool = quantizer.Quantizer(
            bytearray(plain_tflite()), recipe.dynamic_wi4b32_afp32()
        )
        return bytes(tool.quantize().quantized_model)


@cache
def plain_pte(delegated: bool, outside: bool) -> bytes:
    """Return what executorch makes; `outside` puts weights into another file."""
    with quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import (
            XnnpackPartitioner,
        )
        from executorch.exir import (
            ExecutorchBackendConfig,
            to_edge_transform_and_lower,
        )

        program = torch.export.export(Cumulative().eval(), (torch.rand(1, WIDTH),))
        partitioner = [XnnpackPartitioner()] if delegated else []
        edge = to_edge_transform_and_lower(program, partitioner=partitioner)
        config = ExecutorchBackendConfig(external_constants=outside)
        return bytes(edge.to_executorch(config).buffer)


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def changed(data: bytes, change: Callable[[Any, Any], None]) -> bytes:
    """Return a model after a change of its largest constant tensor."""

    def apply(model: Any) -> None:
        tensors = [t for graph in model.subgraphs for t in graph.tensors]
        constant = [t for t in tensors if has_data(model, t)]
        change(model, max(constant, key=lambda t: len(model.buffers[t.buffer].data)))

    return rewritten(data, apply)


def test_blocks_are_named_and_their_scales_count_nowhere() -> None:
    """A 4-bit weight takes half a byte an element; its 128 scales are metadata."""
    found = survey(blockwise_tflite(), "tflite")

    sizes = {
        found.stored_as[weight.name]: weight.unique_bytes
        for weight in found.report.weights
    }
    assert {"int4 in blocks of 32": WIDTH**2 // 2, "float32": WIDTH * 4} == sizes
    assert ["scales of a quantization"] == [
        constant.reason
        for constant in found.report.structural
        if constant.bytes == 2 * WIDTH**2 // 32
    ]
    assert "stored as: int4 in blocks of 32 2,048, float32 256" in finding_lines(
        found, NOWHERE, NOT_ASKED
    )


def test_a_sparse_weight_counts_what_is_stored() -> None:
    """Fewer bytes than the shape takes are no damage where the tensor says so."""

    def thin_out(model: Any, tensor: Any) -> None:
        tensor.sparsity = schema.SparsityParametersT()
        model.buffers[tensor.buffer].data = model.buffers[tensor.buffer].data[:100]

    found = survey(changed(tflite(Recursive), thin_out), "tflite")

    (sparse,) = [w for w in found.report.weights if w.unique_bytes == 100]
    assert "float32 sparse" == found.stored_as[sparse.name]


def test_text_is_counted_and_not_decoded() -> None:
    """A tensor of text has no fixed size, and is no damage."""

    def make_text(model: Any, tensor: Any) -> None:
        tensor.type = schema.TensorType.STRING

    found = survey(changed(tflite(Recursive), make_text), "tflite")

    assert "string of no fixed size" in found.stored_as.values()


def test_constants_in_another_file_are_named() -> None:
    """They are neither counted nor a crash; an audit and a rewrite refuse the file."""

    def move_out(model: Any, tensor: Any) -> None:
        tensor.externalBuffer, tensor.buffer = 1, 0
        tensor.name = b"far"

    data = changed(tflite(Recursive), move_out)
    found = survey(data, "tflite")
    with pytest.raises(SharingError) as audited:
        audit(data, "tflite", source(Recursive), "a.tflite")
    with pytest.raises(SharingError) as deduplicated:
        deduplicate(data, "a.tflite")

    message = "a.tflite: tensor 'far' lies in another file; export with the weights"
    assert ("far",) == found.file.external
    assert [f"{message} inside"] * 2 == [str(audited.value), str(deduplicated.value)]
    assert "in another file: 1 constants (far)" in finding_lines(
        found, NOWHERE, NOT_ASKED
    )


def test_a_program_without_its_weights_is_named() -> None:
    """The names come from the program, the bytes are in a file beside it."""
    found = survey(plain_pte(delegated=False, outside=True), "pte")

    assert ("map.weight", "map.bias") == found.file.external
    assert 0 == found.report.stored_bytes


def test_an_unknown_backends_payload_is_not_counted() -> None:
    """Bytes that only a backend can read are told apart from copies."""
    data = pte(Recursive).replace(b"XnnpackBackend", b"UnheardBackend")
    found = survey(data, "pte")

    assert 0 == found.report.duplicate_bytes
    assert {"UnheardBackend"} == {opaque.backend for opaque in found.opaque}
    n_bytes = sum(opaque.bytes for opaque in found.opaque)
    assert n_bytes > 3296
    lines = finding_lines(found, Outside({}, ""), NOT_ASKED)
    assert "delegates: UnheardBackend" in lines
    assert f"cannot be read: {n_bytes:,} bytes for UnheardBackend, not counted" in lines


@pytest.mark.parametrize(
    ("delegated", "outside"),
    [
        (True, {"aten::cumsum.out": 1}),
        (
            False,
            {
                "aten::permute_copy.out": 2,
                "aten::addmm.out": 2,
                "aten::relu.out": 1,
                "aten::cumsum.out": 1,
            },
        ),
    ],
)
def test_a_program_names_its_operators_outside(
    delegated: bool, outside: dict[str, int]
) -> None:
    """What no delegate takes is in the program."""
    found = survey(plain_pte(delegated, outside=False), "pte")

    assert {"forward": outside} == found.file.outside


def test_litert_says_what_xnnpack_does_not_take(tmp_path: Path) -> None:
    """Both entry points are looked at, the second as if it were the first."""
    path = write(tmp_path, "plain.tflite", plain_tflite())
    found = survey(plain_tflite(), "tflite")
    outside = find_outside(path, found)

    assert {"one": {"CUMSUM": 1}, "four": {"CUMSUM": 1}} == outside.operators
    assert (
        "outside the delegate: one CUMSUM ×1 of 3 operators;"
        " four CUMSUM ×1 of 3 operators"
    ) in finding_lines(found, outside, NOT_ASKED)


def test_a_file_that_litert_refuses_says_why(tmp_path: Path) -> None:
    """What cannot be measured is not measured, in LiteRT's words, and on one line."""

    def spoil(model: Any) -> None:
        for code in model.operatorCodes:
            code.version = 99

    path = write(tmp_path, "new.tflite", rewritten(tflite(Recursive), spoil))
    with pytest.raises(EngineError) as caught:
        outside_delegate(path)
    outside = find_outside(path, survey(path.read_bytes(), "tflite"))

    message = str(caught.value)
    assert message.startswith("new.tflite: litert cannot load it: Didn't find op")
    assert "\n" not in message
    assert Outside(None, message) == outside


@pytest.mark.parametrize("model_format", ["tflite", "pte"])
def test_memory_is_measured_on_request(model_format: str, tmp_path: Path) -> None:
    """One map used twice is packed twice; the peak is that of a whole process."""
    data = plain_tflite()
    if model_format == "pte":
        data = plain_pte(delegated=True, outside=False)
    path = write(tmp_path, f"plain.{model_format}", data)
    cost = find_cost(path, model_format, survey(data, model_format).file.signatures)

    assert "" == cost.reason
    packed, peak = cost.cost.packed_bytes, cost.cost.peak_rss_bytes
    assert packed is not None and peak is not None
    # Four uses in the two entry points of the .tflite, two in the .pte.
    n_uses = 4 if model_format == "tflite" else 2
    assert 0.9 <= packed / (n_uses * WIDTH**2 * 4) <= 1.3
    assert 10**7 < peak < 10**9


def test_small_sizes_are_told_in_kilobytes() -> None:
    """A few kilobytes are not rounded to no megabyte."""
    line = cost_line(Cost("litert", FileCost(12_300, 85_320_000), ""))

    assert "packed weights 12.3 KB, peak memory 85.32 MB on litert" == line


def test_a_cost_that_cannot_be_measured_says_why(tmp_path: Path) -> None:
    """A backend that is not there is the reason."""
    data = pte(Recursive).replace(b"XnnpackBackend", b"UnheardBackend")
    path = write(tmp_path, "far.pte", data)
    cost = find_cost(path, "pte", survey(data, "pte").file.signatures)

    assert (None, None) == (cost.cost.packed_bytes, cost.cost.peak_rss_bytes)
    assert "Backend UnheardBackend is not registered" in cost.reason
