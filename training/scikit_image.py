"""scikit-image: the similarity that papers report, and a peer to stand beside."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import PictureError, missing_package
from edge_runtime.pictures import PICTURE_PEAK

PACKAGE = "scikit-image"
WINDOW_SIGMA_PX = 1.5
WINDOW_PX = 11
"""Side of the Gaussian window, cut off at 3.5 standard deviations."""

PEER_PATCH_PX = 5
PEER_REACH_PX = 6
PEER_STRENGTH = 0.8
"""Filter strength by sigma; these three are scikit-image's own example's."""

WHITE_LEVEL = 0.99
"""Part of the values that automatic gain leaves below white."""


def ssim(expected: NDArray[np.uint8], actual: NDArray[np.uint8]) -> float:
    """Return the mean structural similarity of two 8-bit (Y, X, 3) pictures.

    As its paper computes it (Wang et al., 2004, "Image quality assessment"): Gaussian
    window of 1.5 pixels, 11 wide, weighted covariance without Bessel's correction;
    the mean over the three channels.

    Raises PictureError for a side below WINDOW_PX, SettingError if scikit-image is
    missing.
    """
    check_size("picture", expected)
    return float(
        _skimage().metrics.structural_similarity(
            expected,
            actual,
            channel_axis=2,
            data_range=PICTURE_PEAK,
            gaussian_weights=True,
            sigma=WINDOW_SIGMA_PX,
            use_sample_covariance=False,
        )
    )


def check_size(name: str, picture: NDArray[np.uint8]) -> None:
    """Raise PictureError if SSIM's window does not fit into a picture, (Y, X, 3)."""
    n_rows, n_columns = picture.shape[:2]
    if min(n_rows, n_columns) < WINDOW_PX:
        raise PictureError(
            f"{name}: is {n_columns}×{n_rows} pixels, SSIM needs at least"
            f" {WINDOW_PX}×{WINDOW_PX}"
        )


def non_local_means(noisy: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Return the picture, (Y, X, 3) in 0–1, filtered by non-local means.

    Its fast variant (Darbon et al., 2008), told the true `sigma` in units of 255.
    """
    level = sigma / PICTURE_PEAK
    restored = _skimage().restoration.denoise_nl_means(
        noisy,
        patch_size=PEER_PATCH_PX,
        patch_distance=PEER_REACH_PX,
        h=PEER_STRENGTH * level,
        sigma=level,
        fast_mode=True,
        channel_axis=2,
    )
    return np.asarray(restored, np.float32)


def equalized(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the picture, (Y, X, 3) in 0–1, with the histogram of its value made even.

    Of hue, saturation and value; one equalization per colour would change colours.
    """
    skimage = _skimage()
    hsv = skimage.color.rgb2hsv(picture)
    hsv[..., 2] = skimage.exposure.equalize_hist(hsv[..., 2])
    return np.asarray(skimage.color.hsv2rgb(hsv), np.float32)


def gained(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the picture, (Y, X, 3) in 0–1, with its WHITE_LEVEL quantile at 1."""
    white = float(np.quantile(picture, WHITE_LEVEL))
    stretched = _skimage().exposure.rescale_intensity(
        picture, in_range=(0.0, max(white, 1.0 / PICTURE_PEAK)), out_range=(0.0, 1.0)
    )
    return np.asarray(stretched, np.float32)


def gamma_corrected(picture: NDArray[np.float32], gamma: float) -> NDArray[np.float32]:
    """Return the picture, (Y, X, 3) in 0–1, with each value raised to `gamma`."""
    return np.asarray(_skimage().exposure.adjust_gamma(picture, gamma), np.float32)


def require() -> str:
    """Return scikit-image's version; raises SettingError if it is missing."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError as error:
        raise missing_package(PACKAGE, "evaluate") from error


def _skimage() -> Any:
    require()
    import skimage.color
    import skimage.exposure
    import skimage.metrics
    import skimage.restoration

    return skimage
