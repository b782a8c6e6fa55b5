"""Depth as a dial: one file, one engine, any depth, nothing that grows."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.engines import FORMAT_OF_ENGINE, installed_engines, open_engine
from edge_runtime.errors import EngineError
from export.dial import run_modules
from tests.export.conftest import Exported

N_CHANGES = 1000
ENGINES = [name for name in installed_engines() if name != "tflite-runtime"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_loop_is_the_module_at_every_depth(
    tiny_picture: Exported, engine: str
) -> None:
    """On an engine's own buffers the stream passes as from module to module."""
    model = tiny_picture.bundle.model(FORMAT_OF_ENGINE[engine], "fp32")
    plan = tiny_picture.plan
    assert plan.loop is not None

    with open_engine(engine, model) as opened:
        for asked in plan.asked:
            expected = run_modules(plan.entry_points, plan.loop, asked)
            for depth, outputs in expected.items():
                found = opened.run(f"depth_{depth}", asked)
                np.testing.assert_allclose(
                    outputs["restored"], found["restored"], rtol=0, atol=1e-5
                )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_loop_equals_its_parts(tiny_picture: Exported, engine: str) -> None:
    """Called one by one, the entry points give the same numbers, to the bit."""
    model = tiny_picture.bundle.model(FORMAT_OF_ENGINE[engine], "int8")
    (asked, *_) = tiny_picture.plan.asked

    with open_engine(engine, model) as opened:
        found = opened.run("depth_2", asked)["restored"]
        stream = opened.run("head", asked)["stream"]
        for position in range(2):
            at = np.array([position], np.int32)
            inputs = {"stream": stream, "position": at, "sigma": asked["sigma"]}
            stream = opened.run("step", inputs)["next_stream"]
        last = {"stream": stream, "exit": np.array([1], np.int32)}
        expected = opened.run("tail", asked | last)["restored"]

    np.testing.assert_array_equal(expected, found)


@pytest.mark.parametrize("engine", ENGINES)
def test_turning_the_dial_costs_nothing(tiny_picture: Exported, engine: str) -> None:
    """A thousand changes of depth leave memory and open files as they were."""
    model = tiny_picture.bundle.model(FORMAT_OF_ENGINE[engine], "int8")
    (asked, *_) = tiny_picture.plan.asked

    with open_engine(engine, model) as opened:
        for depth in (1, 2) * 50:
            opened.run(f"depth_{depth}", asked)
        before = resident_kib(), n_open_files()
        for depth in (1, 2) * (N_CHANGES // 2):
            opened.run(f"depth_{depth}", asked)
        after = resident_kib(), n_open_files()

    assert after[0] - before[0] < 512
    assert before[1] == after[1]


def test_a_depth_that_is_not_on_offer_is_refused(tiny_picture: Exported) -> None:
    """The line lists what there is."""
    model = tiny_picture.bundle.model("tflite", "fp32")
    (asked, *_) = tiny_picture.plan.asked

    with open_engine("litert", model) as engine, pytest.raises(EngineError) as caught:
        engine.run("depth_3", asked)

    assert (
        'tiny.fp32.tflite: no entry point "depth_3", expected one of head step tail'
        " depth_1 depth_2" == str(caught.value)
    )


def test_depth_adds_no_byte(tiny_picture: Exported) -> None:
    """The file that runs the block twice is the file that runs it once."""
    for model in tiny_picture.bundle.models:
        uses = {row.name: row.uses for row in model.sharing.weights}

        assert 1 == uses["body.first.weight"]
        assert ["head", "step", "tail"] == [s.name for s in model.signatures]


def resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def n_open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("model_format", ["tflite", "pte"])
def test_what_is_each_step_s_own_stays_float(
    tiny_picture: Exported, model_format: str
) -> None:
    """In int8, too: a few numbers per step, and the network depends on each."""
    model = tiny_picture.bundle.model(model_format, "int8")
    rows = {row.name: row for row in model.sharing.weights}

    for name in ("body.scale", "body.bias", "tail_bias"):
        assert 4 * np.prod(rows[name].shape) == rows[name].stored_bytes
