"""BM3D and CBM3D, the classic denoisers to stand beside."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import missing_package
from edge_runtime.pictures import PICTURE_PEAK

PACKAGE = "bm3d"


def block_matched(
    noisy: NDArray[np.float32], sigma: float, *, is_gray: bool
) -> NDArray[np.float32]:
    """Return the picture, (Y, X, 3) in 0–1, without its noise.

    Its authors' own program (Dabov et al. 2007, "Image denoising by sparse 3-D
    transform-domain collaborative filtering") with its default profile, told the true
    `sigma` in units of 255. A gray picture has the same values in all colours.

    Raises SettingError if the package is missing.
    """
    require()
    import bm3d

    level = sigma / PICTURE_PEAK
    if is_gray:
        restored = bm3d.bm3d(noisy[..., 0], level)[..., np.newaxis]
    else:
        restored = bm3d.bm3d_rgb(noisy, level)
    return np.broadcast_to(restored, noisy.shape).astype(np.float32)


def require() -> str:
    """Return the package's version; raises SettingError if it is missing."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError as error:
        raise missing_package(PACKAGE, "compare") from error
