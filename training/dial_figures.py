"""What docs/measurements.md shows of two of results/: dial and frame_budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.curves import new_figure, save_figure
from training.markdown import table

BYTES_PER_MB = 10**6
MILLISECONDS_PER_SECOND = 1000

Rows = Sequence[Mapping[str, Any]]


def dial_tables(rows: Rows, _: object) -> str:
    """Return the tables of a dial beside unrolled graphs: files, times, memory."""
    return "\n\n".join((_files(rows), _times(rows), _memory(rows)))


def _files(rows: Rows) -> str:
    head = ["file", "format", "precision", "bytes", "of them beyond unique weights"]
    lines = [
        [
            row["way"],
            row["format"],
            row["precision"],
            f"{row['file_bytes']:,}",
            f"{row['overhead_bytes']:,}",
        ]
        for row in rows
        if row["kind"] == "file"
    ]
    return table(head, lines)


def _times(rows: Rows) -> str:
    head = ["engine", "precision", "depth", "loop ms", "unrolled ms", "ratio"]
    lines = [
        [
            f"{row['engine']} {row['engine_version']}",
            row["precision"],
            str(row["depth"]),
            f"{row['loop_p50_ms']:.1f}",
            f"{row['unrolled_p50_ms']:.1f}",
            f"{row['ratio']:.2f}",
        ]
        for row in rows
        if row["kind"] == "time"
    ]
    (n_runs,) = {row["n_runs"] for row in rows if row["kind"] == "time"}
    said = f"Median of {n_runs} runs each, turn by turn; ratio: the pairs' median."
    return f"{table(head, lines)}\n\n{said}"


def _memory(rows: Rows) -> str:
    found = [row for row in rows if row["kind"] == "memory"]
    depths = sorted({row["depth"] for row in found})
    cells: dict[tuple[str, ...], dict[int, str]] = {}
    for row in found:
        line = cells.setdefault((row["engine"], row["precision"], row["way"]), {})
        line[row["depth"]] = f"{row['rss_bytes'] / BYTES_PER_MB:.1f}"
    head = ["engine", "precision", "way", *(f"MB at depth {d}" for d in depths)]
    lines = [[*key, *(line[d] for d in depths)] for key, line in cells.items()]
    said = "Resident memory beyond that of a process that ran a model of one layer."
    return f"{table(head, lines)}\n\n{said}"


def budget_lines(rows: Rows, _: object) -> str:
    """Return in words how a pace was held while another program came and went."""
    budget_ms = MILLISECONDS_PER_SECOND / rows[0]["fps"]
    lines = [
        f"{len(rows)} frames of one tile at {rows[0]['fps']:g} a second"
        f" ({rows[0]['engine']} {rows[0]['engine_version']}, {rows[0]['precision']});"
        f" {sum(row['lost'] for row in rows)} lost."
    ]
    for said, other in (
        ("Alone", False),
        ("While another program computed without a pause", True),
    ):
        part = [row for row in rows if row["other_program"] == other]
        times = sorted(row["ms"] for row in part)
        p50, p90, p99 = (times[round(s * (len(times) - 1))] for s in (0.5, 0.9, 0.99))
        depths = Counter(row["depth"] for row in part)
        shares = ", ".join(
            f"{d} ({n / len(part):.0%})" for d, n in depths.most_common()
        )
        lines.append(
            f"{said}: depth {shares}; p50 {p50:.1f}, p90 {p90:.1f}, p99 {p99:.1f} ms"
            f" of {budget_ms:.1f}."
        )
    return "\n".join(f"- {line}" for line in lines) + (
        "\n\n![Depth and time of each frame](frame_budget.png)"
    )


def draw_budget(rows: Rows, path: Path) -> None:
    """Draw each frame's depth and time, and when the other program ran."""
    figure = new_figure(9.0, 4.0)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    at_s = [row["at_s"] for row in rows]
    above.step(at_s, [row["depth"] for row in rows], where="post", color="#0b7a75")
    above.set(ylabel="depth", yticks=sorted({row["depth"] for row in rows}))
    below.plot(at_s, [row["ms"] for row in rows], ".", markersize=3, color="#0b7a75")
    budget_ms = MILLISECONDS_PER_SECOND / rows[0]["fps"]
    below.axhline(budget_ms, linewidth=0.8, color="#c1121f", label="budget")
    busy = [row["at_s"] for row in rows if row["other_program"]]
    if busy:
        for axes in (above, below):
            axes.axvspan(busy[0], busy[-1], color="#8c8c8c", alpha=0.2, linewidth=0)
    below.set(
        xlabel="seconds (grey: another program takes a core)", ylabel="ms a frame"
    )
    below.set_ylim(bottom=0)
    below.legend(loc="upper right")
    save_figure(figure, path)
