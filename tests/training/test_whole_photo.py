from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_runtime.image_filter import ImageFilter, open_filter
from tests.demo_app.hand_made_bundles import blur_bundle
from training.whole_photo import seam_difference


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
