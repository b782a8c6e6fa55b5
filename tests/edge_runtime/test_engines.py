"""Every installed engine on the same tiny models, against what torch computes."""

import dataclasses
import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.bundle import ModelFile, TensorSpec
from edge_runtime.engine import Engine
from edge_runtime.engines import (
    FORMAT_OF_ENGINE,
    installed_engines,
    open_engine,
)
from edge_runtime.errors import EngineError, SettingError, missing_package
from edge_runtime.model_header import check_model_bytes
from tests.tiny_models import TinyBundle, largest_difference

FLOAT_TOLERANCE = 1e-5
ENGINES = ("litert", "executorch")
"""tflite-runtime needs numpy below 2: see test_tflite_runtime.py."""


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name not in installed_engines():
        pytest.skip(f"the {name} engine is not installed")
    return name


def open_tiny(name: str, tiny: TinyBundle, **options: Any) -> Engine:
    return open_engine(name, tiny.model(FORMAT_OF_ENGINE[name]), **options)


def changed_input(model: ModelFile, **changes: Any) -> ModelFile:
    """Return `model` with another first input in its first entry point."""
    first, *others = model.signatures
    spec: TensorSpec = dataclasses.replace(first.inputs[0], **changes)
    signature = dataclasses.replace(first, inputs=(spec, *first.inputs[1:]))
    return dataclasses.replace(model, signatures=(signature, *others))


def copied(model: ModelFile, path: Path, data: bytes) -> ModelFile:
    """Return the record of a file with `data`, as a manifest made for it would."""
    path.write_bytes(data)
    return dataclasses.replace(model, path=path, bytes=len(data))


def test_both_depths_equal_torch(engine_name: str, tiny_picture: TinyBundle) -> None:
    """Every entry point of one file computes what the module does at that depth."""
    with open_tiny(engine_name, tiny_picture) as engine:
        results = {
            name: engine.run(name, inputs)
            for name, inputs in tiny_picture.inputs.items()
        }

    assert {"depth_1", "depth_2"} == results.keys()
    for name, expected in tiny_picture.outputs.items():
        assert largest_difference(expected, results[name]) < FLOAT_TOLERANCE
    assert (results["depth_1"]["restored"] != results["depth_2"]["restored"]).any()


def test_step_carries_its_state(engine_name: str, tiny_speech: TinyBundle) -> None:
    """A state that is fed back changes the next step; the same state does not."""
    with open_tiny(engine_name, tiny_speech) as engine:
        inputs = tiny_speech.inputs["step"]
        first = engine.run("step", inputs)
        again = engine.run("step", inputs)
        second = engine.run("step", inputs | {"gru": first["next_gru"]})

    expected = tiny_speech.outputs["step"]
    assert largest_difference(expected, first) < FLOAT_TOLERANCE
    assert largest_difference(first, again) == 0
    assert (first["logits"] != second["logits"]).any()


def test_outputs_are_fresh(engine_name: str, tiny_picture: TinyBundle) -> None:
    """A result stays as it is when the engine runs again, and may be written to."""
    inputs = tiny_picture.inputs["depth_1"]
    with open_tiny(engine_name, tiny_picture) as engine:
        first = engine.run("depth_1", inputs)["restored"]
        kept = first.copy()
        engine.run("depth_1", inputs | {"picture": inputs["picture"] * 0})

    np.testing.assert_array_equal(kept, first)
    assert first.flags.writeable
    assert first.flags.owndata or first.base.flags.owndata


def test_memory_order_does_not_matter(
    engine_name: str, tiny_picture: TinyBundle
) -> None:
    """A transposed or strided view gives what its row-major copy gives."""
    inputs = tiny_picture.inputs["depth_1"]
    picture = inputs["picture"]
    views = {
        "column-major": np.asfortranarray(picture),
        "strided": np.repeat(picture, 2, axis=2)[:, :, ::2],
        "reversed": picture[:, ::-1][:, ::-1],
        "read-only": np.broadcast_to(picture, picture.shape),
    }
    with open_tiny(engine_name, tiny_picture) as engine:
        expected = engine.run("depth_1", inputs)
        for view in views.values():
            result = engine.run("depth_1", inputs | {"picture": view})

            assert 0 == largest_difference(expected, result)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_threads_do_not_change_results(
    engine_name: str, tiny_picture: TinyBundle, n_threads: int
) -> None:
    """One thread and two compute the same."""
    if n_threads > (os.cpu_count() or 1):
        pytest.skip("this machine has one core")
    with open_tiny(engine_name, tiny_picture, threads=n_threads) as engine:
        result = engine.run("depth_2", tiny_picture.inputs["depth_2"])
        threads = engine.threads

    assert n_threads == threads
    difference = largest_difference(tiny_picture.outputs["depth_2"], result)
    assert difference < FLOAT_TOLERANCE


def test_engine_is_shared_between_threads(
    engine_name: str, tiny_picture: TinyBundle
) -> None:
    """Callers on several threads each get their own result."""
    inputs = tiny_picture.inputs["depth_1"]
    pictures = [inputs["picture"] * share for share in (0.0, 0.3, 0.6, 1.0)]
    with open_tiny(engine_name, tiny_picture) as engine:
        expected = [
            engine.run("depth_1", inputs | {"picture": picture})["restored"]
            for picture in pictures
        ]
        wrong: list[int] = []

        def work(number: int) -> None:
            asked = inputs | {"picture": pictures[number]}
            for _ in range(20):
                found = engine.run("depth_1", asked)["restored"]
                if (found != expected[number]).any():
                    wrong.append(number)

        workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    assert [] == wrong


def test_two_engines_live_side_by_side(
    engine_name: str, tiny_picture: TinyBundle, tiny_speech: TinyBundle
) -> None:
    """Closing one model leaves another one usable."""
    with open_tiny(engine_name, tiny_speech) as speech:
        with open_tiny(engine_name, tiny_picture) as picture:
            picture.run("depth_1", tiny_picture.inputs["depth_1"])
            speech.run("step", tiny_speech.inputs["step"])
        result = speech.run("step", tiny_speech.inputs["step"])

    expected = tiny_speech.outputs["step"]
    assert largest_difference(expected, result) < FLOAT_TOLERANCE


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"picture": None},
            "depth_1 inputs: found sigma, expected picture sigma",
        ),
        (
            {"noise": np.zeros(1, np.float32)},
            "depth_1 inputs: found noise picture sigma, expected picture sigma",
        ),
        (
            {"picture": np.zeros((1, 16, 16, 3), np.float64)},
            'depth_1 input "picture": found float64 (1, 16, 16, 3),'
            " expected float32 (1, 16, 16, 3)",
        ),
        (
            {"picture": np.zeros((1, 16, 16, 3), ">f4")},
            'depth_1 input "picture": found >f4 (1, 16, 16, 3),'
            " expected float32 (1, 16, 16, 3)",
        ),
        (
            {"picture": np.zeros((1, 3, 16, 16), np.float32)},
            'depth_1 input "picture": found float32 (1, 3, 16, 16),'
            " expected float32 (1, 16, 16, 3)",
        ),
        (
            {"sigma": 0.1},
            'depth_1 input "sigma": found float, expected an array',
        ),
    ],
)
def test_wrong_inputs_are_refused(
    engine_name: str, tiny_picture: TinyBundle, changes: dict[str, Any], message: str
) -> None:
    """Inputs that do not fit name the entry point, what was found and expected."""
    given = tiny_picture.inputs["depth_1"] | changes
    inputs = {name: array for name, array in given.items() if array is not None}
    with open_tiny(engine_name, tiny_picture) as engine:
        with pytest.raises(EngineError) as caught:
            engine.run("depth_1", inputs)

    ending = FORMAT_OF_ENGINE[engine_name]
    assert f"tiny.{ending}: {message}" == str(caught.value)


def test_unknown_entry_point_is_refused(
    engine_name: str, tiny_picture: TinyBundle
) -> None:
    """An entry point that is not there names those that are."""
    with open_tiny(engine_name, tiny_picture) as engine:
        with pytest.raises(EngineError) as caught:
            engine.run("depth_9", {})

    ending = FORMAT_OF_ENGINE[engine_name]
    expected = (
        f'tiny.{ending}: no entry point "depth_9", expected one of depth_1 depth_2'
    )
    assert expected == str(caught.value)


def test_closed_engine_refuses_to_run(
    engine_name: str, tiny_picture: TinyBundle
) -> None:
    """After close(), which may come twice, a run is an error and no crash."""
    engine = open_tiny(engine_name, tiny_picture)
    engine.close()
    engine.close()
    with pytest.raises(EngineError) as caught:
        engine.run("depth_1", tiny_picture.inputs["depth_1"])

    ending = FORMAT_OF_ENGINE[engine_name]
    assert f"tiny.{ending}: the {engine_name} engine is closed" == str(caught.value)


def test_manifest_that_contradicts_the_file_is_refused(
    engine_name: str, tiny_picture: TinyBundle
) -> None:
    """A shape that the file does not have is found before the first run."""
    model = changed_input(
        tiny_picture.model(FORMAT_OF_ENGINE[engine_name]), shape=(1, 8, 8, 3)
    )
    with pytest.raises(EngineError) as caught:
        open_engine(engine_name, model)

    expected = (
        f'{model.path.name}: depth_1 input "picture" is float32 (1, 16, 16, 3),'
        " bundle.json says float32 (1, 8, 8, 3); run tiedge export again"
    )
    assert expected == str(caught.value)


def test_manifest_with_an_entry_point_too_many_is_refused(
    engine_name: str, tiny_picture: TinyBundle
) -> None:
    """An entry point that the file does not have is found before the first run."""
    model = tiny_picture.model(FORMAT_OF_ENGINE[engine_name])
    extra = dataclasses.replace(model.signatures[0], name="depth_7")
    model = dataclasses.replace(model, signatures=(*model.signatures, extra))
    with pytest.raises(EngineError) as caught:
        open_engine(engine_name, model)

    expected = (
        f'{model.path.name}: no entry point "depth_7", found depth_1 depth_2;'
        " run tiedge export again"
    )
    assert expected == str(caught.value)


def test_model_of_another_format_is_refused(
    engine_name: str, tiny_picture: TinyBundle
) -> None:
    """An engine says which format it runs."""
    runs = FORMAT_OF_ENGINE[engine_name]
    other = {"tflite": "pte", "pte": "tflite"}[runs]
    with pytest.raises(EngineError) as caught:
        open_engine(engine_name, tiny_picture.model(other))

    expected = f"tiny.{other}: {engine_name} runs .{runs} files, found .{other}"
    assert expected == str(caught.value)


def test_unknown_engine_and_threads_are_refused(tiny_picture: TinyBundle) -> None:
    """A misspelt engine lists the engines; no threads are an error."""
    with pytest.raises(SettingError) as unknown:
        open_engine("lightrt", tiny_picture.model("tflite"))
    with pytest.raises(SettingError) as none:
        open_engine("litert", tiny_picture.model("tflite"), threads=0)

    expected = "engine: found lightrt, expected one of litert tflite-runtime executorch"
    assert expected == str(unknown.value)
    assert "threads: found 0, expected 1 or more" == str(none.value)


def test_file_cut_since_the_manifest_is_refused(
    engine_name: str, tiny_picture: TinyBundle, tmp_path: Path
) -> None:
    """A file shorter than its manifest says never reaches the engine."""
    model = tiny_picture.model(FORMAT_OF_ENGINE[engine_name])
    path = tmp_path / model.path.name
    path.write_bytes(model.path.read_bytes()[:-1])
    with pytest.raises(EngineError) as caught:
        open_engine(engine_name, dataclasses.replace(model, path=path))

    expected = (
        f"{path}: found {model.bytes - 1} bytes, expected {model.bytes};"
        " copy the bundle again"
    )
    assert expected == str(caught.value)


LOAD_EVERY_CUT = """
import dataclasses, sys
from pathlib import Path
from edge_runtime.bundle import Bundle
from edge_runtime.engines import open_engine
from edge_runtime.errors import EngineError
engine, model_format, folder, path = sys.argv[1:]
model = Bundle.open(Path(folder)).model(model_format, "fp32")
data, path, n_refused = model.path.read_bytes(), Path(path), 0
cuts = range(0, len(data), max(1, len(data) // 60))
for n_bytes in cuts:
    path.write_bytes(data[:n_bytes])
    cut = dataclasses.replace(model, path=path, bytes=n_bytes)
    try:
        open_engine(engine, cut)
    except EngineError:
        n_refused += 1
print(n_refused == len(cuts))
"""


def test_cut_file_is_refused_and_no_process_crashes(
    engine_name: str, tiny_picture: TinyBundle, tmp_path: Path
) -> None:
    """Wherever a file is cut, even with a manifest to match, it is an EngineError."""
    words = (
        engine_name,
        FORMAT_OF_ENGINE[engine_name],
        str(tiny_picture.bundle.folder),
        str(tmp_path / "cut"),
    )
    done = subprocess.run(
        [sys.executable, "-c", LOAD_EVERY_CUT, *words],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "True\n") == (done.returncode, done.stdout), done.stderr[-2000:]


def test_other_file_is_refused() -> None:
    """Bytes that are no model say so, by format."""
    with pytest.raises(EngineError) as caught:
        check_model_bytes("notes.tflite", "tflite", b"Dear diary,")

    expected = (
        "notes.tflite: starts with b' dia', expected b'TFL3'; this is no .tflite file"
    )
    assert expected == str(caught.value)


def test_engines_are_silent(engine_name: str, tiny_picture: TinyBundle) -> None:
    """A process that loads and runs a model, and exits, prints only its own words."""
    program = (
        "import sys; from pathlib import Path; from edge_runtime.bundle import Bundle;"
        "from edge_runtime.engines import FORMAT_OF_ENGINE, open_engine;"
        "from edge_runtime.sample_inputs import sample_inputs;"
        "b = Bundle.open(Path(sys.argv[1]));"
        "m = b.model(FORMAT_OF_ENGINE[sys.argv[2]], 'fp32');"
        "e = open_engine(sys.argv[2], m);"
        "e.run('depth_1', sample_inputs(m.signatures[0], 0));"
        "sys.stderr.write('my own'); print('words', flush=True); sys.exit(5)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tiny_picture.bundle.folder), engine_name],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (5, "words\n", "my own") == (done.returncode, done.stdout, done.stderr)


def test_engines_import_no_torch(engine_name: str, tiny_picture: TinyBundle) -> None:
    """A process that runs a model has imported neither torch nor an exporter."""
    program = (
        "import sys; from pathlib import Path; from edge_runtime.bundle import Bundle;"
        "from edge_runtime.engines import FORMAT_OF_ENGINE, open_engine;"
        "b = Bundle.open(Path(sys.argv[1]));"
        "m = b.model(FORMAT_OF_ENGINE[sys.argv[2]], 'fp32');"
        "open_engine(sys.argv[2], m).close();"
        "print(sorted({'torch', 'executorch', 'litert_torch'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tiny_picture.bundle.folder), engine_name],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "[]\n" == done.stdout


@pytest.mark.skipif(
    importlib.util.find_spec("tflite_runtime") is not None,
    reason="tflite-runtime is installed",
)
def test_missing_tflite_runtime_names_the_extra(tiny_picture: TinyBundle) -> None:
    """An engine that is not installed says what to install."""
    with pytest.raises(SettingError) as caught:
        open_engine("tflite-runtime", tiny_picture.model("tflite"))

    expected = str(missing_package("tflite-runtime", "tflite-runtime"))
    assert expected == str(caught.value)


def test_a_refused_model_leaves_no_chatter(tiny_picture: TinyBundle) -> None:
    """LiteRT says nothing while an error is dropped that held an engine."""
    pytest.importorskip("ai_edge_litert", reason="litert is not installed")
    code = (
        "import dataclasses, sys\n"
        "from pathlib import Path\n"
        "from edge_runtime.bundle import Bundle\n"
        "from edge_runtime.engines import open_engine\n"
        "from edge_runtime.errors import EngineError\n"
        "model = Bundle.open(Path(sys.argv[1])).model('tflite', 'fp32')\n"
        "first = dataclasses.replace(model.signatures[0], name='other')\n"
        "try:\n"
        "    open_engine('litert', dataclasses.replace(model, signatures=(first,)))\n"
        "except EngineError as error:\n"
        "    print(error)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, tiny_picture.model("tflite").path.parent],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "" == done.stderr
    assert ': no entry point "other", found depth_1 depth_2;' in done.stdout


def test_a_path_that_is_not_utf8_is_one_line(
    tmp_path: Path, tiny_picture: TinyBundle
) -> None:
    """LiteRT takes text alone; ExecuTorch, which takes bytes, is not asked."""
    pytest.importorskip("ai_edge_litert", reason="litert is not installed")
    model = tiny_picture.model("tflite")
    path = tmp_path / os.fsdecode(b"a\xff.tflite")
    moved = copied(model, path, model.path.read_bytes())

    with pytest.raises(EngineError) as caught:
        open_engine("litert", moved)

    assert f"{path}: the path is not UTF-8, expected a path that is; rename it" == str(
        caught.value
    )


def test_an_entry_point_with_a_damaged_name_is_one_line(
    tmp_path: Path, tiny_picture: TinyBundle
) -> None:
    """A name in the file that is not UTF-8 is the file's fault, not a bug."""
    pytest.importorskip("ai_edge_litert", reason="litert is not installed")
    model = tiny_picture.model("tflite")
    data = model.path.read_bytes().replace(b"depth_1", b"dept\xaf_1")
    path = tmp_path / "a.tflite"

    with pytest.raises(EngineError) as caught:
        open_engine("litert", copied(model, path, data))

    assert str(caught.value).startswith("a.tflite: litert cannot load it: 'utf-8' ")
