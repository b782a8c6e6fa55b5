import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.bundle import Bundle
from edge_runtime.errors import BundleError
from tests.malformed_bundles import MALFORMED, Malformed, changed
from tests.sample_bundles import (
    Json,
    language_manifest,
    loop_manifest,
    picture_manifest,
    read_manifest,
    speech_manifest,
    write_bundle,
    write_manifest,
)

jsonschema = pytest.importorskip("jsonschema")

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def schema() -> Any:
    document = json.loads((DOCS / "bundle.schema.json").read_text(encoding="utf-8"))
    kind = jsonschema.Draft202012Validator
    kind.check_schema(document)
    return kind(document)


def documented_manifests() -> list[Json]:
    """Return the examples of docs/bundle.md."""
    text = (DOCS / "bundle.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```json\n(.*?)```", text, flags=re.DOTALL)
    return [json.loads(block) for block in blocks]


@pytest.mark.parametrize("make", [picture_manifest, loop_manifest, speech_manifest])
def test_schema_and_reader_accept_the_same_sample(
    schema: Any, tmp_path: Path, make: Any
) -> None:
    """A good manifest is good for both."""
    folder = write_bundle(tmp_path, make())

    assert [] == list(schema.iter_errors(read_manifest(folder)))
    assert Bundle.open(folder).models


@pytest.mark.parametrize(
    "sample",
    [sample for sample in MALFORMED if sample.schema_sees_it],
    ids=lambda sample: sample.message[:60],
)
def test_schema_refuses_what_the_reader_refuses(schema: Any, sample: Malformed) -> None:
    """Each rule that a schema can hold is in the schema, too."""
    assert not schema.is_valid(sample.manifest())


@pytest.mark.parametrize(
    "sample",
    [sample for sample in MALFORMED if not sample.schema_sees_it],
    ids=lambda sample: sample.message[:60],
)
def test_what_only_the_reader_sees_is_known(schema: Any, sample: Malformed) -> None:
    """The samples that say that a schema cannot see them tell the truth."""
    assert schema.is_valid(sample.manifest())


VALUES = st.sampled_from(
    [None, True, -1, 0, 1, 2.5, 2**60, "", "x", "a/b", "int8", "static", [], {}, [1]]
)


@settings(max_examples=100)
@given(st.data(), st.sampled_from([picture_manifest, speech_manifest]), VALUES)
def test_what_the_reader_opens_the_schema_accepts(
    schema: Any,
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    make: Any,
    value: Any,
) -> None:
    """The schema never refuses more than the reader does."""
    folder = write_bundle(tmp_path_factory.getbasetemp() / "schema", make())
    manifest = read_manifest(folder)
    place: list[Any] = []
    holder: Any = manifest
    while isinstance(holder, dict | list) and holder and len(place) < 8:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        place.append(data.draw(st.sampled_from(keys)))
        holder = holder[place[-1]]
        if data.draw(st.booleans()):
            break
    write_manifest(folder, changed(manifest, tuple(place), value))

    try:
        Bundle.open(folder)
    except BundleError:
        return
    assert [] == list(schema.iter_errors(manifest))


def test_the_documented_examples_open(schema: Any, tmp_path: Path) -> None:
    """docs/bundle.md shows one picture and one speech bundle, both valid."""
    manifests = documented_manifests()
    for number, manifest in enumerate(manifests):
        assert [] == list(schema.iter_errors(manifest))
        Bundle.open(write_bundle(tmp_path / str(number), manifest))

    assert ["picture", "speech"] == [manifest["task"] for manifest in manifests]


@pytest.mark.parametrize("make", [picture_manifest, speech_manifest])
def test_language_may_be_absent_where_it_is_null(
    schema: Any, tmp_path: Path, make: Any
) -> None:
    """As in bundles of the time before there were language models."""
    manifest = {key: v for key, v in make().items() if key != "language"}

    assert [] == list(schema.iter_errors(manifest))
    assert Bundle.open(write_bundle(tmp_path, manifest)).language is None


def test_a_language_bundle_needs_it(schema: Any, tmp_path: Path) -> None:
    """What its task asks for cannot be absent."""
    manifest = {
        key: v
        for key, v in language_manifest(("</s>", "<unk>"), 1).items()
        if key != "language"
    }

    assert not schema.is_valid(manifest)
    with pytest.raises(BundleError, match="language is null, expected an object"):
        Bundle.open(write_bundle(tmp_path, manifest))
