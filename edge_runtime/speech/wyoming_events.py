"""Events of the Wyoming protocol, read from clients that may send anything.

Wyoming's own reader takes lengths as they come, and ends on a line that is no event.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from edge_runtime.errors import AudioError

MOST_DATA_BYTES = 1 << 20
"""Of the JSON behind a header."""
MOST_PAYLOAD_BYTES = 1 << 23
"""Of the samples behind it: four minutes at 16 kHz."""
MOST_TOLD = 60
"""Letters of what a client sent, in a line about it."""


class Message(NamedTuple):
    """An event as it was sent."""

    type: str
    data: dict[str, Any]
    payload: bytes | None


async def read_event(reader: asyncio.StreamReader) -> Message | None:
    """Return the next event; None where the client has ended before it.

    Raises AudioError for what is no event, behind which nothing can be read;
    IncompleteReadError and OSError where the client left within one.
    """
    try:
        line = await reader.readline()
    except ValueError as error:  # longer than the reader's limit
        raise AudioError("header: is too long, expected a line of JSON") from error
    if not line:
        return None
    header = _object("header", line)
    kind = header.get("type")
    if not isinstance(kind, str):
        raise AudioError(f'header: "type" is {told(kind)}, expected a text')
    n_data = _length(header, "data_length", MOST_DATA_BYTES)
    n_payload = _length(header, "payload_length", MOST_PAYLOAD_BYTES)
    data = header.get("data") or {}
    if not isinstance(data, dict):
        raise AudioError(f'header: "data" is {told(data)}, expected an object')
    if n_data:
        data |= _object("data", await reader.readexactly(n_data))
    payload = await reader.readexactly(n_payload) if n_payload else None
    return Message(kind, data, payload)


def whole(kind: str, data: Mapping[str, Any], name: str, most: int) -> int:
    """Return a number from 1 to `most` of the data of an event of a kind.

    Raises AudioError for anything else.
    """
    value = data.get(name)
    if type(value) is not int or not 1 <= value <= most:
        raise AudioError(f'{kind}: "{name}" is {told(value)}, expected 1 to {most}')
    return value


def told(value: object) -> str:
    """Return what a client sent, short enough for a line."""
    text = repr(value)
    return text if len(text) <= MOST_TOLD else f"{text[: MOST_TOLD - 1]}…"


def _object(what: str, data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise AudioError(f"{what}: is no JSON, found {told(data)}") from error
    if not isinstance(found, dict):
        raise AudioError(f"{what}: is {told(found)}, expected an object of JSON")
    return found


def _length(header: dict[str, Any], name: str, most: int) -> int:
    value = header.get(name) or 0
    if type(value) is not int or not 0 <= value <= most:
        raise AudioError(
            f'header: "{name}" is {told(value)}, expected at most {most} bytes'
        )
    return value
