from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

from training.curves import new_figure, plain_ticks
from training.quality_plot import draw_quality


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((90, 600), ["100", "150", "200", "300", "500"]),
        ((40, 900), ["50", "100", "200", "500"]),
        ((30, 60_000), ["100", "1000", "10000"]),
    ],
)
def test_ticks_are_written_out(ends: tuple[int, int], expected: list[str]) -> None:
    """Whole numbers, of which as many as have room."""
    axes = new_figure(7, 4).subplots()
    axes.set_xscale("log")
    axes.set_xlim(*ends)

    plain_ticks(axes)

    axes.figure.draw_without_rendering()
    shown = [
        label.get_text()
        for label in axes.get_xticklabels()
        if ends[0] <= label.get_position()[0] <= ends[1]
    ]
    assert expected == shown


def test_a_reference_is_drawn(tmp_path: Path) -> None:
    """What has no PSNR, being the reference, makes no plot fail; nor does one point."""
    rows = [{"look": "glow", "depth": 1, "ms": 20.0, "psnr_db": 40.0}]
    beside = [{"name": "glow (OpenCV)", "ms": 300.0, "psnr_db": None}]
    paths = [tmp_path / name for name in ("without.png", "with.png")]

    for path, others in zip(paths, ([], beside), strict=True):
        draw_quality("looks", rows, others, path, "2 pictures")

    without, with_reference = (Image.open(path).tobytes() for path in paths)
    assert without != with_reference
