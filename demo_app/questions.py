"""What is wrong with a request, in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CARRIERS = {"query", "body"}
"""Where pydantic says that a field was found, which a reader knows."""


def first_mistake(mistakes: Sequence[Mapping[str, Any]]) -> str:
    """Return the first of pydantic's findings as "field: what is wrong, found …".

    >>> mistake = {"loc": ("query", "sigma"), "msg": "Not a number", "input": "x"}
    >>> first_mistake([mistake])
    "sigma: Not a number, found 'x'"
    """
    mistake = mistakes[0]
    if mistake.get("type") == "json_invalid":
        return _broken_json(mistake)
    places = [str(part) for part in mistake["loc"] if part not in CARRIERS]
    field = ".".join(places) or "message"
    found = repr(mistake["input"])
    return f"{field}: {mistake['msg']}, found {found[:40]}"


def _broken_json(mistake: Mapping[str, Any]) -> str:
    """Return where a message stops being JSON: as its reader says, or by the place."""
    reason = mistake["ctx"]["error"]
    place = "".join(f" at character {part}" for part in mistake["loc"][1:])
    return f"message: Invalid JSON: {reason}{place}; send one JSON object"
