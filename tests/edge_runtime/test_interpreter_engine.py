"""The engine behind tflite-runtime and tensorflow, on LiteRT's own interpreter."""

from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edge_runtime.engine import Engine
from edge_runtime.engines.interpreter import InterpreterEngine
from edge_runtime.errors import EngineError
from tests.tiny_models import TinyBundle

KERNELS = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES


def load(path: str, threads: int) -> Any:
    return Interpreter(path, num_threads=threads, experimental_op_resolver_type=KERNELS)


def open_interpreter(tiny: TinyBundle, loader: Any = load) -> Engine:
    model = tiny.model("tflite")
    return InterpreterEngine("interpreter", "1", model, 1, loader)


def test_every_entry_point_equals_torch(tiny_picture: TinyBundle) -> None:
    """Entry points of one file run in any order, and results stay as they are."""
    inputs = tiny_picture.inputs["depth_1"]

    with open_interpreter(tiny_picture) as engine:
        first = engine.run("depth_1", inputs)["restored"]
        second = engine.run("depth_2", inputs)["restored"]
        engine.run("depth_1", {**inputs, "picture": inputs["picture"] * 0})

    for name, restored in (("depth_1", first), ("depth_2", second)):
        expected = tiny_picture.outputs[name]["restored"]
        np.testing.assert_allclose(expected, restored, atol=1e-5)


def test_a_state_goes_in_and_comes_out(tiny_speech: TinyBundle) -> None:
    """Several inputs and outputs meet by name."""
    with open_interpreter(tiny_speech) as engine:
        found = engine.run("step", tiny_speech.inputs["step"])

    for name, expected in tiny_speech.outputs["step"].items():
        np.testing.assert_allclose(expected, found[name], atol=1e-5)


def test_a_file_that_is_refused_is_one_line(tiny_picture: TinyBundle) -> None:
    """What the package says about a file it cannot load ends up in one line."""

    def refuse(_: str, __: int) -> Any:
        raise ValueError("no\nmodel")

    with pytest.raises(
        EngineError, match=r"^tiny\.tflite: interpreter cannot load it: no model$"
    ):
        open_interpreter(tiny_picture, refuse)


def test_a_closed_engine_says_so(tiny_picture: TinyBundle) -> None:
    """After close() a run is refused."""
    engine = open_interpreter(tiny_picture)
    engine.close()

    with pytest.raises(EngineError, match="the interpreter engine is closed"):
        engine.run("depth_1", tiny_picture.inputs["depth_1"])
