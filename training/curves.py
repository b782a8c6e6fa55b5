"""The curves of a run, drawn from its log; and what other plots begin with."""

from __future__ import annotations

import csv
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from edge_runtime.files import replacing

LOG_FILE = "log.csv"
CURVES_FILE = "curves.png"
LOG_TICKS = ((10, (1, 1.5, 2, 3, 5, 7)), (100, (1, 2, 5)), (float("inf"), (1,)))
"""Where a logarithmic axis has ticks in each decade, by the ratio of its ends."""


def draw_curves(run: Path) -> None:
    """Draw loss and metrics of the run's log over its steps, as curves.png."""
    with (run / LOG_FILE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    metrics = [
        k for k in rows[0] if k not in {"step", "loss", "learning_rate", "seconds"}
    ]
    figure = new_figure(9, 3.5)
    left, right = figure.subplots(1, 2)
    left.plot(steps, [float(row["loss"]) for row in rows])
    left.set(xlabel="step", ylabel="training loss")
    for metric in metrics:
        right.plot(steps, [float(row[metric]) for row in rows], label=metric)
    right.set(xlabel="step", ylabel="held-out metric")
    right.legend()
    save_figure(figure, run / CURVES_FILE)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure; sizes in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def plain_ticks(axes: Axes) -> None:
    """Give a logarithmic x axis, once it has its ends, ticks like 200, not 2×10²."""
    left, right = axes.get_xlim()
    ticks = next(ticks for most, ticks in LOG_TICKS if right / left <= most)
    axes.xaxis.set_major_locator(LogLocator(subs=ticks))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
