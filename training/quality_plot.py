"""Plots of quality against time: a network over its depths, and others beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.curves import new_figure, plain_ticks, save_figure

WIDTH, HEIGHT = 7.0, 4.5
OWN, OTHER = "#0b7a75", "#8c8c8c"
X_MARGIN, Y_MARGIN = 0.2, 0.18
"""Room for labels, in shares of what the points span."""
LABEL_PT = 7
"""Distance of a label from its point."""
LINE_SHARE = 0.055
"""Of the frame's height: a line of text."""

Rows = Sequence[Mapping[str, Any]]


def draw_quality(
    name: str, rows: Rows, beside: Rows, path: Path, title: str = ""
) -> None:
    """Draw PSNR over milliseconds a picture, as PNG.

    `rows` have depth, ms and psnr_db, those of one look joined by a line; `beside`
    name, ms and psnr_db. What of those equals the wanted picture to the last bit, whose
    PSNR is None, is the reference: a line at its time.
    """
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.subplots()
    for look in dict.fromkeys(row.get("look") for row in rows):
        shown = [row for row in rows if row.get("look") == look and _has(row)]
        times, found = ([row[key] for row in shown] for key in ("ms", "psnr_db"))
        axes.plot(times, found, "o-", color=OWN)
    for row in beside:
        if _has(row):
            axes.plot([row["ms"]], [row["psnr_db"]], "s", color=OTHER)
        else:
            axes.axvline(row["ms"], color=OTHER, linestyle=":")
    axes.set_xscale("log")
    axes.margins(x=X_MARGIN, y=Y_MARGIN)
    plain_ticks(axes)
    _name_references(axes, [row for row in beside if not _has(row)])
    _label(axes, name, rows, beside)
    axes.set(xlabel="milliseconds a picture (number: depth)", ylabel="PSNR, dB")
    axes.set_title(title, fontsize="medium", wrap=True)
    axes.grid(linewidth=0.4)
    save_figure(figure, path)


def _label(axes: Any, name: str, rows: Rows, beside: Rows) -> None:
    """Name what is drawn, towards the middle of the frame."""
    left, right = axes.get_xlim()

    def side(ms: float) -> dict[str, Any]:
        is_left = ms * ms < left * right  # the middle of a logarithmic axis
        away = LABEL_PT if is_left else -LABEL_PT
        return {
            "xytext": (away, LABEL_PT),
            "textcoords": "offset points",
            "ha": "left" if is_left else "right",
        }

    deepest = {row.get("look"): row for row in filter(_has, rows)}
    for look, row in deepest.items():
        place = row["ms"], row["psnr_db"]
        axes.annotate(look or name, place, color=OWN, **side(row["ms"]))
    for row in filter(_has, rows):
        place = row["ms"], row["psnr_db"]
        axes.annotate(
            str(row["depth"]),
            place,
            xytext=(0, -LABEL_PT),
            textcoords="offset points",
            ha="center",
            va="top",
        )
    for row in filter(_has, beside):
        place = row["ms"], row["psnr_db"]
        axes.annotate(row["name"], place, **side(row["ms"]))


def _name_references(axes: Any, references: Rows) -> None:
    """Name the lines of references one below the other, above all points."""
    bottom, top = axes.get_ylim()
    left, right = axes.get_xlim()
    axes.set_ylim(bottom, top + (top - bottom) * LINE_SHARE * len(references))
    for i, row in enumerate(sorted(references, key=lambda row: row["ms"])):
        is_left = row["ms"] ** 2 < left * right
        axes.annotate(
            f"{row['name']}, the reference",
            (row["ms"], 1 - LINE_SHARE * (i + 0.5)),
            xycoords=axes.get_xaxis_transform(),
            xytext=(LABEL_PT if is_left else -LABEL_PT, 0),
            textcoords="offset points",
            ha="left" if is_left else "right",
            va="center",
            fontsize="small",
            bbox={"color": "white", "pad": 1.0},
        )


def draw_peers(rows: Rows, path: Path) -> None:
    """Draw what results/denoise_peers.json tells of its first pictures."""
    rows = [row for row in rows if row["data"] == rows[0]["data"]]
    own = [row for row in rows if not row["peer"]]
    beside = [{**row, "name": row["peer"]} for row in rows if row["peer"]]
    first = own[0]
    title = (
        f"{first['data']}: {first['n_pictures']} pictures, sigma {first['sigma']:g}"
        f" {first['protocol']}; {first['engine']} {first['precision']}"
    )
    draw_quality(first["bundle"], own, beside, path, title)


def _has(row: Mapping[str, Any]) -> bool:
    return row["psnr_db"] is not None
