"""Tables of data: tab-separated rows, some of which are asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edge_runtime.errors import DataError
from edge_runtime.files import check_regular

TABLE_ENDING = ".tsv"
PATH = "path"
"""The column that names a file, relative to the table."""
LAYOUT = "expected a line of column names, then rows, with tabs between values"
MOST_NAMED = 20
"""Columns or values that a message lists."""
LONGEST_NAME = 40
"""Letters of each of them."""
_LINE_END = re.compile("\r\n|\r|\n")


class Line(NamedTuple):
    """A line of a text file."""

    number: int
    """From 1, as editors count, blank lines too."""
    text: str


@dataclass(frozen=True)
class Row:
    """A row of a table."""

    values: Mapping[str, str]
    """By column."""
    place: str
    """Table and line, for messages."""


def read_rows(
    path: Path, columns: Sequence[str], where: Sequence[tuple[str, str]]
) -> list[Row]:
    """Return the rows of a table, one or more, that fit all of `where`.

    The table is tab-separated without quoting; each of `where` is a column and the
    value it must have. Raises DataError for a table that cannot be read, where it
    lacks one of `columns` or a column of `where`, and where no row fits.
    """
    rows = _all_rows(path)
    names = rows[0].values
    for column in columns:
        if column not in names:
            raise DataError(
                f"{path}: no column {column!r}, found {_listed(names)}; {LAYOUT}"
            )
    for column, value in where:
        if column not in names:
            raise DataError(
                f"{path}: no column {column!r}, expected one of {_listed(names)}"
            )
        there = dict.fromkeys(row.values[column] for row in rows)
        if value not in there:
            raise DataError(
                f"{path}: no row with {column}={value}, expected one of"
                f" {_listed(map(repr, there))}"
            )
    fitting = [row for row in rows if all(row.values[c] == v for c, v in where)]
    if not fitting:
        raise DataError(
            f"{path}: no row with {' and '.join(f'{c}={v}' for c, v in where)} at once"
        )
    return fitting


def read_lines(path: Path, what: str) -> list[Line]:
    r"""Return the lines of a text file that are not blank.

    They end in `\n`, `\r\n` or `\r`; a byte order mark is passed over. `what` is what
    the file was expected to be.

    Raises DataError for a file that cannot be read, for bytes that are not UTF-8, and
    for a zero byte.
    """
    check_regular(path, what, DataError)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}; expected {what}"
        ) from error
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8")
        raise DataError(
            f"{path}, line {len(_LINE_END.split(before))}: byte"
            f" 0x{error.object[error.start]:02x} is no UTF-8, expected {what}; save it"
            " as UTF-8"
        ) from error
    lines = [Line(n, line) for n, line in enumerate(_LINE_END.split(text), start=1)]
    for line in lines:
        if "\0" in line.text:
            raise DataError(
                f"{path}, line {line.number}: holds a zero byte, expected text"
            )
    return [line for line in lines if line.text.strip()]


def check_files(files: Iterable[tuple[str, Path]]) -> None:
    """Raise DataError for the first file that is not there; each comes with its place.

    A place is table and line.
    """
    for place, file in files:
        if not os.path.exists(file):  # noqa: PTH110 (Path.exists raises for long names)
            raise DataError(f"{place}: no such file: {file}")


def _all_rows(path: Path) -> list[Row]:
    lines = read_lines(path, "a table")
    if not lines:
        raise DataError(f"{path}: is empty, {LAYOUT}")
    names = lines[0].text.split("\t")
    for name in names:
        if name and names.count(name) > 1:
            raise DataError(
                f"{path}, line {lines[0].number}: column {name!r} is there"
                f" {names.count(name)} times, expected once"
            )
    if not lines[1:]:
        raise DataError(f"{path}: no rows, only line {lines[0].number}; {LAYOUT}")
    return [_row(path, names, line) for line in lines[1:]]


def _row(path: Path, names: Sequence[str], line: Line) -> Row:
    place = f"{path}, line {line.number}"
    values = line.text.split("\t")
    if len(values) != len(names):
        raise DataError(
            f"{place}: found {len(values)} values, expected {len(names)} separated by"
            " tabs"
        )
    return Row(dict(zip(names, values, strict=True)), place)


def _listed(names: Iterable[str]) -> str:
    """Return the first of some names, shortened, as one line."""
    all_names = [name for name in names if name]
    shown = [
        name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"
        for name in all_names[:MOST_NAMED]
    ]
    n_more = len(all_names) - len(shown)
    return " ".join([*shown, f"and {n_more} more"] if n_more else shown)
