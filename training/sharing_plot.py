"""The plot of results/sharing.json: how large each exporter's files are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.curves import new_figure, save_figure
from training.result_tables import BYTES_PER_PARAMETER, EXPORTERS, outcome_of

FORMATS, PRECISIONS = ("tflite", "pte"), ("fp32", "int8")
COLOURS = dict(zip(EXPORTERS, ("#8c8c8c", "#0b7a75"), strict=True))
WRONG = "#c1121f"
TICKS = (1, 2, 4, 8, 16)
LIMITS = (0.9, 40)
"""The last tick has room for a word behind it."""
WIDTH, HEIGHT = 9.0, 7.5
TEXT: dict[str, Any] = {"va": "center", "fontsize": "x-small"}

Rows = Sequence[Mapping[str, Any]]


def draw_sharing(rows: Rows, path: Path) -> None:
    """Draw file sizes in multiples of what holding each weight once would take.

    A panel per format and precision, a line per module. A file that does not load,
    crashes or is wrong is a cross, with the word beside it.
    """
    modules = list(dict.fromkeys(row["module"] for row in rows))
    figure = new_figure(WIDTH, HEIGHT)
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for line, precision in zip(panels, PRECISIONS, strict=True):
        for axes, format in zip(line, FORMATS, strict=True):
            for row in rows:
                if (row["format"], row["precision"]) == (format, precision):
                    _draw(axes, row, modules.index(row["module"]))
            axes.set_title(f".{format}, {precision}")
            axes.set_xscale("log", base=2)
            axes.set_xlim(*LIMITS)
            axes.set_xticks(TICKS, [f"{tick}×" for tick in TICKS])
            axes.set_yticks(range(len(modules)), modules)
            axes.grid(axis="y", linewidth=0.4)
            axes.axvline(1.0, linewidth=0.8, color="black")
    panels[0, 0].invert_yaxis()
    figure.supxlabel(
        "size of the file, by that of its parameters held once", fontsize="medium"
    )
    first = panels[0, 0]
    for exporter in EXPORTERS:
        first.plot([], [], "o", color=COLOURS[exporter], label=exporter)
    first.plot([], [], "X", color=WRONG, label="of no use")
    figure.legend(loc="outside upper right", ncols=3)
    save_figure(figure, path)


def _draw(axes: Any, row: Mapping[str, Any], line: int) -> None:
    """Draw one file; where there is none, the word at the right."""
    shift = 0.22 if row["exporter"] == EXPORTERS[1] else -0.22
    outcome = outcome_of(row)
    colour = COLOURS[row["exporter"]]
    if row["file_bytes"] is None:
        end = (LIMITS[1], line + shift)
        axes.annotate(f"{outcome} ", end, ha="right", color=colour, **TEXT)
        return
    size = row["n_parameters"] * BYTES_PER_PARAMETER[row["precision"]]
    times = row["file_bytes"] / size
    right = outcome == "right"
    marker = {"marker": "o" if right else "X", "color": colour if right else WRONG}
    axes.plot([times], [line + shift], linestyle="none", markersize=6, **marker)
    if not right:
        axes.annotate(f"  {outcome}", (times, line + shift), color=WRONG, **TEXT)
