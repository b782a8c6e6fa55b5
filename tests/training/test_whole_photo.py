import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_runtime.image_filter import ImageFilter, open_filter
from tests.demo_app.hand_made_bundles import blur_bundle
from training.result_sources import ROOT, sources_sha256
from training.results import Setup
from training.whole_photo import NAME, seam_difference


def test_tiles_that_see_enough_show_no_seam(tmp_path: Path) -> None:
    """To the bit; and with too little overlap the measure sees one."""
    rng = np.random.default_rng(0)
    picture = rng.random((150, 130, 3), dtype=np.float32)
    with open_filter(str(blur_bundle(tmp_path)), precision="fp32") as right:
        bundle = right.bundle
        assert bundle.picture is not None
        short = replace(bundle.picture, radius_px={1: 0, 2: 0})
        wrong = ImageFilter(replace(bundle, picture=short), right.engine)

        seam = seam_difference(right, picture, sigma=0.0, depth=2)
        seam_of_wrong = seam_difference(wrong, picture, sigma=0.0, depth=2)

    assert 0 == seam < seam_of_wrong


def test_results_belong_to_these_sources() -> None:
    """The results were measured with the sources and bundle of this checkout."""
    result = json.loads((ROOT / "results" / f"{NAME}.json").read_text())

    assert result["sources_sha256"] == sources_sha256(NAME, Setup()), (
        "results/whole_photo.json is stale; run python -m training.whole_photo"
    )
    for row in result["rows"]:
        assert row["seam"] == 0.0
        assert row["peak_rss_bytes"] < 250_000_000
