"""Damaged model files: a report or one clear line, never Python's own words."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.bundle import BUNDLES
from edge_runtime.errors import BundleError, TiedgeError
from export.file_finding import NOT_ASKED, Outside, finding_lines
from export.sharing_report import sharing_summary, sharing_table, uses_legend
from export.survey import survey
from tests.export.sharing_models import Recursive, pte, quantized_tflite

LONGEST_LINE = 400
FOREIGN = re.compile(
    r"unpack|codec|out of range|object|attribute|argument|buffer is|NoneType|Errno"
    r"|integer string|Traceback|Error"
)
"""Words of Python's and numpy's messages, not of ours."""

SMALL = {
    "tflite": lambda: quantized_tflite(Recursive, "static"),
    "pte": lambda: pte(Recursive, "int8"),
}
WORDS = [0, 1, 0xFF, 2**16, 2**31 - 1, 2**31, 2**32 - 4, 2**32 - 1]
"""32-bit numbers that offsets and lengths go wrong by."""


@st.composite
def damage(draw: st.DrawFn, whole: bytes) -> bytes:
    """Return the file with some bytes or words changed, perhaps cut."""
    data = bytearray(whole)
    places = st.integers(0, len(data) - 4)
    for _ in range(draw(st.integers(0, 4))):
        data[draw(places)] = draw(st.integers(0, 255))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(places)
        data[place : place + 4] = draw(st.sampled_from(WORDS)).to_bytes(4, "little")
    return bytes(data[: draw(st.just(len(data)) | st.integers(0, len(data)))])


def check(data: bytes, model_format: str) -> None:
    """Fail unless the bytes give a printable report or one clear line."""
    try:
        found = survey(data, model_format, "a file")
    except TiedgeError as error:
        (line,) = str(error).splitlines()
        assert line.startswith("a file: ")
        assert len(line) <= LONGEST_LINE
        assert not FOREIGN.search(line)
        return
    report = found.report
    table = [*sharing_table(report).splitlines(), uses_legend(report)]
    table += finding_lines(found, Outside(found.file.outside, ""), NOT_ASKED)
    for line in [*sharing_summary(report), *table]:
        assert line.isprintable()


@pytest.mark.parametrize("model_format", SMALL)
def test_a_damaged_file_is_one_clear_line(model_format: str) -> None:
    """Whatever is changed in a small file, the outcome is a report or a refusal."""

    @settings(max_examples=300, derandomize=True, database=None)
    @given(data=damage(SMALL[model_format]()))
    def try_it(data: bytes) -> None:
        check(data, model_format)

    try_it()


@pytest.mark.parametrize("name", ["denoise.int8.tflite", "digits.int8.pte"])
def test_a_damaged_shipped_file_is_one_clear_line(name: str) -> None:
    """The same holds for files as they are shipped."""
    path = BUNDLES / name.partition(".")[0] / name
    if not path.is_file():
        pytest.skip(f"the ready-made {name} is not built; run: make bundles")

    @settings(max_examples=100, derandomize=True, database=None)
    @given(data=damage(path.read_bytes()))
    def try_it(data: bytes) -> None:
        check(data, path.suffix[1:])

    try_it()


@pytest.mark.parametrize("model_format", SMALL)
@pytest.mark.campaign
def test_thousands_of_damaged_files_are_one_clear_line(model_format: str) -> None:
    """The same at length."""

    @settings(max_examples=5_000, derandomize=True, database=None)
    @given(data=damage(SMALL[model_format]()))
    def try_it(data: bytes) -> None:
        check(data, model_format)

    try_it()


def test_a_shape_that_overflows_is_refused() -> None:
    """Sizes whose product leaves 64 bits are counted exactly, and do not fit."""
    data = pte(Recursive)
    shape = b"".join(n.to_bytes(4, "little") for n in (8, 3, 3, 8))
    absurd = b"".join(n.to_bytes(4, "little") for n in (2**31,) * 4)
    assert shape in data

    with pytest.raises(BundleError) as caught:
        survey(data.replace(shape, absurd), "pte", "a.pte")

    (line,) = str(caught.value).splitlines()
    assert f"takes {4 * 2**124} bytes, the file stores 2304; export it again" in line


def test_a_name_of_control_characters_is_printable(tmp_path: Path) -> None:
    """A name can neither break a line nor move a terminal's cursor."""
    data = quantized_tflite(Recursive, "static")
    names = [w.name for w in survey(data, "tflite").report.weights]
    name = max(names, key=len).encode()
    hostile = b"\x1b[2J\n" + name[5:]

    report = survey(data.replace(name, hostile), "tflite").report

    assert all(weight.name.isprintable() for weight in report.weights)
    assert any(weight.name.startswith("�[2J�") for weight in report.weights)
