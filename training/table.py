"""Tables of data: tab-separated rows, some of which are asked for."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from edge_runtime.errors import DataError
from edge_runtime.files import check_regular

TABLE_ENDING = ".tsv"
PATH = "path"
"""The column that names a file, relative to the table."""
FIRST_LINE = 2
"""Of the rows; the one before names the columns."""


def read_rows(
    path: Path, columns: Sequence[str], where: Sequence[tuple[str, str]]
) -> list[dict[str, str]]:
    """Return the rows of a table that fit all of `where`; none may be left.

    The table is tab-separated without quoting; each of `where` is a column and the
    value it must have. Raises DataError for a table that cannot be read, and where it
    lacks one of `columns` or a column of `where`.
    """
    rows = _all_rows(path)
    for column in (*columns, *(column for column, _ in where)):
        if column not in rows[0]:
            raise DataError(
                f"{path}: no column {column!r}, expected one of"
                f" {' '.join(name for name in rows[0] if name)}"
            )
    return [row for row in rows if all(row[c] == value for c, value in where)]


def check_files(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Raise DataError for the first of a table's rows whose file is not there."""
    for row in rows:
        file = path.parent / row[PATH]
        if not os.path.exists(file):  # noqa: PTH110 (Path.exists raises for long names)
            number = _all_rows(path).index(dict(row)) + FIRST_LINE
            raise DataError(f"{path}, line {number}: no such file: {file}")


def _all_rows(path: Path) -> list[dict[str, str]]:
    check_regular(path, "a table", DataError)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            rows = list(reader)
    except OSError as error:
        raise DataError(f"{path}: no table can be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: is no table of text, expected UTF-8 with values separated by"
            f" tabs: {error}"
        ) from error
    if not rows:
        raise DataError(f"{path}: no rows")
    for number, row in enumerate(rows, start=FIRST_LINE):
        if None in row or None in row.values():
            raise DataError(
                f"{path}, line {number}: expected {len(reader.fieldnames or ())}"
                " values separated by tabs"
            )
        if any("\0" in value for value in row.values()):
            raise DataError(f"{path}, line {number}: holds a zero byte, expected text")
    return rows
