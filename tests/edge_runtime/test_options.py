"""The command line's common options."""

from __future__ import annotations

import pytest

from edge_runtime.errors import SettingError
from edge_runtime.options import MAX_THREADS, Parser, add_engine_options


@pytest.fixture
def parser() -> Parser:
    """Return a parser with the options."""
    made = Parser(prog="tiedge filter")
    add_engine_options(made)
    return made


def test_the_defaults_are_those_of_a_device(parser: Parser) -> None:
    """litert, int8, the deepest depth, one thread, seed 0."""
    options = parser.parse_args([])

    assert {
        "engine": "litert",
        "precision": "int8",
        "depth": None,
        "threads": 1,
        "seed": 0,
    } == vars(options)


def test_more_threads_than_a_machine_bears_are_refused(parser: Parser) -> None:
    """An engine that starts them all would end without a word."""
    with pytest.raises(SettingError) as caught:
        parser.parse_args(["--threads", "100000"])

    assert (
        f"argument --threads: found 100000, expected at most {MAX_THREADS};"
        " see tiedge filter --help" == str(caught.value)
    )
    assert MAX_THREADS == parser.parse_args(["--threads", f"{MAX_THREADS}"]).threads


def test_what_is_no_number_is_refused(parser: Parser) -> None:
    """The line names the option and what was found."""
    with pytest.raises(SettingError, match="--threads: invalid int value: 'x'"):
        parser.parse_args(["--threads", "x"])
