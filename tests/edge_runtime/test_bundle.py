import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime import bundle as bundle_module
from edge_runtime.bundle import Bundle, find_bundle
from edge_runtime.bundle_parts import PhonesSpec
from edge_runtime.errors import BundleError
from edge_runtime.loop import find_call
from tests.malformed_bundles import MALFORMED, Malformed, changed
from tests.sample_bundles import (
    MODEL_BYTES,
    picture_manifest,
    read_manifest,
    speech_manifest,
    write_bundle,
    write_manifest,
)


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "sample", picture_manifest())


def error_of(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        Bundle.open(folder)
    return str(caught.value)


def test_a_picture_bundle_opens(picture_folder: Path) -> None:
    """Every part of a good picture bundle arrives as written."""
    bundle = Bundle.open(picture_folder)
    model = bundle.model("tflite", "fp32")
    signature = find_call(model, "depth_2")

    assert ("sample-picture", "picture") == (bundle.name, bundle.task)
    assert (1, 2) == bundle.depths
    assert bundle.picture is not None
    assert {1: 8, 2: 12} == bundle.picture.radius_px
    assert bundle.speech is None
    assert picture_folder.resolve() / "sample.tflite" == model.path
    assert ["picture", "sigma"] == [tensor.name for tensor in signature.inputs]
    assert (1, 32, 32, 3) == signature.outputs[0].shape
    assert {"channels": 4, "depths": [1, 2], "rates": {"head": 0.5}} == (
        bundle.source.settings
    )


def test_a_speech_bundle_opens(tmp_path: Path) -> None:
    """Every part of a good speech bundle arrives as written."""
    bundle = Bundle.open(write_bundle(tmp_path / "sample", speech_manifest()))

    assert bundle.picture is None
    assert bundle.speech is not None
    assert ("", " ", "'", "a", "b") == bundle.speech.alphabet
    assert ("gru", "next_gru", (1, 8), 0.0) == (
        bundle.states[0].input,
        bundle.states[0].output,
        bundle.states[0].shape,
        bundle.states[0].reset,
    )


def test_phones_stand_behind_the_letters(tmp_path: Path) -> None:
    """With the words that are said in them; a bundle from before has none."""
    manifest = speech_manifest()
    logits = manifest["models"][0]["signatures"][0]["outputs"][0]
    logits["shape"] = [1, 4, 5 + 3]
    manifest["speech"]["phones"] = {"symbols": ["", " ", "oʊ"], "words": {"a": "oʊ oʊ"}}
    older = speech_manifest()
    del older["speech"]["phones"]

    bundle = Bundle.open(write_bundle(tmp_path / "sample", manifest))
    before = Bundle.open(write_bundle(tmp_path / "older", older))

    assert bundle.speech is not None and before.speech is not None
    assert PhonesSpec(("", " ", "oʊ"), {"a": ("oʊ", "oʊ")}) == bundle.speech.phones
    assert (8, 5) == (bundle.speech.n_logits, before.speech.n_logits)


@pytest.mark.parametrize("sample", MALFORMED, ids=lambda sample: sample.message[:60])
def test_a_malformed_field_is_refused_in_one_line(
    tmp_path: Path, sample: Malformed
) -> None:
    """The error names file, field, found, expected and the way out."""
    folder = tmp_path / "sample"
    write_bundle(folder, sample.make())
    manifest = changed(read_manifest(folder), sample.place, sample.value)
    write_manifest(folder, manifest)

    assert f"{folder}/bundle.json: {sample.message}" == error_of(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b'{"format": ', "not JSON: Expecting value: line 1 column 12 (char 11)"),
        (
            b'{"a": 1, "a": 2}',
            'not JSON: the key "a" stands twice in one object',
        ),
        (b'{"a": NaN}', "not JSON: NaN is no JSON number"),
        (b'{"a": -Infinity}', "not JSON: -Infinity is no JSON number"),
        (b'{"a": 1e999}', "a is inf, expected a finite number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a is inf, expected a finite number"),
        (b'{"a": -' + b"9" * 5000 + b"}", "a is -inf, expected a finite number"),
        (b"[]", "document is [], expected an object"),
        (b'"x"', 'document is "x", expected an object'),
        (b'{"a\\u0007": 1}', '"a\\u0007" is 1, expected a printable key'),
        (
            b'{"a": "\\ud800"}',
            'a is "\\ud800", expected printable text on one line',
        ),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_proper_json_is_refused(
    picture_folder: Path, text: bytes, message: str
) -> None:
    """Cut files, repeated keys, numbers that JSON lacks and control characters."""
    (picture_folder / "bundle.json").write_bytes(text)

    assert (
        f"{picture_folder}/bundle.json: {message}; run tiedge export again"
        == error_of(picture_folder)
    )


def test_deep_nesting_is_refused_where_it_stands(picture_folder: Path) -> None:
    """A document that no exporter writes cannot exhaust the stack."""
    manifest = picture_manifest()
    for _ in range(20):
        manifest["source"]["settings"] = {"a": manifest["source"]["settings"]}
    write_manifest(picture_folder, manifest)

    assert error_of(picture_folder).endswith(
        "expected at most 16 levels of nesting; run tiedge export again"
    )


def test_a_manifest_that_is_not_text_is_refused(picture_folder: Path) -> None:
    """bundle.json is UTF-8."""
    (picture_folder / "bundle.json").write_bytes(b"\xff\xfe")

    assert (
        f"{picture_folder}/bundle.json: not UTF-8 text; copy the bundle again"
        == error_of(picture_folder)
    )


def test_a_huge_manifest_is_refused(
    picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more is read than a manifest may have."""
    monkeypatch.setattr(bundle_module, "MAX_MANIFEST_BYTES", 100)

    assert (
        f"{picture_folder}/bundle.json: the file is larger, expected at most 100 bytes;"
        " run tiedge export again" == error_of(picture_folder)
    )


def test_a_flipped_byte_is_refused(picture_folder: Path) -> None:
    """A model file with another hash never reaches an engine."""
    data = bytearray(MODEL_BYTES)
    expected = read_manifest(picture_folder)["models"][0]["sha256"]
    data[3] ^= 1
    (picture_folder / "sample.tflite").write_bytes(data)

    message = error_of(picture_folder)

    assert message.startswith(f"{picture_folder}/sample.tflite: SHA-256 is ")
    assert message.endswith(
        f", expected {expected} as bundle.json says; copy the bundle again"
    )


def test_a_cut_file_is_refused(picture_folder: Path) -> None:
    """A file of another size is refused before it is hashed."""
    (picture_folder / "sample.tflite").write_bytes(MODEL_BYTES[:5])

    assert (
        f"{picture_folder}/sample.tflite: is 5 bytes, expected {len(MODEL_BYTES)} as"
        " bundle.json says; copy the bundle again" == error_of(picture_folder)
    )


def test_a_missing_file_is_refused(picture_folder: Path) -> None:
    """Every listed file must be there."""
    (picture_folder / "CARD.md").unlink()

    assert (
        f"{picture_folder}/CARD.md: no such file, but bundle.json lists it; copy the"
        " bundle again" == error_of(picture_folder)
    )


def test_a_file_that_is_not_listed_is_refused(picture_folder: Path) -> None:
    """What nobody vouches for may not travel along."""
    (picture_folder / "extra.py").write_text("print()")

    assert (
        f"{picture_folder}: holds 'extra.py', which bundle.json does not list; take it"
        " out or copy the bundle again" == error_of(picture_folder)
    )


def test_a_signature_file_may_stand_beside_the_manifest(picture_folder: Path) -> None:
    """bundle.sig signs bundle.json, which therefore cannot list it."""
    (picture_folder / "bundle.sig").write_bytes(b"signature")

    assert "sample-picture" == Bundle.open(picture_folder).name


@pytest.mark.parametrize("name", ["sample.tflite", "CARD.md", "bundle.sig"])
def test_a_link_is_refused(picture_folder: Path, tmp_path: Path, name: str) -> None:
    """A link leads out of what was hashed, even if its target has the right bytes."""
    outside = tmp_path / "outside"
    outside.write_bytes(MODEL_BYTES)
    (picture_folder / name).unlink(missing_ok=True)
    (picture_folder / name).symlink_to(outside)

    assert (
        f"{picture_folder}/{name}: is a link or a folder, expected a file; copy the"
        " bundle again" == error_of(picture_folder)
    )


def test_a_linked_manifest_is_refused(picture_folder: Path, tmp_path: Path) -> None:
    """The manifest lies in the folder itself."""
    (picture_folder / "bundle.json").rename(tmp_path / "elsewhere.json")
    (picture_folder / "bundle.json").symlink_to(tmp_path / "elsewhere.json")

    assert f"{picture_folder}: holds no bundle.json, expected a bundle" == error_of(
        picture_folder
    )


def test_a_linked_folder_is_followed_once(picture_folder: Path, tmp_path: Path) -> None:
    """A link to the bundle may move on while its opened model files stay the same."""
    (tmp_path / "current").symlink_to(picture_folder)

    bundle = Bundle.open(tmp_path / "current")

    assert picture_folder.resolve() / "sample.tflite" == bundle.models[0].path


@pytest.mark.parametrize("name", ["sample.tflite", "CARD.md"])
def test_what_is_no_plain_file_is_refused(picture_folder: Path, name: str) -> None:
    """A pipe in a file's place would let a reader wait for ever."""
    (picture_folder / name).unlink()
    os.mkfifo(picture_folder / name)

    assert (
        f"{picture_folder}/{name}: is a link or a folder, expected a file; copy the"
        " bundle again" == error_of(picture_folder)
    )


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    """Some folder is not a bundle."""
    assert f"{tmp_path}: holds no bundle.json, expected a bundle" == error_of(tmp_path)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    """A bundle is a folder that is there."""
    assert f"{tmp_path}/none: no such folder, expected a bundle" == error_of(
        tmp_path / "none"
    )


def test_an_unknown_model_file_lists_those_there_are(picture_folder: Path) -> None:
    """Who asks for a precision that was not packed sees what was."""
    with pytest.raises(BundleError) as caught:
        Bundle.open(picture_folder).model("pte", "int8")

    assert (
        f"{picture_folder.resolve()}: no pte file of precision int8, expected one of:"
        " tflite fp32" == str(caught.value)
    )


def test_an_unknown_entry_point_lists_those_there_are(picture_folder: Path) -> None:
    """Who asks for a depth that was not packed sees what was."""
    model = Bundle.open(picture_folder).models[0]

    with pytest.raises(BundleError) as caught:
        find_call(model, "depth_8")

    assert (
        f'{model.path}: no entry point "depth_8", expected one of depth_1 depth_2'
        == str(caught.value)
    )


def test_a_ready_made_name_comes_before_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of the same name in the working folder is reached by ./name."""
    ready_made = picture_manifest()
    ready_made["summary"] = "Ready made."
    write_bundle(tmp_path / "bundles" / "sample", ready_made)
    write_bundle(tmp_path / "sample", picture_manifest())
    monkeypatch.setattr(bundle_module, "BUNDLES", tmp_path / "bundles")
    monkeypatch.chdir(tmp_path)

    assert "Ready made." == find_bundle("sample").summary
    assert "A bundle for tests." == find_bundle("./sample").summary


@pytest.mark.parametrize("name", ["nothing", "../bundles/sample", "x" * 5000, "a\0b"])
def test_an_unknown_name_lists_the_ready_made_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A name that is neither ready-made nor a folder says which names there are."""
    write_bundle(tmp_path / "bundles" / "sample", picture_manifest())
    monkeypatch.setattr(bundle_module, "BUNDLES", tmp_path / "bundles")

    with pytest.raises(BundleError) as caught:
        find_bundle(name)

    assert f"{name}: no such bundle, expected a folder or one of: sample" == str(
        caught.value
    )


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["picture", "speech", "float32", "static", "BYXC", 2**70]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=4,
)


@settings(max_examples=150)
@given(st.data(), st.sampled_from([picture_manifest, speech_manifest]), JUNK)
def test_whatever_stands_in_a_field_it_opens_or_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, make: Any, junk: Any
) -> None:
    """No value in any place gives another error than the contract's own."""
    folder = write_bundle(tmp_path_factory.getbasetemp() / "junk", make())
    manifest = read_manifest(folder)
    place = data.draw(st.sampled_from(all_places(manifest)))
    write_manifest(folder, changed(manifest, place, junk))

    try:
        Bundle.open(folder)
    except BundleError as error:
        assert str(error).isprintable()


def all_places(value: Any, place: tuple[str | int, ...] = ()) -> list[Any]:
    """Return the way to each value inside a JSON document."""
    steps: Any = ()
    if isinstance(value, dict):
        steps = value.items()
    elif isinstance(value, list):
        steps = enumerate(value)
    found = [] if place == () else [place]
    for key, below in steps:
        found += all_places(below, (*place, key))
    return found


def test_the_sample_is_plain_json() -> None:
    """What the tests write is what a strict JSON writer writes."""
    assert json.dumps(picture_manifest(), allow_nan=False)
