from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_runtime.errors import SharingError
from export.tflite_file import read_tflite
from export.tflite_rewrite import (
    copy_passthroughs,
    deduplicate,
    rename_signature_tensors,
)
from tests.export.broken_sharing import (
    rewritten,
    with_data_behind,
    with_own_copies,
)
from tests.export.sharing_models import (
    STEPS,
    Recursive,
    picture,
    quantized_tflite,
    tflite,
)


def outputs(data: bytes, signature: str) -> NDArray[Any]:
    runner = Interpreter(model_content=data).get_signature_runner(signature)
    (name, details), *_ = runner.get_input_details().items()
    values = picture().numpy()
    if details["dtype"] == np.int8:
        scale, zero_point = details["quantization"]
        values = np.clip(np.round(values / scale) + zero_point, -128, 127)
    (result,) = runner(**{name: values.astype(details["dtype"])}).values()
    return result


def total_bytes(data: bytes) -> int:
    return sum(len(constant.data) for constant in read_tflite(data).constants)


@pytest.mark.parametrize("scheme", ["fp32", "static", "dynamic", "fp16", "int4"])
@pytest.mark.parametrize("steps", STEPS)
def test_deduplicated_file_computes_the_same(scheme, steps):
    """Outputs agree to the bit in every precision."""
    data = (
        tflite(Recursive) if scheme == "fp32" else quantized_tflite(Recursive, scheme)
    )
    name = f"depth_{steps}"

    assert np.array_equal(outputs(data, name), outputs(deduplicate(data), name))


@settings(max_examples=15)
@given(
    chosen=st.lists(st.booleans(), min_size=1, max_size=30),
    behind=st.booleans(),
    scheme=st.sampled_from(["static", "dynamic"]),
)
def test_deduplicate_undoes_any_copying(chosen, behind, scheme):
    """Whatever constants were copied, and wherever they lie, one of each remains."""
    data = quantized_tflite(Recursive, scheme)
    copied = with_own_copies(data, chosen)
    restored = deduplicate(with_data_behind(copied) if behind else copied)

    assert total_bytes(deduplicate(data)) == total_bytes(restored)
    assert restored == deduplicate(restored)
    for steps in STEPS:
        name = f"depth_{steps}"
        assert np.array_equal(outputs(data, name), outputs(restored, name))


def test_deduplicate_aligns_constants():
    """Every constant starts on a 16-byte boundary, as the schema asks."""
    data = deduplicate(tflite(Recursive))
    start = np.frombuffer(data, np.uint8).ctypes.data
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    places = [b.data.ctypes.data - start for b in model.buffers if b.data is not None]

    assert places
    assert [] == [place for place in places if place % 16]


def test_deduplicate_drops_what_nothing_reads():
    """A constant without a tensor goes, and with it its bytes."""
    unread = b"nothing reads this text"

    def add(model: Any) -> None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(unread, np.uint8)
        model.buffers.append(buffer)

    data = rewritten(tflite(Recursive), add)

    assert unread in data
    assert unread not in deduplicate(data)


def test_renames_signature_tensors():
    """A renamed signature answers under its new names, with the same numbers."""
    data = tflite(Recursive)
    names = {"depth_2": {"args_0": "picture", "output_0": "restored"}}
    renamed = rename_signature_tensors(data, names)
    runner = Interpreter(model_content=renamed).get_signature_runner("depth_2")

    result = runner(picture=picture().numpy())

    assert ["restored"] == list(result)
    assert np.array_equal(outputs(data, "depth_2"), result["restored"])
    assert np.array_equal(outputs(data, "depth_1"), outputs(renamed, "depth_1"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            {"deep": {}},
            "m: has no signature 'deep', only ['depth_1', 'depth_2']",
        ),
        (
            {"depth_1": {"x": "y"}},
            "m: signature 'depth_1': has no tensor 'x', only ['args_0', 'output_0']",
        ),
    ],
)
def test_refuses_names_that_are_not_there(names, message):
    """The error lists what the model has."""
    with pytest.raises(SharingError) as caught:
        rename_signature_tensors(tflite(Recursive), names, "m")

    assert message == str(caught.value)


def test_an_input_that_is_an_output_is_copied():
    """A graph that hands its input on writes it to an output of its own."""

    def hand_on(model: Any) -> None:
        for graph in model.subgraphs:
            graph.outputs = [*graph.outputs, graph.inputs[0]]
        for signature in model.signatureDefs:
            entry = schema.TensorMapT()
            entry.name = b"same"
            entry.tensorIndex = signature.inputs[0].tensorIndex
            signature.outputs.append(entry)

    data = rewritten(tflite(Recursive), hand_on)
    copied = copy_passthroughs(data)
    runner = Interpreter(model_content=copied).get_signature_runner("depth_2")

    result = runner(args_0=picture().numpy())

    assert np.array_equal(picture().numpy(), result["same"])
    assert np.array_equal(outputs(tflite(Recursive), "depth_2"), result["output_0"])
    for graph in read_tflite(copied).graphs:
        assert not set(graph.inputs) & set(graph.outputs)


def test_a_file_without_such_an_input_stays_as_it_is():
    """Where every output is computed there is nothing to copy."""
    data = deduplicate(tflite(Recursive))

    assert data == copy_passthroughs(data)
