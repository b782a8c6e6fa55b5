import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import BundleError, TiedgeError
from export.constants import codes
from export.flatbuffer import Table
from export.pte_file import read_pte
from tests.export.sharing_models import (
    CHANNELS,
    KERNEL_BYTES,
    STEPS,
    Recursive,
    Tied,
    TiedProjection,
    network,
    pte,
)


def test_names_methods_and_backends():
    """Methods carry their names; XNNPACK is the one backend."""
    program = read_pte(pte(Recursive))

    assert {f"depth_{n}" for n in STEPS} == set(program.methods)
    assert ("XnnpackBackend",) == program.delegates


def test_finds_every_use_of_a_shared_kernel():
    """The shared kernel is one constant, read once per step by a convolution."""
    constants = read_pte(pte(Recursive)).constants
    (kernel,) = [c for c in constants if len(c.data) == KERNEL_BYTES * 4]

    assert {"XNNConv2d"} == {use.operator for use in kernel.uses}
    assert {1} == {use.operand for use in kernel.uses}
    assert sum(STEPS) == kernel.n_nodes
    assert {f"depth_{n}" for n in STEPS} == {use.graph for use in kernel.uses}


def test_reads_the_numbers_of_a_kernel():
    """A stored kernel is the module's own, rows, columns and inputs last."""
    constants = read_pte(pte(Recursive)).constants
    (kernel,) = [c for c in constants if len(c.data) == KERNEL_BYTES * 4]
    expected = network(Recursive).shared.weight.detach().numpy().transpose(0, 2, 3, 1)

    assert np.array_equal(expected, codes(kernel.views[0], kernel.data))


def test_reads_scales_per_channel():
    """An int8 kernel comes with a scale per output channel, stored apart."""
    constants = read_pte(pte(Recursive, "int8")).constants
    (kernel,) = [c for c in constants if len(c.data) == KERNEL_BYTES]
    roles = [c.role for c in constants if c.role]

    assert kernel.views[0].quantization is not None
    assert CHANNELS == len(kernel.views[0].quantization.scale)
    assert ["scales of a quantization"] * 2 == roles


def test_reads_scales_of_constants_that_are_passed_to_a_payload():
    """An int8 vector outside of XNNPACK is read by the scale that XNNPACK applies."""
    constants = read_pte(pte(Recursive, "int8")).constants
    vectors = [c for c in constants if len(c.data) == CHANNELS and not c.role]

    assert 2 * max(STEPS) == len(vectors)
    for vector in vectors:
        assert {"XNNMultiply", "XNNAdd"} >= {use.operator for use in vector.uses}
        assert all(view.quantization is not None for view in vector.views)


def test_tells_a_portable_copy_from_that_of_a_payload():
    """A tied embedding is stored for the lookup and once more for XNNPACK."""
    constants = read_pte(pte(TiedProjection)).constants
    readers = [{use.operator for use in c.uses} for c in constants]

    assert [{"aten::embedding"}, {"XNNFullyConnected"}] == readers
    assert constants[0].sha256 == constants[1].sha256


def test_tied_convolutions_share_one_constant():
    """A convolution and its transpose read the same bytes."""
    (constant,) = read_pte(pte(Tied)).constants

    assert {"XNNConv2d", "XNNConvTranspose2d"} == {u.operator for u in constant.uses}


def test_reads_without_torch():
    """Reading a program imports neither torch nor executorch."""
    code = (
        "import sys; sys.modules['torch'] = sys.modules['executorch'] = None;"
        "from export.pte_file import read_pte;"
        "print(len(read_pte(sys.stdin.buffer.read()).constants))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        input=pte(Recursive),
        capture_output=True,
        cwd=Path(__file__).parents[2],
        check=True,
    )

    assert len(read_pte(pte(Recursive)).constants) == int(result.stdout)


def test_refuses_what_is_no_pte_file():
    """The error shows the bytes that were found."""
    with pytest.raises(BundleError) as caught:
        read_pte(b"PK\x03\x04 not a program", "a.pte")

    assert "a.pte: is no .pte file: bytes 4 to 7 are b' not', expected b'ET12'" == str(
        caught.value
    )


def test_refuses_a_file_cut_short():
    """A cut segment is named with where it should end."""
    data = pte(Recursive)

    with pytest.raises(
        BundleError, match=r"a: is cut short: a segment ends at byte \d+"
    ):
        read_pte(data[:-500], "a")
    with pytest.raises(BundleError, match=r"a: is cut short: it has 200 bytes"):
        read_pte(data[:200], "a")


@pytest.mark.parametrize("slot", [3, 4])
@pytest.mark.parametrize("index", [-(2**31), -1, 1000])
def test_refuses_an_entry_point_of_values_that_are_not_there(slot, index):
    """A damaged number in a method's inputs or outputs is named, negative or not."""
    damaged = bytearray(pte(Recursive))
    plan = Table.root(damaged, "a").tables(1)[0]
    n_values, method = len(plan.tables(2)), plan.text(0)
    struct.pack_into("<i", damaged, plan.vector_start(slot), index)
    with pytest.raises(BundleError) as caught:
        read_pte(bytes(damaged), "a")

    assert (
        f"a: is damaged: {method} takes or gives value {index} of {n_values};"
        " copy it again, or export it again" == str(caught.value)
    )


@settings(max_examples=100)
@given(data=st.data())
def test_damaged_files_are_expected_failures(data):
    """Cut or altered bytes are read, or refused in one line; nothing else happens."""
    whole = bytearray(pte(Recursive, "int8"))
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(
            st.integers(0, 255)
        )
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    for damaged in (bytes(whole), cut):
        try:
            read_pte(damaged)
        except TiedgeError as error:
            assert "\n" not in str(error)
