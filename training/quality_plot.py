"""Plots of quality against time: a network over its depths, and others beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.curves import new_figure, save_figure

WIDTH, HEIGHT = 7.0, 4.5
OWN, OTHER = "#0b7a75", "#8c8c8c"

Rows = Sequence[Mapping[str, Any]]


def draw_quality(name: str, rows: Rows, beside: Rows, path: Path) -> None:
    """Draw PSNR over milliseconds a picture, as PNG.

    `rows` have depth, ms and psnr_db, those of one look joined by a line; `beside`
    name, ms and psnr_db. What equals the wanted picture to the last bit, whose PSNR is
    None, is left out.
    """
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.subplots()
    for look in dict.fromkeys(row.get("look") for row in rows):
        shown = [row for row in rows if row.get("look") == look and _has(row)]
        times, found = ([row[key] for row in shown] for key in ("ms", "psnr_db"))
        axes.plot(times, found, "o-", color=OWN)
        for row in shown:
            axes.annotate(f" {row['depth']}", (row["ms"], row["psnr_db"]), va="top")
        if shown:
            what = look or name
            axes.annotate(f"{what}  ", (times[0], found[0]), ha="right", va="center")
    for row in filter(_has, beside):
        axes.plot([row["ms"]], [row["psnr_db"]], "s", color=OTHER)
        axes.annotate(f"{row['name']}  ", (row["ms"], row["psnr_db"]), ha="right")
    axes.set_xscale("log")
    axes.margins(x=0.35, y=0.15)
    axes.set(xlabel="milliseconds a picture (number: depth)", ylabel="PSNR, dB")
    axes.grid(linewidth=0.4)
    save_figure(figure, path)


def draw_peers(rows: Rows, path: Path) -> None:
    """Draw what results/denoise_peers.json tells of its first pictures."""
    rows = [row for row in rows if row["data"] == rows[0]["data"]]
    own = [row for row in rows if not row["peer"]]
    beside = [{**row, "name": row["peer"]} for row in rows if row["peer"]]
    draw_quality(own[0]["bundle"], own, beside, path)


def _has(row: Mapping[str, Any]) -> bool:
    return row["psnr_db"] is not None
