"""Packed weights in a file: the same outputs, kept, removable, and refused if wrong."""

import dataclasses
import hashlib
import logging
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.bundle import ModelFile
from edge_runtime.engine import Engine
from edge_runtime.engines import (
    FORMAT_OF_ENGINE,
    installed_engines,
    open_engine,
    open_packed,
    version_of,
)
from edge_runtime.errors import EngineError
from edge_runtime.file_cost import model_file
from edge_runtime.packed_bytes import measure_packed
from edge_runtime.sample_inputs import sample_inputs
from edge_runtime.transcriber import open_speech
from edge_runtime.weight_cache import cache_file, run, weight_cache_folder
from tests.tiny_models import TinyBundle, largest_difference

N_FEATURES = 256
USES = 4


@pytest.fixture(params=("litert", "executorch"))
def engine_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name not in installed_engines():
        pytest.skip(f"the {name} engine is not installed")
    return name


def cached(name: str, model: ModelFile, folder: Path) -> Engine:
    return open_engine(name, model, weight_cache=folder)


def first_outputs(engine: Engine, model: ModelFile) -> dict[str, Any]:
    signature = model.signatures[0]
    return engine.run(signature.name, sample_inputs(signature, seed=0))


@pytest.fixture(scope="session")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModelFile]:
    """Return by engine a model that reads one int8 kernel by two scales."""
    torch = pytest.importorskip("torch", reason="torch makes the tiny models")
    folder = tmp_path_factory.mktemp("twins")
    torch.manual_seed(0)
    module = _twins(torch)
    example = torch.rand(1, N_FEATURES)
    entry = ([("x", "float32", (1, N_FEATURES))], [])

    def make(name: str) -> ModelFile:
        path = folder / f"twins.{FORMAT_OF_ENGINE[name]}"
        outputs = [(f"output_{n}", "float32", (1, N_FEATURES)) for n in range(2)]
        if name == "litert":
            path.write_bytes(_int8_tflite(module, example))
            inputs = [("args_0", "float32", (1, N_FEATURES))]
            points = {"serving_default": (inputs, outputs)}
        else:
            path.write_bytes(_int8_pte(torch, module, example))
            points = {"forward": (entry[0], outputs)}
        model = model_file(path, FORMAT_OF_ENGINE[name], points)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        return dataclasses.replace(model, sha256=sha256)

    return make


def _twins(torch: Any) -> Any:
    class Twins(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = torch.nn.Linear(N_FEATURES, N_FEATURES, bias=False)
            self.other = torch.nn.Linear(N_FEATURES, N_FEATURES, bias=False)
            with torch.no_grad():
                self.other.weight.copy_(4 * self.one.weight)

        def forward(self, x: Any) -> Any:
            return self.one(x), self.other(x)

    return Twins().eval()


def _int8_tflite(module: Any, example: Any) -> bytes:
    litert_torch = pytest.importorskip("litert_torch", reason="litert-torch exports")
    quantizer = pytest.importorskip(
        "ai_edge_quantizer.quantizer", reason="ai-edge-quantizer quantizes"
    )
    recipe = pytest.importorskip("ai_edge_quantizer.recipe")
    from export.tflite_rewrite import deduplicate

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = litert_torch.convert(module, (example,)).model_content()
        tool = quantizer.Quantizer(bytearray(plain), recipe.dynamic_wi8_afp32())
        return deduplicate(bytes(tool.quantize().quantized_model))


def _int8_pte(torch: Any, module: Any, example: Any) -> bytes:
    reason = "executorch exports"
    exir = pytest.importorskip("executorch.exir", reason=reason)
    from executorch.backends.xnnpack.partition import xnnpack_partitioner
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    from export.pt2e import make_quantizer

    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = torch.export.export(module, (example,)).module()
        prepared = prepare_pt2e(graph, make_quantizer(dynamic=True))
        prepared(example)
        program = torch.export.export(convert_pt2e(prepared), (example,))
        edge = exir.to_edge_transform_and_lower(
            program,
            partitioner=[
                xnnpack_partitioner.XnnpackDynamicallyQuantizedPartitioner(),
                xnnpack_partitioner.XnnpackPartitioner(),
            ],
        )
        data = bytes(edge.to_executorch().buffer)
    logging.disable(logging.NOTSET)
    return data


def test_outputs_are_the_same_and_the_file_is_kept(
    engine_name: str, tiny_picture: TinyBundle, tmp_path: Path
) -> None:
    """The first load packs the weights into one file, later ones take it as it is."""
    model = tiny_picture.model(FORMAT_OF_ENGINE[engine_name])
    inputs = tiny_picture.inputs["depth_2"]
    with open_engine(engine_name, model) as engine:
        expected = engine.run("depth_2", inputs)
    results, contents = [], []
    for _ in range(2):
        with cached(engine_name, model, tmp_path) as engine:
            results.append(engine.run("depth_2", inputs))
            packed_bytes = engine.packed_bytes
        contents.append([(f, f.read_bytes()) for f in tmp_path.iterdir()])

    file = cache_file(tmp_path, model, engine_name, version_of(engine_name))
    assert sorted(contents[0]) == sorted(contents[1])
    assert {file, file.with_suffix(".sha256")} == {path for path, _ in contents[0]}
    assert _digest_of(file) == hashlib.sha256(file.read_bytes()).hexdigest()
    assert file.stat().st_size == packed_bytes
    assert [0, 0] == [largest_difference(expected, result) for result in results]


def test_a_kernel_with_two_scales_goes_without(
    engine_name: str, twins: Callable[[str], ModelFile], tmp_path: Path
) -> None:
    """A model that a weight cache would get wrong is told, and computes as before."""
    model = twins(engine_name)
    with open_engine(engine_name, model) as engine:
        expected = first_outputs(engine, model)
    for _ in range(2):
        with cached(engine_name, model, tmp_path) as engine:
            assert 0 == largest_difference(expected, first_outputs(engine, model))
            assert engine.packed_bytes is None

    assert [".refused"] == [path.suffix for path in tmp_path.iterdir()]


def test_engines_still_confuse_scales(
    engine_name: str, twins: Callable[[str], ModelFile], tmp_path: Path
) -> None:
    """Without the proof the second use gets the first one's scale: a quarter of it."""
    model = twins(engine_name)
    with open_engine(engine_name, model) as engine:
        expected = first_outputs(engine, model)
    with open_packed(engine_name, model, 1, tmp_path / "unproven") as engine:
        found = first_outputs(engine, model)

    assert 0 == abs(expected["output_0"] - found["output_0"]).max()
    assert expected["output_1"] == pytest.approx(4 * found["output_1"], rel=1e-3)


@pytest.mark.parametrize("rubbish", [b"", b"\0" * 4096, b"not a cache at all"])
def test_a_damaged_file_changes_no_result(
    engine_name: str, tiny_speech: TinyBundle, tmp_path: Path, rubbish: bytes
) -> None:
    """A file that a power cut left empty or blank is packed again."""
    model = tiny_speech.model(FORMAT_OF_ENGINE[engine_name])
    path = cache_file(tmp_path, model, engine_name, version_of(engine_name))
    path.write_bytes(rubbish)
    inputs = tiny_speech.inputs["step"]
    with open_engine(engine_name, model) as engine:
        expected = engine.run("step", inputs)
    with cached(engine_name, model, tmp_path) as engine:
        result = engine.run("step", inputs)

    assert 0 == largest_difference(expected, result)
    assert path.read_bytes() != rubbish


def test_changed_bytes_change_no_result(
    engine_name: str, tiny_speech: TinyBundle, tmp_path: Path
) -> None:
    """Weights changed on the disk, which no engine notices, are packed again."""
    model = tiny_speech.model(FORMAT_OF_ENGINE[engine_name])
    inputs = tiny_speech.inputs["step"]
    with cached(engine_name, model, tmp_path) as engine:
        expected = engine.run("step", inputs)
    path = cache_file(tmp_path, model, engine_name, version_of(engine_name))
    sound = path.read_bytes()
    changed = bytes(byte ^ 5 for byte in sound[130:1100])
    path.write_bytes(sound[:130] + changed + sound[1100:])
    with cached(engine_name, model, tmp_path) as engine:
        result = engine.run("step", inputs)

    assert 0 == largest_difference(expected, result)
    assert _digest_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("digest", [None, b"", b"0" * 64, b"\xff"])
def test_a_file_without_its_digest_is_packed_again(
    engine_name: str, tiny_speech: TinyBundle, tmp_path: Path, digest: bytes | None
) -> None:
    """An older version's file, or one left between two writes, is not trusted."""
    model = tiny_speech.model(FORMAT_OF_ENGINE[engine_name])
    path = cache_file(tmp_path, model, engine_name, version_of(engine_name))
    cached(engine_name, model, tmp_path).close()
    before = path.stat().st_ino
    path.with_suffix(".sha256").unlink()
    if digest is not None:
        path.with_suffix(".sha256").write_bytes(digest)
    with cached(engine_name, model, tmp_path) as engine:
        engine.run("step", tiny_speech.inputs["step"])

    assert before != path.stat().st_ino
    assert _digest_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_more_threads_take_the_same_file(
    engine_name: str, tiny_speech: TinyBundle, tmp_path: Path
) -> None:
    """Neither more threads nor a run change a file, so its digest stays true."""
    model = tiny_speech.model(FORMAT_OF_ENGINE[engine_name])
    path = cache_file(tmp_path, model, engine_name, version_of(engine_name))
    cached(engine_name, model, tmp_path).close()
    before = path.stat().st_ino
    with open_engine(engine_name, model, 2, tmp_path) as engine:
        engine.run("step", tiny_speech.inputs["step"])

    assert before == path.stat().st_ino
    assert _digest_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def _digest_of(path: Path) -> str:
    return path.with_suffix(".sha256").read_text()


def test_processes_that_start_at_once_leave_one_file(
    engine_name: str, tiny_picture: TinyBundle, tmp_path: Path
) -> None:
    """Three processes all run; one file and its digest stay, nothing half-written."""
    program = (
        "import sys; from pathlib import Path; from edge_runtime.bundle import Bundle;"
        "from edge_runtime.engines import FORMAT_OF_ENGINE, open_engine;"
        "from edge_runtime.loop import find_call;"
        "from edge_runtime.sample_inputs import sample_inputs;"
        "n = sys.argv[3];"
        "m = Bundle.open(Path(sys.argv[1])).model(FORMAT_OF_ENGINE[n], 'fp32');"
        "e = open_engine(n, m, 1, Path(sys.argv[2]));"
        "o = e.run('depth_2', sample_inputs(find_call(m, 'depth_2'), 0));"
        "print(float(o['restored'].sum()))"
    )
    words = (str(tiny_picture.bundle.folder), str(tmp_path), engine_name)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, *words], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    printed = {child.communicate()[0] for child in children}

    assert [0, 0, 0] == [child.returncode for child in children]
    assert 1 == len(printed)
    assert [".packed", ".sha256"] == sorted(path.suffix for path in tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_one_line(
    engine_name: str,
    tiny_speech: TinyBundle,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The engine works without, and says why."""
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    model = tiny_speech.model(FORMAT_OF_ENGINE[engine_name])
    with cached(engine_name, model, blocked) as engine:
        engine.run("step", tiny_speech.inputs["step"])

    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"tiedge: weight cache: {blocked}/")
    assert line.endswith("cannot be written: File exists; goes on without")


def test_transcribers_pack_their_weights_once(
    tiny_speech: TinyBundle, cache_home: Path
) -> None:
    """A speech bundle uses the user's weight cache, and the command removes it."""
    if "litert" not in installed_engines():
        pytest.skip("the litert engine is not installed")
    folder = str(tiny_speech.bundle.folder)
    _, engine = open_speech(folder, "litert", "fp32", threads=1)
    with engine:
        packed_bytes = engine.packed_bytes
    (file,) = weight_cache_folder().glob("*.packed")

    assert cache_home / "weights" == file.parent
    assert file.stat().st_size == packed_bytes


def test_the_command_shows_and_removes(
    cache_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What other programs put there stays."""
    folder = cache_home / "weights"
    folder.mkdir(parents=True)
    sizes = {"a.packed": 2_000_000, "a.sha256": 64, "b.refused": 0, "mine.txt": 3}
    for name, size in sizes.items():
        (folder / name).write_bytes(bytes(size))
    statuses = [run([]), run(["--remove"]), run([])]

    assert [0, 0, 0] == statuses
    assert ["mine.txt"] == [path.name for path in folder.iterdir()]
    assert (
        f"{folder}: holds 3 files, 2.0 MB\n{folder}: removed 3 files, 2.0 MB\n"
        f"{folder}: holds 0 files, 0.0 MB\n"
    ) == capsys.readouterr().out


def test_a_wrong_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the way out."""
    assert 1 == run(["--empty"])
    assert (
        "tiedge: unrecognized arguments: --empty;"
        " see python -m edge_runtime.weight_cache --help\n"
    ) == capsys.readouterr().err


def test_tflite_runtime_has_none(tiny_speech: TinyBundle, tmp_path: Path) -> None:
    """The engine for old systems says which one has a weight cache."""
    with pytest.raises(EngineError) as caught:
        cached("tflite-runtime", tiny_speech.model("tflite"), tmp_path)

    expected = "tflite-runtime: has no weight cache; use --engine litert"
    assert expected == str(caught.value)


def test_packed_weights_are_measured(
    engine_name: str, twins: Callable[[str], ModelFile]
) -> None:
    """Two uses of one int8 kernel are packed twice, to the few kB of the count."""
    packed = measure_packed(engine_name, twins(engine_name))

    assert packed is not None
    assert packed / N_FEATURES**2 == pytest.approx(2, abs=0.2)
