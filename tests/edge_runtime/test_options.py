"""The command line's common options."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys

import pytest

from edge_runtime.errors import SettingError
from edge_runtime.options import (
    Parser,
    add_engine_options,
    bounded,
    print_json,
    usable_cores,
)


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


@pytest.mark.parametrize("n_threads", [-1, 0, 100_000])
def test_threads_are_bounded_by_the_cores(parser: Parser, n_threads: int) -> None:
    """More threads than cores only wait, and too many would end without a word."""
    with pytest.raises(SettingError) as caught:
        parser.parse_args([f"--threads={n_threads}"])

    n_cores = usable_cores()
    assert (
        f"argument --threads: found {n_threads}, expected 1 to {n_cores}, the cores of"
        " this machine; see tiedge filter --help" == str(caught.value)
    )
    assert n_cores == parser.parse_args(["--threads", f"{n_cores}"]).threads


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux holds a process to cores"
)
def test_cores_are_those_this_process_may_use() -> None:
    """A process that is held to one core has one."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert 1 == usable_cores()
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize("option", ["--threads", "--seed"])
def test_what_is_no_number_is_refused(parser: Parser, option: str) -> None:
    """The line names the option and what was found."""
    with pytest.raises(SettingError) as caught:
        parser.parse_args([option, "x"])

    assert (
        f"argument {option}: found 'x', expected a number; see tiedge filter --help"
        == str(caught.value)
    )


def test_a_seed_below_zero_is_refused(parser: Parser) -> None:
    """The random generator takes none."""
    with pytest.raises(SettingError) as caught:
        parser.parse_args(["--seed", "-1"])

    assert (
        "argument --seed: found -1, expected 0 to 4294967295, the 32-bit numbers;"
        " see tiedge filter --help" == str(caught.value)
    )


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "1e3"])
def test_a_bounded_number_is_finite_and_in_its_range(text: str) -> None:
    """NaN compares as nothing, and is refused like what lies outside."""
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        bounded(float, 0, 9, "the digits")(text)

    assert f"found {text}, expected 0 to 9, the digits" == str(caught.value)


def test_a_verb_offers_only_what_it_uses() -> None:
    """An engine that cannot run there is refused, and a depth that means nothing."""
    parser = Parser(prog="tiedge transcribe")
    add_engine_options(parser, ("litert",), depth=False, seed=False)

    assert {"engine", "precision", "threads"} == vars(parser.parse_args([])).keys()
    with pytest.raises(SettingError, match="--engine: invalid choice: 'torch'"):
        parser.parse_args(["--engine", "torch"])
    with pytest.raises(SettingError, match="unrecognized arguments: --depth 3; see"):
        parser.parse_args(["--depth", "3"])


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", "ü"), ("ascii", "\\u00fc")])
def test_json_is_json_in_every_encoding(
    encoding: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stdout cannot show is escaped as JSON does it."""
    printed = io.BytesIO()
    stdout = io.TextIOWrapper(printed, encoding, "backslashreplace")
    monkeypatch.setattr(sys, "stdout", stdout)

    print_json({"name": "ü"})

    stdout.flush()
    assert f'{{\n  "name": "{shown}"\n}}\n'.encode() == printed.getvalue()
    assert {"name": "ü"} == json.loads(printed.getvalue())
