"""What docs/live.md shows of results/live.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from training.curves import new_figure, save_figure
from training.markdown import table

BYTES_PER_MB = 10**6
STAGES = ("decode", "filter", "output")
COLOUR, OTHER, FAINT = "#0b7a75", "#c1121f", "#8c8c8c"

Rows = Sequence[Mapping[str, Any]]


def live_table(result: Mapping[str, Any]) -> str:
    """Return the whole run's figures, their conditions and the plot."""
    conditions = result["conditions"]
    (whole,) = [row for row in result["rows"] if row["kind"] == "whole"]
    parts = [row for row in result["rows"] if row["kind"] == "part"]
    head = ["what", "measured"]
    lines = [
        ["frames in, shown, dropped", _frames(whole)],
        ["shown a second", f"{whole['fps_shown']:.1f}"],
        ["frames at each depth", _depths(whole)],
        *([f"{stage}, ms", _times(whole, stage)] for stage in STAGES),
        ["age of a shown frame, ms", _times(whole, "age")],
        ["bound of that age, ms", f"{whole['age_bound_ms']:.0f}"],
        ["frames over the bound", str(whole["n_over_bound"])],
        ["most resident memory", _mb(max(row["rss_bytes"] for row in parts))],
        ["growth after a minute", _mb(whole["rss_growth_bytes"])],
        ["growth in the second half", _mb(second_half_growth(parts))],
    ]
    device = conditions["device"]
    versions = ", ".join(f"{name} {v}" for name, v in conditions["versions"].items())
    said = (
        f"{whole['bundle']} {whole['precision']} on {whole['engine']},"
        f" {whole['threads']} threads, {whole['seconds']:.0f} s of"
        f" {conditions['video']}, to an MJPEG address with one reader; growth: the"
        " median of the last tenth above that of the second, and of the sixth.\n"
        f"{device['model']}: {device['machine']},"
        f" {device['n_cores']} cores; Python {conditions['python']}, {versions};"
        f" revision {conditions['revision']}."
    )
    return f"{table(head, lines)}\n\n{said}\n\n![Memory, age and rate](live.png)"


def second_half_growth(parts: Rows) -> float:
    """Return by how many bytes memory grew from the sixth tenth to the last."""
    rss_bytes = [row["rss_bytes"] for row in parts]
    tenth = max(1, len(rss_bytes) // 10)
    return median(rss_bytes[-tenth:]) - median(rss_bytes[5 * tenth : 6 * tenth])


def _mb(n_bytes: float) -> str:
    return f"{n_bytes / BYTES_PER_MB:.1f} MB"


def _frames(whole: Mapping[str, Any]) -> str:
    return " ".join(f"{whole[f'n_{n}']:,}" for n in ("captured", "shown", "dropped"))


def _depths(whole: Mapping[str, Any]) -> str:
    found = whole["frames_by_depth"]
    return ", ".join(f"{d}: {n / sum(found.values()):.0%}" for d, n in found.items())


def _times(whole: Mapping[str, Any], stage: str) -> str:
    found = whole[f"{stage}_ms"]
    return (
        f"p50 {found['p50']:.0f}, p99 {found['p99']:.0f}, longest"
        f" {found['longest']:.0f}"
    )


def draw_live(parts: Rows, fps: float, path: Path) -> None:
    """Draw memory, age and rate over time; `fps` is the source's."""
    figure = new_figure(9.0, 5.0)
    memory, age, rate = figure.subplots(3, 1, sharex=True)
    at_s = [row["at_s"] for row in parts]
    memory.plot(at_s, [row["rss_bytes"] / BYTES_PER_MB for row in parts], color=COLOUR)
    memory.set(ylabel="RSS, MB")
    for name, colour in (("p50", COLOUR), ("p99", OTHER)):
        age.plot(at_s, [row["age_ms"][name] for row in parts], color=colour, label=name)
    age.set(ylabel="age, ms")
    rate.plot(at_s, [row["fps_shown"] for row in parts], color=COLOUR, label="shown")
    rate.axhline(fps, linewidth=0.8, color=FAINT, label="the video's")
    rate.set(ylabel="frames a second", xlabel="seconds")
    for axes in (memory, age, rate):
        axes.set_ylim(bottom=0)
    age.legend(loc="upper right")
    rate.legend(loc="upper right")
    save_figure(figure, path)
