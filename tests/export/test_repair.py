"""Lossless repair of `.tflite` files: copies go, outputs stay, the input stays."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiedge
from edge_runtime.errors import ParityError
from export.repair import prove_equal
from export.stored_file import read_stored
from export.tflite_rewrite import deduplicate
from tests.export.broken_sharing import rewritten, with_data_behind, with_own_copies
from tests.export.sharing_models import Recursive, quantized_tflite, tflite


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A file that holds each constant as often as it is read."""
    path = tmp_path / "copied.tflite"
    path.write_bytes(with_own_copies(tflite(Recursive)))
    return path


def constant_bytes(path: Path) -> int:
    constants = read_stored(path.read_bytes(), "tflite").constants
    return sum(len(constant.data) for constant in constants)


def repair(*words: object) -> int:
    return tiedge.main(["inspect", *map(str, words), "--repair"])


def test_copies_go_and_the_input_stays(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The repaired file lies beside the input, and one line says what it saved."""
    data = copied.read_bytes()
    status = repair(copied)
    repaired = copied.with_name("copied.repaired.tflite")
    (line,) = capsys.readouterr().out.splitlines()

    assert 0 == status
    assert data == copied.read_bytes()
    assert deduplicate(data) == repaired.read_bytes()
    assert line.startswith(f"{repaired}: {repaired.stat().st_size:,} bytes; ")
    assert line.endswith(
        "were copies, or unread; outputs equal to the bit on litert, 3 random inputs to"
        " each entry point (2)"
    )


@pytest.mark.parametrize("scheme", ["static", "dynamic"])
def test_quantized_files_are_repaired(scheme: str, tmp_path: Path) -> None:
    """Integer inputs, and constants behind the flatbuffer, are proven alike."""
    path = tmp_path / "int8.tflite"
    data = with_own_copies(quantized_tflite(Recursive, scheme))
    path.write_bytes(with_data_behind(data))

    assert 0 == repair(path, "-o", tmp_path / "out.tflite")
    assert deduplicate(data) == (tmp_path / "out.tflite").read_bytes()


def test_the_input_is_replaced_where_it_is_named(copied: Path) -> None:
    """Naming the input as output says clearly enough that it may go."""
    data = copied.read_bytes()

    assert 0 == repair(copied, "-o", copied)
    assert deduplicate(data) == copied.read_bytes()
    assert [copied] == list(copied.parent.iterdir())


def test_nothing_to_repair_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file without copies is success, and no file is written."""
    path = tmp_path / "tidy.tflite"
    path.write_bytes(deduplicate(tflite(Recursive)))

    assert 0 == repair(path)
    assert (
        f"{path}: nothing to repair: no constant is stored twice\n"
        == capsys.readouterr().out
    )
    assert [path] == list(tmp_path.iterdir())


def test_json_has_the_figures(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The object names the file that was written, and what it saved."""
    repair(copied, "--json")
    result = json.loads(capsys.readouterr().out)
    saved = constant_bytes(copied) - constant_bytes(Path(result["repaired"]))

    assert (saved, "litert") == (result["saved_bytes"], result["engine"])
    assert result["n_constants"] > 0


def test_refusals_are_one_line_and_write_nothing(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another format, a taken name, damage, an unwritable place, -o alone."""
    folder = copied.parent
    program = folder / "a.pte"
    program.write_bytes(b"")
    taken = folder / "taken.tflite"
    taken.write_bytes(copied.read_bytes())
    (folder / "taken.repaired.tflite").write_text("mine")
    cut = folder / "cut.tflite"
    cut.write_bytes(copied.read_bytes()[:2000])
    before = sorted(folder.iterdir())
    statuses = [
        repair(program),
        repair(taken),
        repair(cut),
        repair(copied, "-o", "/proc/a.tflite"),
        tiedge.main(["inspect", str(copied), "-o", "a.tflite"]),
        repair("denoise"),
    ]
    messages = capsys.readouterr().err.splitlines()

    assert [1] * 6 == statuses
    assert before == sorted(folder.iterdir())
    start = "tiedge inspect: "
    assert [
        f"{start}{program}: only a .tflite file can be repaired",
        f"{start}{folder / 'taken.repaired.tflite'}: is there already; name the output"
        " with -o",
        f"{start}{cut}: is damaged: its tables do not hang together; copy it again, or"
        " export it again",
        f"{start}/proc/a.tflite: cannot be written: No such file or directory",
        f"{start}-o: names what --repair writes; add --repair",
        f"{start}denoise: only a .tflite file can be repaired",
    ] == messages


def test_a_changed_output_is_found(copied: Path) -> None:
    """The proof compares bytes, so one changed weight is enough."""

    def change(model: Any) -> None:
        full = [buffer for buffer in model.buffers if buffer.data is not None]
        size = max(len(buffer.data) for buffer in full)
        for buffer in full:
            if len(buffer.data) == size:
                buffer.data = np.bitwise_xor(buffer.data, 1)

    other = copied.with_name("other.tflite")
    other.write_bytes(rewritten(copied.read_bytes(), change))
    signatures = read_stored(copied.read_bytes(), "tflite").signatures
    with pytest.raises(ParityError) as caught:
        prove_equal(copied, other, signatures)

    assert (
        "copied.tflite: the repaired file gives another depth_1 output 'output_0';"
        " the file is left as it was" == str(caught.value)
    )
