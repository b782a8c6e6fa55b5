"""JSON read field by field, each field knowing its place and refusing what is odd."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from edge_runtime.errors import BundleError

T = TypeVar("T")

MAX_NESTING = 16
"""Levels of arrays and objects; a deeper document is refused."""

MAX_WHOLE = 2**53
"""Largest whole number that every JSON reader holds exactly."""

SHA256 = re.compile(r"[0-9a-f]{64}")
_WHOLE_DIGITS = 300
"""No field takes a number of so many; Python reads no whole one of 4,300."""

WAY_OUT = "run tiedge export again"
_SHOWN_CHARACTERS = 60


def parse_json(text: str, file: str) -> Field:
    """Return the document of `file` as a field.

    Raises BundleError, naming the place, for text that is no JSON, repeated keys,
    NaN and infinity, unprintable characters and nesting beyond MAX_NESTING.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_int=_parse_whole,
        )
    except RecursionError as error:
        raise BundleError(f"{file}: nested too deeply; {WAY_OUT}") from error
    except ValueError as error:
        raise BundleError(f"{file}: not JSON: {error}; {WAY_OUT}") from error
    root = Field(value, file, "")
    _check_values(root, 0)
    return root


def refusal(file: str, place: str, found: str, expected: str) -> BundleError:
    """Return the error for `place` in `file`."""
    return BundleError(f"{file}: {place} is {found}, expected {expected}; {WAY_OUT}")


@dataclass(frozen=True)
class Field:
    """One JSON value and the place where it stands."""

    value: Any
    file: str
    """The file as the user named it, for messages."""

    path: str
    """The place in the document, like `models[0].bytes`; empty for the root."""

    def refuse(self, expected: str) -> NoReturn:
        """Raise the BundleError that says what stands here and what should."""
        raise refusal(self.file, self.path or "document", _shown(self.value), expected)

    def object(self, *keys: str, optional: Sequence[str] = ()) -> dict[str, Field]:
        """Return the fields of an object that has exactly `keys`.

        One that is optional and not there reads as null.
        """
        fields = self.mapping()
        for key in optional:
            fields.setdefault(key, Field(None, self.file, self._below(key)))
        for key in keys:
            if key not in fields:
                self._refuse_missing(key)
        for key in fields:
            if key not in keys:
                raise BundleError(
                    f"{self.file}: {self._below(key)} is not a known field, expected"
                    f" one of {' '.join(keys)}; update tiedge or {WAY_OUT}"
                )
        return fields

    def field(self, key: str) -> Field:
        """Return the field `key` of an object."""
        fields = self.mapping()
        if key not in fields:
            self._refuse_missing(key)
        return fields[key]

    def mapping(self) -> dict[str, Field]:
        """Return the fields of an object with free keys."""
        if not isinstance(self.value, dict):
            self.refuse("an object")
        return {
            key: Field(value, self.file, self._below(key))
            for key, value in self.value.items()
        }

    def list_of(self, read: Callable[[Field], T], at_least: int = 0) -> tuple[T, ...]:
        """Return what `read` gives for each item of a list."""
        if not isinstance(self.value, list):
            self.refuse("a list")
        if len(self.value) < at_least:
            self.refuse(f"a list of at least {at_least}")
        return tuple(
            read(Field(item, self.file, f"{self.path}[{index}]"))
            for index, item in enumerate(self.value)
        )

    def or_null(self, read: Callable[[Field], T]) -> T | None:
        """Return None for null, else what `read` gives."""
        return None if self.value is None else read(self)

    def text(self) -> str:
        """Return a text that is not empty."""
        if not isinstance(self.value, str) or not self.value:
            self.refuse("a text")
        return self.value

    def text_like(self, pattern: re.Pattern[str], expected: str) -> str:
        """Return a text that `pattern` matches as a whole."""
        if not isinstance(self.value, str) or not pattern.fullmatch(self.value):
            self.refuse(expected)
        return self.value

    def sha256(self) -> str:
        """Return a SHA-256 in hexadecimal."""
        return self.text_like(SHA256, "a SHA-256 of 64 lower-case hexadecimal digits")

    def choice(self, choices: Sequence[str]) -> str:
        """Return a text that is one of `choices`."""
        if not isinstance(self.value, str) or self.value not in choices:
            self.refuse(f"one of {' '.join(choices)}")
        return self.value

    def whole(self, minimum: int = 0) -> int:
        """Return a whole number from `minimum` to MAX_WHOLE."""
        if (
            not isinstance(self.value, int)
            or isinstance(self.value, bool)
            or not minimum <= self.value <= MAX_WHOLE
        ):
            self.refuse(f"a whole number of at least {minimum}")
        return self.value

    def positive(self) -> int:
        """Return a whole number from 1."""
        return self.whole(minimum=1)

    def integer(self) -> int:
        """Return a whole number of either sign."""
        if (
            not isinstance(self.value, int)
            or isinstance(self.value, bool)
            or abs(self.value) > MAX_WHOLE
        ):
            self.refuse("a whole number")
        return self.value

    def number(self, minimum: float = -math.inf) -> float:
        """Return a finite number of at least `minimum`."""
        expected = "a number" if minimum == -math.inf else f"a number ≥ {minimum:g}"
        if not isinstance(self.value, (int, float)) or isinstance(self.value, bool):
            self.refuse(expected)
        if abs(self.value) > 1e300 or self.value < minimum:
            self.refuse(expected)
        return float(self.value)

    def _refuse_missing(self, key: str) -> NoReturn:
        raise BundleError(f"{self.file}: {self._below(key)} is missing; {WAY_OUT}")

    def _below(self, key: str) -> str:
        name = key if key.isidentifier() else json.dumps(key)
        return f"{self.path}.{name}" if self.path else name


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {_shown(key)} stands twice in one object")
        found[key] = value
    return found


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _parse_whole(digits: str) -> int | float:
    """Return the number, as a real one if it is huge: its field then refuses it."""
    return int(digits) if len(digits) <= _WHOLE_DIGITS else float(digits)


def _check_values(field: Field, level: int) -> None:
    if level > MAX_NESTING:
        field.refuse(f"at most {MAX_NESTING} levels of nesting")
    if isinstance(field.value, dict):
        for key, below in field.mapping().items():
            if not key.isprintable():
                below.refuse("a printable key")
            _check_values(below, level + 1)
    elif isinstance(field.value, list):
        field.list_of(lambda item: _check_values(item, level + 1))
    elif isinstance(field.value, str) and not field.value.isprintable():
        field.refuse("printable text on one line")
    elif isinstance(field.value, float) and not math.isfinite(field.value):
        field.refuse("a finite number")


def _shown(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, float) else repr(value)
    if len(text) > _SHOWN_CHARACTERS:
        return text[:_SHOWN_CHARACTERS] + "…"
    return text
