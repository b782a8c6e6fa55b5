"""The published figures of pictures, and of their speed, as the documents show them."""

from __future__ import annotations

from edge_runtime.bundle import find_bundle
from tests.training.hand_made_results import call, made, marked, written
from training.result_tables import MEASUREMENTS, fill_tables, read_results
from training.results import Setup, make
from training.summary_table import summary_table


def test_denoise_has_a_row_per_depth_and_sigma(setup: Setup) -> None:
    """Each row repeats what `tiedge evaluate` says of it, with its conditions."""
    result = made(setup, "denoise")

    assert [(15.0, 1), (15.0, 2), (25.0, 1), (25.0, 2)] == [
        (row["sigma"], row["depth"]) for row in result["rows"]
    ]
    found = call(
        *("evaluate", setup.denoise, "--data", str(setup.root / "photos")),
        *("--precision", "fp32", "--depth", "1"),
    )
    assert found["psnr_db"] == result["rows"][2]["psnr_db"]
    assert {"device", "python", "versions", "threads", "revision"} == (
        result["conditions"].keys()
    )


def test_enhance_stands_beside_its_peers(setup: Setup) -> None:
    """Each depth on dark pictures, each peer once, then pictures that need no light."""
    rows = made(setup, "enhance")["rows"]

    dark = [row for row in rows if row["exposure"] == "dark"]
    good = [row for row in rows if row["exposure"] == "good"]
    assert [1, 2] == [row["depth"] for row in dark if not row["peer"]]
    assert 3 == len([row for row in dark if row["peer"]])
    assert [(None, 1), (None, 2), (0.0, 1), (0.0, 2)] == [
        (row["strength"], row["depth"]) for row in good
    ]
    assert dark[1]["psnr_db"] > dark[0]["psnr_db"] > dark[0]["untouched_psnr_db"]
    assert good[-1]["psnr_db"] is None  # no strength: nothing is changed
    text = written(setup)
    assert "| light | litert | fp32 | 2 |" in text
    assert "| 0 | 2 | no difference |" in text


def test_peers_stand_on_a_part_of_the_photographs(setup: Setup) -> None:
    """Every fourth picture, each depth and each peer once, with time and size.

    Then all noise levels on photographs that no choice was made by.
    """
    rows = made(setup, "denoise_peers")["rows"]

    own = [row for row in rows if not row["peer"]]
    first = ("every 4th of photos", 25.0)
    assert [
        *((*first, 1), (*first, 2)),
        *(("photos", sigma, depth) for sigma in (15.0, 25.0) for depth in (1, 2)),
    ] == [(row["data"], row["sigma"], row["depth"]) for row in own]
    assert {("every 4th of photos", 1), ("photos", 4)} == {
        (row["data"], row["n_pictures"]) for row in rows
    }
    assert all(row["ms"] > 0 for row in rows)
    assert own[0]["file_bytes"] == find_bundle(setup.denoise).models[0].bytes
    text = written(setup)
    assert "\n| blur, depth 2 | " in text
    assert "\n| non-local means (OpenCV) | " in text


def test_gray_stands_beside_published_figures(setup: Setup) -> None:
    """A line per depth, one per paper where the set is known, one unfiltered."""
    result = made(setup, "denoise_gray")
    rows = [row | {"data": "photos/Set12"} for row in result["rows"]]

    text = fill_tables(
        marked(MEASUREMENTS), {"denoise_gray": result | {"rows": rows}}, MEASUREMENTS
    )

    assert "| photos/Set12 | BM3D, published | 32.37 | 29.97 |" in text.splitlines()
    assert 4 + 1 == text.count("\n| photos/Set12 | ")


def test_superres_stands_beside_bicubic(setup: Setup) -> None:
    """What bicubic reaches in the same run checks the protocol."""
    rows = made(setup, "superres")["rows"]

    (row,) = rows
    assert 2 == row["scale"]
    line = f"| bicubic |  |  |  | {row['bicubic_psnr_db']:.2f} |  |"
    assert line in written(setup).splitlines()


def test_each_look_stands_beside_its_operator(setup: Setup) -> None:
    """A line per look with every depth, nothing done, and both times."""
    rows = made(setup, "looks")["rows"]

    assert [("smooth", 1), ("smooth", 2), ("glow", 1), ("glow", 2)] == [
        (row["look"], row["depth"]) for row in rows if not row["peer"]
    ]
    assert ["smooth (OpenCV)", "glow (OpenCV)"] == [
        row["peer"] for row in rows if row["peer"]
    ]
    lines = written(setup).splitlines()
    (glow,) = (line for line in lines if line.startswith("| glow | "))
    assert f"{rows[-2]['psnr_db']:.2f}" in glow


def test_speeds_are_told_as_ratios(setup: Setup) -> None:
    """Each comparison has its table or line."""
    made(setup, "picture_speed")

    lines = written(setup).splitlines()
    for line in (
        "| denoise, depth 8 | 80.0 | 320.0 | 4.0 | 5.0 | 1.2 |",
        "| denoise, depth 8 | 384×384 | 80.0 | 84.0 | 5.0% |",
        "| denoise-live, depth 1 | 640×480 | 2 | 12.5 | 80 |",
        "| smooth | 200 | 20 | 40 | 10.0 | 5.0 |",
        "A picture of 1000×1000, 1 thread each.",
        "| smooth | 200 | 10 | 20 | 20.0 | 10.0 |",
        "A picture of 1000×1000, 2 threads each.",
        "CBM3D takes 21.0 s for a picture of 481×321, denoise, depth 8 150 ms: 140"
        " times faster.",
    ):
        assert line in lines


def test_the_summary_tells_each_filter_once(setup: Setup) -> None:
    """A line per filter and test, depth after depth, with what stands beside it."""
    for name in ("bundles", "denoise", "superres", "enhance", "looks"):
        make(name, setup, call)
    results = read_results(setup.folder)
    for result in results.values():  # those of hand-made bundles are fp32
        for row in result["rows"]:
            if "precision" in row:
                row |= {"precision": "int8"}
            if "file" in row:
                row |= {"file": row["file"].replace(".tflite", ".int8.tflite")}

    head, _, *lines = summary_table(results).splitlines()

    assert "| filter | file | PSNR | depth 1 | depth 2 | beside |" == head
    starts = [" | ".join(line.split(" | ")[:3]) for line in lines]
    assert [
        "| blur | 2 KB | noise of σ 15, photos",
        "| blur |  | noise of σ 25, photos",
        "| double | 1 KB | twice the size, Y of photos",
        "| light | 3 KB | photos darkened",
        "| light |  | smooth as by OpenCV, photos",
        "| light |  | glow as by OpenCV, photos",
    ] == starts
    assert "| CBM3D 33.52; FFDNet, 852 K parameters 33.87 |" in lines[0]
    denoised = [f"{row['psnr_db']:.2f}" for row in results["denoise"]["rows"]]
    assert " | ".join(denoised[:2]) in lines[0]
    assert "; best gamma per picture (scikit-image) " in lines[3]
