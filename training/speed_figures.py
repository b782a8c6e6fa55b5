"""What docs/measurements.md shows of results/picture_speed.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.markdown import table

PEERS = ("DnCNN", "FFDNet")

Rows = Sequence[Mapping[str, Any]]


def speed_tables(rows: Rows, _: object) -> str:
    """Return the tables of speeds: networks, runtime, frames, looks, CBM3D."""
    parts = [_networks, _runtime, _live, _looks, _cbm3d]
    kinds = ("network", "runtime", "live", "looks", "cbm3d")
    found = [[row for row in rows if row["kind"] == kind] for kind in kinds]
    return "\n\n".join(
        part(of_kind) for part, of_kind in zip(parts, found, strict=True) if of_kind
    )


def _networks(rows: Rows) -> str:
    ms = {(row["name"], row["precision"]): row["p50_ms"] for row in rows}
    names = list(dict.fromkeys(row["name"] for row in rows))
    head = ["network", "int8 ms", "fp32 ms", "fp32 by int8"]
    head += [f"{peer} int8 by it" for peer in PEERS]
    lines = [
        [
            name,
            f"{ms[name, 'int8']:.1f}",
            f"{ms[name, 'fp32']:.1f}",
            f"{ms[name, 'fp32'] / ms[name, 'int8']:.1f}",
            *(f"{ms[peer, 'int8'] / ms[name, 'int8']:.1f}" for peer in PEERS),
        ]
        for name in names
    ]
    said = (
        f"A tile of {_size(rows[0])}, {rows[0]['engine']}, one thread. DnCNN (20"
        " convolutions of 64 channels) and FFDNet (12 of 96, at half resolution) have"
        " random weights."
    )
    return f"{table(head, lines)}\n\n{said}"


def _runtime(rows: Rows) -> str:
    head = ["filter", "picture", "engine ms", "filter ms", "the runtime adds"]
    lines = [
        [
            row["name"],
            _size(row),
            f"{row['engine_p50_ms']:.1f}",
            f"{row['filter_p50_ms']:.1f}",
            f"{row['part']:.1%}",
        ]
        for row in rows
    ]
    return table(head, lines)


def _live(rows: Rows) -> str:
    head = ["filter", "frame", "threads", "ms", "frames a second"]
    lines = [
        [
            row["name"],
            _size(row),
            str(row["threads"]),
            f"{row['p50_ms']:.1f}",
            f"{row['fps']:.0f}",
        ]
        for row in rows
    ]
    return table(head, lines)


def _looks(rows: Rows) -> str:
    """Return a table for each number of threads."""
    threads = dict.fromkeys(row["threads"] for row in rows)
    return "\n\n".join(
        _looks_on([row for row in rows if row["threads"] == n]) for n in threads
    )


def _looks_on(rows: Rows) -> str:
    depths = list(dict.fromkeys(row["depth"] for row in rows))
    head = ["look", "OpenCV ms", *(f"depth {d}, ms" for d in depths)]
    head += [f"times faster at depth {d}" for d in depths]
    lines = []
    for look in dict.fromkeys(row["name"] for row in rows):
        own = [row for row in rows if row["name"] == look]
        lines.append(
            [
                look,
                f"{own[0]['opencv_p50_ms']:.0f}",
                *(f"{row['p50_ms']:.0f}" for row in own),
                *(f"{row['ratio']:.1f}" for row in own),
            ]
        )
    threads = rows[0]["threads"]
    said = f"A picture of {_size(rows[0])}, {threads} thread{'s' * (threads > 1)} each."
    return f"{table(head, lines)}\n\n{said}"


def _cbm3d(rows: Rows) -> str:
    (row,) = rows
    return (
        f"CBM3D takes {row['cbm3d_p50_ms'] / 1000:.1f} s for a picture of"
        f" {_size(row)}, {row['name']} {row['p50_ms']:.0f} ms: {row['ratio']:.0f} times"
        " faster."
    )


def _size(row: Mapping[str, Any]) -> str:
    rows, columns = row["size_px"]
    return f"{columns}×{rows}"
