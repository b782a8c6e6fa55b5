import importlib.util
import json
from typing import Any

import httpx
import pytest

from tests.demo_app.served import Served

ROW = {"bundle": "blur", "engine": "litert", "precision": "fp32", "depth": 1}


@pytest.fixture(scope="session")
def facts(served: Served) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{served.address}/facts", timeout=30).json()
    return found


def measure(served: Served, row: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{served.address}/latency", json=row, timeout=60)


def test_bundles_are_those_served(facts: dict[str, Any]) -> None:
    """Every bundle stands in the facts with its task and what can be chosen."""
    found = [
        (bundle["name"], bundle["task"], bundle["depths"])
        for bundle in facts["bundles"]
    ]

    assert [("blur", "picture", [1, 2]), ("tones", "speech", [])] == found


def test_sharing_report_is_the_bundle_s(facts: dict[str, Any]) -> None:
    """A model file's sharing report is the one in bundle.json."""
    found = facts["bundles"][0]["models"][0]["sharing"]

    expected = {
        "unique_bytes": 96,
        "stored_bytes": 96,
        "duplicate_bytes": 0,
        "allowed_duplicate_bytes": 0,
        "weights": [
            {
                "name": "body.block.0.weight",
                "shape": [4, 6],
                "uses": 3,
                "unique_bytes": 96,
                "stored_bytes": 96,
            }
        ],
    }
    assert expected == found


def test_a_file_says_what_is_repeated(facts: dict[str, Any]) -> None:
    """Entry points that stand for themselves are no loop."""
    assert facts["bundles"][0]["models"][0]["loop"] is None


def test_engine_that_runs_states_its_version(facts: dict[str, Any]) -> None:
    """An engine that loads a file of ours has a version and is not missing."""
    (litert,) = [engine for engine in facts["engines"] if engine["name"] == "litert"]

    assert litert["version"]
    assert litert["missing"] is None


def test_engine_without_a_file_says_so(facts: dict[str, Any]) -> None:
    """An engine for which nothing is served names the format it would need."""
    (found,) = [e for e in facts["engines"] if e["name"] == "executorch"]

    assert "no bundle here holds a .pte file" == found["missing"]


@pytest.mark.skipif(
    importlib.util.find_spec("tflite_runtime") is not None,
    reason="tflite-runtime is installed",
)
def test_engine_that_is_not_installed_names_the_extra(facts: dict[str, Any]) -> None:
    """A missing engine says how to get it."""
    (found,) = [e for e in facts["engines"] if e["name"] == "tflite-runtime"]

    assert 'pip install ".[tflite-runtime]"' in found["missing"]


def test_facts_name_no_folder(served: Served, facts: dict[str, Any]) -> None:
    """A visitor does not learn where the bundles lie."""
    found = httpx.get(f"{served.address}/facts").text

    assert str(served.settings.bundles[0].parent) not in found


def test_latency_row(served: Served) -> None:
    """A measured row is ordered, states its conditions and says that it is short."""
    row = measure(served, ROW).json()

    assert row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"]
    assert row["n_runs"] >= 10
    assert row["short_run"] is True
    assert ROW.items() <= row.items()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"bundle": "x"}, 'no bundle "x" is served, expected one of blur tones'),
        (
            {"depth": 9},
            "blur: no fp32 file at depth 9 for litert; see /facts for what there is",
        ),
        (
            {"engine": "torch"},
            "blur: no fp32 file at depth 1 for torch; see /facts for what there is",
        ),
        (
            {"depth": "1"},
            "depth: Input should be a valid integer, found '1'",
        ),
    ],
    ids=["bundle", "depth", "engine", "type"],
)
def test_wrong_row(served: Served, change: dict[str, Any], expected: str) -> None:
    """A row that does not exist is named."""
    answer = measure(served, ROW | change)

    assert (400, {"error": expected}) == (answer.status_code, answer.json())


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            json.dumps(ROW | {"bundle": "\ud800"}).encode(),
            'no bundle "\\ud800" is served, expected one of blur tones',
        ),
        (
            b"{",
            "message: Invalid JSON: Expecting property name enclosed in double quotes"
            " at character 1; send one JSON object",
        ),
        (
            b"[]",
            "message: Input should be a valid dictionary or object to extract"
            " fields from, found []",
        ),
        (b"", "message: Field required, found None"),
    ],
    ids=["surrogate", "broken", "list", "empty"],
)
def test_unreadable_message(served: Served, message: bytes, expected: str) -> None:
    """A message that cannot be read is a sentence: what is wrong, and where."""
    answer = httpx.post(
        f"{served.address}/latency",
        content=message,
        headers={"Content-Type": "application/json"},
    )

    assert (400, {"error": expected}) == (answer.status_code, answer.json())


def test_health(served: Served) -> None:
    """A health check has something cheap to ask for."""
    answer = httpx.get(f"{served.address}/health")

    assert (200, {"status": "ok"}) == (answer.status_code, answer.json())


def test_page_and_unknown_paths(served: Served) -> None:
    """The page is at the root; an unknown path is a 404 in JSON."""
    page = httpx.get(served.address)
    unknown = httpx.get(f"{served.address}/../settings.py")

    assert "<title>tiedge" in page.text
    assert (404, {"error": "Not Found"}) == (unknown.status_code, unknown.json())
