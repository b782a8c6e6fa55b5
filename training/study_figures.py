"""Table and plot of results/speech_study.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.curves import new_figure, save_figure
from training.markdown import table

WIDTH, HEIGHT = 4.2, 3.6
"""Inches, of each question's panel."""
COLOURS = ("#0b7a75", "#8c8c8c", "#d98324")
SCORES = {"cer": "letters wrong", "perplexity": "perplexity"}
"""First part of a metric's name to what it is."""

Rows = Sequence[Mapping[str, Any]]


def study_tables(rows: Rows) -> str:
    """Return a table for each question: size, and each metric's mean and interval."""
    return "\n\n".join(_table(some) for some in _by_question(rows).values())


def draw_study(rows: Rows, path: Path) -> None:
    """Draw how the first metric of each question falls in training, a line a seed."""
    questions = _by_question(rows)
    figure = new_figure(WIDTH * len(questions), HEIGHT)
    panels = figure.subplots(1, len(questions), squeeze=False)[0]
    for axes, some in zip(panels, questions.values(), strict=True):
        for row, colour in zip(some, COLOURS, strict=False):
            for number, curve in enumerate(row["curves"]):
                steps, values = zip(*curve, strict=True)
                named = {} if number else {"label": _named(row)}
                axes.plot(steps, values, color=colour, linewidth=1.2, **named)
        metric = some[0]["metrics"][0]
        axes.set(xlabel="training step", ylabel=_said(metric), ylim=_limits(some))
        axes.grid(linewidth=0.4)
        axes.legend(fontsize="x-small")
    save_figure(figure, path)


def _by_question(rows: Rows) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["question"], []).append(row)
    return found


def _table(rows: Rows) -> str:
    metrics = rows[0]["metrics"]
    head = [rows[0]["question"], "parameters", *map(_said, metrics)]
    lines = [
        [
            row["variant"],
            f"{row['n_parameters']:,}",
            *(_interval(metric, row) for metric in metrics),
        ]
        for row in rows
    ]
    said = f"`{rows[0]['recipe']} {rows[0]['common']}`, {rows[0]['n_seeds']} seeds."
    return f"{table(head, lines)}\n\n{said}"


def _interval(metric: str, row: Mapping[str, Any]) -> str:
    value, half = row[metric], row[f"{metric}_half_interval"]
    if metric.startswith("cer"):
        return f"{value:.1%} ± {half * 100:.1f}"
    return f"{value:.1f} ± {half:.1f}"


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['variant']}: {row['n_parameters'] / 1000:,.0f} thousand weights"


def _said(metric: str) -> str:
    """Return a metric in words.

    >>> _said("cer_speechocean762")
    'letters wrong, speechocean762'
    """
    score, _, texts = metric.partition("_")
    return f"{SCORES[score]}, {texts}"


def _limits(rows: Rows) -> tuple[float, float]:
    """Return an axis's ends: what comes before the second validation may leave it."""
    values = [value for row in rows for curve in row["curves"] for _, value in curve]
    later = [v for row in rows for curve in row["curves"] for _, v in curve[1:]]
    top = max(later or values)
    return 0.95 * min(values), 1.05 * top
