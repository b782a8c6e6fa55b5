"""Photographs from files: JPEG, PNG, BMP, TIFF and WebP."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, PngImagePlugin

from edge_runtime.errors import PictureError
from edge_runtime.files import check_regular
from edge_runtime.photo.metadata import Metadata, read_metadata, read_png_chunks
from edge_runtime.photo.photo import Photo
from edge_runtime.pictures import has_16_bits, opened_picture

BAND_ROWS = 256
"""Rows at a time between Pillow's memory and ours."""

PLAIN = {"1": "L", "L": "L", "LA": "LA", "La": "LA", "RGBA": "RGBA", "RGBa": "RGBA"}
"""Pillow's name of samples to what they are made; others are made RGB."""
WITH_ALPHA = {"L": "LA", "RGB": "RGBA"}
NO_LIGHT = ("I", "F", "LAB", "HSV")
"""Beginnings of Pillow's names of samples that are no 8-bit light."""
LOW_BYTES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
"""How Pillow is told to take a 16-bit sample's first byte, to how its second."""
GRAY_16 = "I;16B"
MOST_ROW_BITS = 2**31 - 1
"""Of a row of samples: what Pillow's decoders count to."""
MOST_TEXT_BYTES = 1 << 24
"""Of a text, XMP or a colour profile that a PNG file holds compressed."""
TEXT_LIMITS = ("MAX_TEXT_CHUNK", "MAX_TEXT_MEMORY")
"""By whose names Pillow tells of more, and of more in all."""

# One of them can be longer than Pillow's own 1 MB; all together are bounded, too.
PngImagePlugin.MAX_TEXT_CHUNK = MOST_TEXT_BYTES


def read_photo(path: Path) -> Photo:
    """Return the photograph in a file, turned upright.

    Print colours (CMYK) become sRGB, by the file's own profile if it has one. Raises
    PictureError if the file is missing, is no picture, is damaged, holds several
    pictures, or has samples that would be cut.
    """
    check_regular(path, "a picture", PictureError)
    try:
        with path.open("rb") as file, opened_picture(file, str(path)) as image:
            return _read(file, image, str(path))
    except FileNotFoundError as error:
        raise PictureError(f"{path}: no such file") from error
    except OSError as error:
        raise PictureError(f"{path}: cannot be read: {error.strerror}") from error
    except PictureError as error:
        if any(limit in str(error) for limit in TEXT_LIMITS):
            raise PictureError(
                f"{path}: holds a text, XMP or a colour profile of more than"
                f" {MOST_TEXT_BYTES >> 20} MB, or"
                f" {PngImagePlugin.MAX_TEXT_MEMORY >> 20} MB in all; take them out"
                " first"
            ) from error
        raise


def _read(file: BinaryIO, image: ImageFile.ImageFile, where: str) -> Photo:
    _check_number(image, where)
    _check_row(image, where)
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    if image.format == "PNG":
        at = file.tell()
        chunks = read_png_chunks(file)
        file.seek(at)
    samples: NDArray[Any]
    if has_16_bits(image):
        samples = _samples_of_16_bits(file, image, where)
        metadata, orientation = read_metadata(image)
        note = None
    else:
        _check_samples(image, where)
        image.load()
        metadata, orientation = read_metadata(image)
        plain, note = _plain(image, metadata, where)
        if note:
            metadata = replace(metadata, icc_profile=None)
        samples = _to_array(plain)
    samples = turned(samples, orientation)
    n_channels = samples.shape[2]
    colours = n_channels - (n_channels in {2, 4})  # (Y, X, C) without alpha
    return Photo(
        samples=samples[:, :, :colours],
        alpha=samples[:, :, colours] if colours < n_channels else None,
        metadata=replace(metadata, png_chunks=chunks),
        note=note,
    )


def turned(samples: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return (Y, X, C) as they are to be shown, by Exif's orientation; a view."""
    if orientation > 4:
        samples = samples.swapaxes(0, 1)  # (X, Y, C)
    if orientation in {2, 3, 6, 7}:
        samples = samples[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        samples = samples[::-1]
    return samples


def _check_number(image: ImageFile.ImageFile, where: str) -> None:
    """Refuse animations and pages; further pictures of an MPO are previews."""
    # Not how many: the pages of a TIFF file can only be counted in long. Only some of
    # Pillow's formats tell.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise PictureError(
            f"{where}: holds several pictures, expected one; split it into files first"
        )


def _check_row(image: ImageFile.ImageFile, where: str) -> None:
    n_bits = len(image.getbands()) * (16 if has_16_bits(image) else 8)
    most_px = MOST_ROW_BITS // n_bits - 7
    if image.width > most_px:
        raise PictureError(
            f"{where}: rows of {image.width} pixels, expected at most {most_px} of"
            f" {n_bits} bits each; turn it or make it smaller first"
        )


def _check_samples(image: ImageFile.ImageFile, where: str) -> None:
    if image.mode.startswith(NO_LIGHT):
        raise PictureError(
            f"{where}: samples are {image.mode}, expected gray, RGB, a palette or"
            " CMYK; convert it first"
        )


def _plain(
    image: Image.Image, metadata: Metadata, where: str
) -> tuple[Image.Image, str | None]:
    """Return the picture as L, LA, RGB or RGBA, and what had to change for that."""
    if image.mode == "CMYK":
        return _to_srgb(image, metadata.icc_profile, where), "CMYK made sRGB"
    mode = PLAIN.get(image.mode, "RGB")
    if "transparency" in image.info or image.mode == "PA":
        mode = WITH_ALPHA.get(mode, mode)
    return (image if image.mode == mode else image.convert(mode)), None


def _to_srgb(image: Image.Image, profile: bytes | None, where: str) -> Image.Image:
    if profile is None:
        return image.convert("RGB")
    try:
        made = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (OSError, ImageCms.PyCMSError) as error:
        raise PictureError(f"{where}: damaged colour profile: {error}") from error
    assert made is not None  # as it is when not in place
    return made


def _to_array(image: Image.Image) -> NDArray[np.uint8]:
    """Return (Y, X, C); Pillow's own way needs the picture's size twice more."""
    n_channels = len(image.getbands())
    samples = np.empty((image.height, image.width, n_channels), np.uint8)
    for top in range(0, image.height, BAND_ROWS):
        stop = min(top + BAND_ROWS, image.height)
        band = np.asarray(image.crop((0, top, image.width, stop)))
        samples[top:stop] = band.reshape(stop - top, image.width, n_channels)
    return samples


def _samples_of_16_bits(
    file: BinaryIO, image: ImageFile.ImageFile, where: str
) -> NDArray[np.uint16]:
    """Return (Y, X, C) of a 16-bit PNG, of which Pillow gives a byte at a time."""
    (tile,) = image.tile
    known = image.format == "PNG" and "transparency" not in image.info
    if not known or tile.args not in {GRAY_16, *LOW_BYTES}:
        raise PictureError(
            f"{where}: {image.format} picture of 16-bit samples, expected 8"
            " bits, or a PNG of 16-bit gray, RGB or RGBA; convert it first"
        )
    if tile.args == GRAY_16:
        return np.asarray(image).astype(np.uint16)[:, :, np.newaxis]
    samples = _to_array(image).astype(np.uint16)
    samples <<= 8
    file.seek(0)
    with PngImagePlugin.PngImageFile(file) as again:
        again.tile = [tile._replace(args=LOW_BYTES[str(tile.args)])]
        samples |= _to_array(again)
    return samples
