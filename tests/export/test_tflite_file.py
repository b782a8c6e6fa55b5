from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import BundleError, TiedgeError
from export.tflite_file import read_tflite
from export.tflite_rewrite import deduplicate
from tests.export.broken_sharing import (
    rewritten,
    with_data_behind,
)
from tests.export.sharing_models import (
    CHANNELS,
    KERNEL_BYTES,
    STEPS,
    Recursive,
    quantized_tflite,
    tflite,
)


def test_names_graphs_by_their_signatures():
    """Each subgraph carries the name of the signature that calls it."""
    model = read_tflite(tflite(Recursive))

    assert ("depth_1", "depth_2") == model.signatures
    assert {"depth_1", "depth_2"} == {graph.name for graph in model.graphs}


def test_finds_every_use_of_a_shared_kernel():
    """The shared kernel is one constant, read once per step by a convolution."""
    kernel = (CHANNELS, 3, 3, CHANNELS)
    found = [
        c
        for c in read_tflite(tflite(Recursive)).constants
        if [view.shape for view in c.views] == [kernel]
    ]

    assert [KERNEL_BYTES * 4] == [len(constant.data) for constant in found]
    assert [("CONV_2D", 1)] * sum(STEPS) == [
        (use.operator, use.operand) for use in found[0].uses
    ]
    assert sum(STEPS) == found[0].n_nodes


def test_looks_through_dequantize_to_the_readers():
    """A half-precision kernel counts its convolutions, not the one conversion."""
    constants = read_tflite(quantized_tflite(Recursive, "fp16")).constants
    (kernel,) = [c for c in constants if len(c.data) == KERNEL_BYTES * 2]

    assert "float16" == kernel.views[0].dtype
    assert {"CONV_2D"} == {use.operator for use in kernel.uses}
    assert sum(STEPS) == kernel.n_nodes


def test_reads_scales_per_channel():
    """An int8 kernel has one scale per output channel and zero points of zero."""
    constants = read_tflite(quantized_tflite(Recursive, "static")).constants
    (kernel,) = [c for c in constants if len(c.data) == KERNEL_BYTES]
    quantization = kernel.views[0].quantization

    assert quantization is not None
    assert CHANNELS == len(quantization.scale)
    assert {0} == set(quantization.zero_point)
    assert 0 == quantization.axis


def test_reads_constants_behind_the_flatbuffer():
    """Constants that lie behind the flatbuffer are read like those in it."""
    inside = read_tflite(tflite(Recursive)).constants
    behind = read_tflite(with_data_behind(tflite(Recursive))).constants

    assert inside == behind


def test_refuses_what_is_no_tflite_file():
    """The error shows the bytes that were found."""
    with pytest.raises(BundleError) as caught:
        read_tflite(b"PK\x03\x04 not a model", "a.tflite")

    assert (
        "a.tflite: is no .tflite file: bytes 4 to 7 are b' not', expected b'TFL3'"
        == str(caught.value)
    )


def test_refuses_constants_cut_off():
    """A file cut behind the flatbuffer says so."""
    data = with_data_behind(tflite(Recursive))

    with pytest.raises(
        BundleError, match=r"a: buffer \d+ ends at byte \d+ of \d+; the"
    ):
        read_tflite(data[:-100], "a")


def test_refuses_a_tensor_that_does_not_fit_its_bytes():
    """A shape that asks for other bytes than are stored is refused by name."""

    def widen(model: Any) -> None:
        graph = model.subgraphs[0]
        kernel = next(t for t in graph.tensors if list(t.shape) == [CHANNELS, 3, 3, 3])
        kernel.shape, kernel.name = [CHANNELS, 3, 3, 4], b"kernel"

    with pytest.raises(BundleError) as caught:
        read_tflite(rewritten(tflite(Recursive), widen), "a")

    assert (
        "a: tensor 'kernel' of float32 (8, 3, 3, 4) takes 1152 bytes, the file stores"
        " 864; export it again" == str(caught.value)
    )


def test_refuses_a_buffer_that_is_not_there():
    """A tensor that points outside the buffers is refused."""

    def point_away(model: Any) -> None:
        model.subgraphs[0].tensors[0].buffer = 9999

    with pytest.raises(BundleError, match=r"reads buffer 9999 of \d+; export it again"):
        read_tflite(rewritten(tflite(Recursive), point_away))


@settings(max_examples=60)
@given(data=st.data())
def test_damaged_files_are_expected_failures(data):
    """Cut or altered bytes are read, or refused in one line; nothing else happens."""
    whole = bytearray(quantized_tflite(Recursive, "static"))
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(
            st.integers(0, 255)
        )
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    for damaged in (bytes(whole), cut):
        try:
            read_tflite(damaged)
            deduplicate(damaged)
        except TiedgeError as error:
            assert "\n" not in str(error)
