import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tiedge
from edge_runtime.bundle_parts import ENDINGS
from edge_runtime.errors import BundleError, SharingError
from export.audit import audit
from export.commands.inspect import run
from export.distinct import DISTINCT_LEGEND
from export.tflite_rewrite import deduplicate
from export.transfer import COMPRESSED_LEGEND, compressed_bytes
from tests.export.broken_sharing import with_own_copies
from tests.export.sharing_models import STEPS, Recursive, pte, source, tflite
from tests.sample_bundles import (
    model,
    picture_manifest,
    picture_signatures,
    read_manifest,
    write_bundle,
)

TILE_PX = 32
ALWAYS = {"bundle", "engine", "precision", "depth", "threads"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return a bundle with a `.tflite` and a `.pte` file of the recursive network."""
    contents = {
        "tiny.tflite": deduplicate(tflite(Recursive)),
        "tiny.pte": pte(Recursive),
    }
    signatures = picture_signatures(STEPS, TILE_PX)
    reports = {
        name: audit(data, name.partition(".")[2], source(Recursive))
        for name, data in contents.items()
    }
    models = [
        model(name, signatures, sharing=report.to_json())
        for name, report in reports.items()
    ]
    manifest = picture_manifest(STEPS, TILE_PX, models=models)
    manifest["fingerprint"] = [
        {
            "name": weight.name,
            "aliases": [],
            "shape": list(weight.values.shape),
            "dtype": "float32",
            "sha256": "0" * 64,
            "stored": {
                name: list(report.stored[weight.name])
                for name, report in reports.items()
            },
        }
        for weight in source(Recursive)
    ]
    return write_bundle(tmp_path_factory.mktemp("bundles") / "tiny", manifest, contents)


@pytest.fixture
def bundle(exported, tmp_path):
    """Return a copy of the bundle that a test may change."""
    return Path(shutil.copytree(exported, tmp_path / "tiny"))


def printed_json(capsys, *arguments):
    assert 0 == run([*map(str, arguments), "--json"])
    return json.loads(capsys.readouterr().out)


def replace_model(bundle, name, data):
    """Put another file in place and make bundle.json name its size and hash."""
    contents = {
        path.name: path.read_bytes()
        for path in bundle.iterdir()
        if path.suffix in ENDINGS.values()
    }
    write_bundle(bundle, read_manifest(bundle), {**contents, name: data})


def test_shows_that_nothing_is_stored_twice(bundle, capsys):
    """Each file's own constants are read, and show no duplicate byte."""
    result = printed_json(capsys, bundle)

    assert 0 == result["duplicate_bytes"]
    assert [0, 0] == [row["duplicate_bytes"] for row in result["rows"]]
    assert [True, True] == [row["read_from_file"] for row in result["rows"]]
    assert [True, True] == [row["agrees_with_bundle_json"] for row in result["rows"]]


def test_json_has_its_keys(bundle, capsys):
    """The keys that every verb prints are there, null where they mean nothing."""
    result = printed_json(capsys, bundle)

    assert "sample-picture" == result["bundle"]
    assert {None} == {result[key] for key in ALWAYS - {"bundle"}}
    for key in ("stored_bytes", "compressed_bytes"):
        assert result[key] == sum(row[key] for row in result["rows"])
    assert {
        "model",
        "name",
        "shape",
        "uses",
        "uses_per_run",
        "distinct_values",
        "unique_bytes",
        "stored_bytes",
    } == set(result["weights"][0])
    assert {"code", "weights", "data"} == set(result["licence"])
    assert {"recipe", "step", "revision", "unique_parameters"} == set(result["source"])
    assert ["depth_1", "depth_2"] == result["rows"][0]["signatures"]
    assert {"engine", "engine_version", "n_inputs", "relative_error", "snr_db"} == set(
        result["rows"][0]["parity"][0]
    )


def test_json_counts_uses_per_run_and_in_all(bundle, capsys):
    """One run at depth 2 reads the shared kernel twice; together that makes three."""
    weights = printed_json(capsys, bundle)["weights"]

    assert [({"depth_1": 1, "depth_2": 2}, 3)] * 2 == [
        (weight["uses_per_run"], weight["uses"])
        for weight in weights
        if weight["name"] == "shared.weight"
    ]


def test_prints_a_summary(bundle, capsys):
    """Identity, then five lines for each file, then what the numbers mean, once."""
    assert 0 == run([str(bundle)])
    lines = capsys.readouterr().out.splitlines()

    assert "sample-picture: A bundle for tests." == lines[0]
    assert lines[1].startswith("task picture, depths 1 2; ")
    assert "licence: code Apache-2.0; weights CC BY-SA 4.0" in lines[2]
    place = next(i for i, line in enumerate(lines) if line.startswith("tiny.pte: "))
    data = (bundle / "tiny.pte").read_bytes()
    assert [
        f"tiny.pte: pte, fp32, {len(data):,} bytes, {compressed_bytes(data):,}"
        " compressed",
        "  weights: 3,296 unique bytes, 3,296 stored, 0 duplicate",
        "  most used: shared.weight, 1/2 times",
        "  stored as: float32 3,296",
        "  parity on litert 2.3.0: identical, 8 inputs",
        "  psnr_db 30.6 (module 30.65) on litert",
        "",
        "uses: how many operators read the weight in one run of depth_1/depth_2",
        COMPRESSED_LEGEND,
        "SNR: the module's output to the difference, of the worst output",
    ] == lines[place : place + 10]
    assert "weight by weight: --weights" == lines[-1]
    assert len(lines) < 30


def test_tells_a_step_that_is_repeated(capsys):
    """Uses count one run of each entry point: how often the step runs stands below."""
    assert 0 == run(["denoise"])
    lines = capsys.readouterr().out.splitlines()

    repeated = (
        "  its step runs up to 8 times with the same weights: depth 8 is head,"
        " 8 × step, tail"
    )
    assert 4 == lines.count(repeated)
    assert 2 == sum(
        "SNR 30.4 dB, worst single value off by 0.61 of the largest" in line
        for line in lines
    )


def test_prints_every_weight_on_demand(bundle, capsys):
    """With --weights each file's tensors and weights are listed, uses per run."""
    assert 0 == run([str(bundle), "--weights"])
    text = capsys.readouterr().out

    for part in (
        "depth_2: picture float32 1×32×32×3, sigma float32 1×1×1×1 → restored",
        "weight         shape    uses  unique  stored  values",
        "shared.weight  8×8×3×3   1/2   2,304   2,304     576",
        DISTINCT_LEGEND,
        "duplicate bytes: 0",
        "uses: how many operators read the weight in one run of depth_1/depth_2",
    ):
        assert part in text
    assert "--weights" not in text


def test_uses_stand_in_the_order_of_bundle_json(bundle, capsys):
    """Entry points come as bundle.json has them, in whichever order a file does."""
    manifest = read_manifest(bundle)
    for row in manifest["models"]:
        row["signatures"].reverse()
    contents = {p.name: p.read_bytes() for p in bundle.glob("tiny.*")}
    write_bundle(bundle, manifest, contents)

    assert 0 == run([str(bundle)])
    text = capsys.readouterr().out
    assert 2 == text.count("  most used: shared.weight, 2/1 times\n")
    assert 1 == text.count("one run of depth_2/depth_1\n") == text.count("uses: ")


def test_uses_that_differ_name_their_file(bundle, capsys):
    """Files with entry points in different orders have a line each."""
    manifest = read_manifest(bundle)
    manifest["models"][1]["signatures"].reverse()
    contents = {p.name: p.read_bytes() for p in bundle.glob("tiny.*")}
    write_bundle(bundle, manifest, contents)

    assert 0 == run([str(bundle)])
    text = capsys.readouterr().out
    count = "uses: how many operators read the weight in one run of"
    first, second = (row["path"] for row in manifest["models"])
    assert f"{first}: {count} depth_1/depth_2\n" in text
    assert f"{second}: {count} depth_2/depth_1\n" in text


def test_a_summary_names_duplicates(bundle, capsys):
    """What is stored twice is named without being asked for."""
    replace_model(bundle, "tiny.tflite", with_own_copies(tflite(Recursive)))

    with pytest.raises(SharingError):
        run([str(bundle)])

    assert "byte-identical copy of shared.weight" in capsys.readouterr().out


def test_catches_a_file_changed_after_export(bundle, capsys):
    """A copied kernel is seen though size and hash in bundle.json were mended."""
    replace_model(bundle, "tiny.tflite", with_own_copies(tflite(Recursive)))

    with pytest.raises(SharingError) as caught:
        run([str(bundle), "--json"])

    result = json.loads(capsys.readouterr().out)
    assert result["duplicate_bytes"] > 0
    assert [False, True] == [row["agrees_with_bundle_json"] for row in result["rows"]]
    message = str(caught.value)
    assert message.startswith(f"{bundle / 'tiny.tflite'}: holds ")
    assert "bundle.json says 3296 and 0; the file was changed after export" in message


def test_catches_another_networks_weights(bundle):
    """Weights of another network are derived constants to this fingerprint."""
    data = bytearray((bundle / "tiny.pte").read_bytes())
    kernel = next(w.values for w in source(Recursive) if w.name == "shared.weight")
    stored = kernel.transpose(0, 2, 3, 1).tobytes()
    place = data.index(stored)
    data[place] ^= 1
    replace_model(bundle, "tiny.pte", bytes(data))

    with pytest.raises(SharingError, match="derived: holds no weight of the source"):
        run([str(bundle)])


@pytest.mark.parametrize("make", [lambda: tflite(Recursive), lambda: pte(Recursive)])
def test_reports_on_a_bare_file(make, tmp_path, capsys):
    """A file without a bundle gets a report that says what it cannot tell."""
    ending = ".tflite" if make() == tflite(Recursive) else ".pte"
    path = tmp_path / f"tiny{ending}"
    path.write_bytes(make())

    assert 0 == run([str(path)])
    summary = capsys.readouterr().out
    assert 0 == run([str(path), "--weights"])
    table = capsys.readouterr().out
    result = printed_json(capsys, path)

    assert "copies that were folded, converted or transposed cannot be told" in summary
    assert "weights: 3,296 unique bytes, 3,296 stored, 0 duplicate" in summary
    assert "duplicate bytes: 0" in table
    assert result.keys() >= ALWAYS
    assert [(len(make()), compressed_bytes(make()))] == [
        (row["bytes"], row["compressed_bytes"]) for row in result["rows"]
    ]
    assert f" bytes, {result['compressed_bytes']:,} compressed\n" in summary
    assert COMPRESSED_LEGEND in summary
    assert result["bundle"] is None
    assert [False] == [row["source_known"] for row in result["rows"]]
    assert 0 == result["duplicate_bytes"]
    assert 3296 == result["unique_bytes"]


def test_refuses_a_file_of_another_kind(tmp_path):
    """The error names the endings that it reads."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"x")

    with pytest.raises(BundleError) as caught:
        run([str(path)])

    assert (
        f"{path}: unknown ending '.onnx', expected a bundle's folder or one of"
        " .tflite .pte" == str(caught.value)
    )


@pytest.mark.parametrize("name", ["no-such-bundle", "x" * 5000])
def test_refuses_a_bundle_that_does_not_exist(capsys, name):
    """A name that is neither ready-made nor a path is one line and status 1."""
    assert 1 == tiedge.main(["inspect", name])
    assert capsys.readouterr().err.startswith(f"tiedge inspect: {name}: no such bundle")


@pytest.mark.parametrize(
    "name", ["gone.tflite", "gone.PTE", "gone.safetensors", "no-such-folder/bundle"]
)
def test_refuses_a_path_that_leads_nowhere(capsys, name):
    """What can only be a path is not called a bundle."""
    assert 1 == tiedge.main(["inspect", name])
    assert (
        f"tiedge inspect: {name}: no such file, expected the path of a bundle, a model"
        " file or a checkpoint, or the name of a ready-made bundle; check the path\n"
        == capsys.readouterr().err
    )


@pytest.mark.parametrize("ending", [".tflite", ".pte"])
def test_a_damaged_file_is_one_line(tmp_path, capsys, ending):
    """A file whose first offset leads nowhere is refused with the way out."""
    path = tmp_path / f"model{ending}"
    data = tflite(Recursive) if ending == ".tflite" else pte(Recursive)
    path.write_bytes(b"\xff\xff\xff\x7f" + data[4:])

    assert 1 == tiedge.main(["inspect", str(path)])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tiedge inspect: {path}: is damaged: ")
    assert line.endswith("; copy it again, or export it again")


def test_works_without_torch(bundle):
    """Inspecting a bundle imports neither torch nor executorch."""
    code = (
        "import sys; sys.modules['torch'] = sys.modules['executorch'] = None;"
        f"import tiedge; sys.exit(tiedge.main(['inspect', {str(bundle)!r}]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )

    assert (0, "") == (result.returncode, result.stderr)
    assert 2 == result.stdout.count(" 0 duplicate\n")
