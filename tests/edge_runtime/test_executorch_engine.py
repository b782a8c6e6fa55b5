"""ExecuTorch through our C++ interface."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundle import ModelFile, Signature, TensorSpec
from edge_runtime.engines import installed_engines, open_engine
from edge_runtime.errors import EngineError
from edge_runtime.native import build
from tests.tiny_models import TinyBundle, largest_difference, tiny_integer_program

pytestmark = pytest.mark.skipif(
    "executorch" not in installed_engines(), reason="executorch is not installed"
)


def with_program(model: ModelFile, path: Path, signature: Signature) -> ModelFile:
    n_bytes = path.stat().st_size
    return dataclasses.replace(model, path=path, bytes=n_bytes, signatures=(signature,))


def spec(name: str, dtype: str, shape: tuple[int, ...] = (2, 3)) -> TensorSpec:
    return TensorSpec(name, dtype, shape, "BH", None, None, None)


def test_outputs_equal_the_python_package(tiny_picture: TinyBundle) -> None:
    """Our interface gives to the bit what executorch's own package gives."""
    runtime = pytest.importorskip("executorch.runtime", reason="it needs torch")
    import torch

    model = tiny_picture.model("pte")
    inputs = tiny_picture.inputs["depth_2"]
    method = runtime.Runtime.get().load_program(model.path).load_method("depth_2")
    tensors = [torch.from_numpy(array) for array in inputs.values()]
    expected = {"restored": method.execute(tensors)[0].numpy()}
    with open_engine("executorch", model) as engine:
        result = engine.run("depth_2", inputs)

    assert 0 == largest_difference(expected, result)


def test_integers_keep_their_width(tiny_picture: TinyBundle, tmp_path: Path) -> None:
    """int64 and int32 tensors go in and out by position, large values included."""
    signature = Signature(
        "forward",
        None,
        (spec("wide", "int64"), spec("narrow", "int32")),
        (spec("more", "int64"), spec("double", "int32")),
    )
    path = tiny_integer_program(tmp_path / "integers.pte")
    wide = np.arange(6).reshape(2, 3) + 2**40
    narrow = np.arange(6, dtype=np.int32).reshape(2, 3)
    model = with_program(tiny_picture.model("pte"), path, signature)
    with open_engine("executorch", model) as engine:
        result = engine.run("forward", {"narrow": narrow, "wide": wide})

    np.testing.assert_array_equal(wide + 1, result["more"])
    np.testing.assert_array_equal(narrow * 2, result["double"])
    assert {"more": np.int64, "double": np.int32} == {
        name: array.dtype.type for name, array in result.items()
    }


def test_number_of_tensors_is_checked(tiny_picture: TinyBundle, tmp_path: Path) -> None:
    """A manifest with an input too few for the file is refused at load."""
    signature = Signature(
        "forward", None, (spec("wide", "int64"),), (spec("more", "int64"),)
    )
    path = tiny_integer_program(tmp_path / "integers.pte")
    with pytest.raises(EngineError) as caught:
        open_engine(
            "executorch", with_program(tiny_picture.model("pte"), path, signature)
        )

    expected = "integers.pte: forward inputs: found number 1 wide, expected wide"
    assert expected == str(caught.value)


def test_more_threads_than_cores_are_refused(tiny_picture: TinyBundle) -> None:
    """The pool is as wide as the machine; more is an error that says how wide."""
    n_threads = (os.cpu_count() or 1) + 1
    with pytest.raises(EngineError) as caught:
        open_engine("executorch", tiny_picture.model("pte"), threads=n_threads)

    assert str(caught.value).startswith(
        f"executorch: found {n_threads} threads, this machine has "
    )
    assert "use --threads" in str(caught.value)


def test_cut_program_says_so(tiny_picture: TinyBundle, tmp_path: Path) -> None:
    """The runtime's own words reach the error, on one line."""
    model = tiny_picture.model("pte")
    path = tmp_path / "cut.pte"
    path.write_bytes(model.path.read_bytes()[:2000])
    with pytest.raises(EngineError) as caught:
        open_engine("executorch", dataclasses.replace(model, path=path, bytes=2000))

    message = str(caught.value)
    assert message.startswith("cut.pte: executorch: the program cannot be loaded")
    assert "File size is too small" in message
    assert "\n" not in message


def test_errors_print_nothing(
    tiny_picture: TinyBundle, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What the runtime logs goes into the error, not to the terminal."""
    model = tiny_picture.model("pte")
    path = tmp_path / "cut.pte"
    path.write_bytes(model.path.read_bytes()[:2000])
    with open_engine("executorch", model) as engine:
        engine.run("depth_1", tiny_picture.inputs["depth_1"])
    with pytest.raises(EngineError):
        open_engine("executorch", dataclasses.replace(model, path=path, bytes=2000))

    assert ("", "") == capfd.readouterr()


def test_the_log_is_shared_in_silence(tmp_path: Path) -> None:
    """Beside executorch's own package, errors keep their reasons; stderr is empty."""
    pytest.importorskip("executorch.runtime", reason="it needs torch")
    (tmp_path / "cut.pte").write_bytes(b"\x00\x00\x00\x00ET12")
    program = (
        "import ctypes, sys; from edge_runtime.native import build;"
        "library = ctypes.CDLL(str(build.build()));"
        "library.tiedge_error.restype = library.tiedge_load.restype = ctypes.c_char_p;"
        "library.tiedge_load(sys.argv[1].encode(), 1, b'');"
        "before = library.tiedge_error();"
        "from export.quiet import quiet\n"
        "with quiet(): import executorch.extension.pybindings.portable_lib\n"
        "assert library.tiedge_load(sys.argv[1].encode(), 1, b'') is None;"
        "assert before == library.tiedge_error();"
        "print(before.decode())"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "cut.pte")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("the program cannot be loaded (Error::")
    assert ": " in done.stdout


def test_the_interface_names_no_source_folder() -> None:
    """The compiled file holds no path of the sources that it was made from."""
    assert str(build.SOURCE.parent).encode() not in build.build().read_bytes()
