"""Photographs into files, with what the file they came from said beside the samples."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin

from edge_runtime.errors import PictureError
from edge_runtime.files import WholeFile, replacing
from edge_runtime.photo.metadata import (
    EXIF_PREFIX,
    ORIENTATION,
    UPRIGHT,
    XMP_TAG,
    Metadata,
    descriptive,
)
from edge_runtime.photo.photo import Photo
from edge_runtime.photo.png_16 import Chunk, write_png_16
from edge_runtime.photo.read import BAND_ROWS
from edge_runtime.pictures import MAX_SIDE_PX, QUALITY, encoding

FORMAT_OF_ENDING = {
    ".bmp": "BMP",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
WITHOUT_ALPHA = frozenset({"BMP", "JPEG"})
FULL_COLOUR = 0
"""Pillow's number of 4:4:4, a colour for every pixel."""
WEBP_EFFORT = 2
"""Of 6; from 3 on, the encoder needs 140 MB more for 12 megapixels."""
APP13 = b"\xff\xed"
METRES_PER_INCH = 0.0254
MOST_DPI = {"BMP": 54_000_000, "JPEG": 65_535}
"""By format; BMP has 31 bits for the pixels of a metre."""
MOST_JPEG_BYTES = 65_533
"""Of Exif or XMP, with what stands before it: one segment of a JPEG file."""
XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"
OPAQUE_8, OPAQUE_16 = 255, 65535


def write_photo(path: Path, photo: Photo, quality: int = QUALITY) -> None:
    """Write a photograph in the format that the file's ending names, one known.

    `quality`, 1 to 100, is for JPEG and WebP. Raises PictureError where that format
    has no room for the photograph; nothing is written then.
    """
    name = FORMAT_OF_ENDING[path.suffix.lower()]
    _check(path, photo, name)
    with replacing(path) as temporary, WholeFile(temporary) as file:
        if photo.n_bits == 16 and name == "PNG":
            _write_16_bits(file, photo)
            return
        image = _to_image(photo, name)
        with encoding(path):
            image.save(file, name, **_said(photo, name, quality))


def _check(path: Path, photo: Photo, name: str) -> None:
    most_px = MAX_SIDE_PX.get(path.suffix.lower())
    if most_px is not None and max(photo.n_rows, photo.n_columns) > most_px:
        raise PictureError(
            f"{path}: cannot be written: {photo.n_columns}×{photo.n_rows}, expected at"
            f" most {most_px} pixels a side; name a .png"
        )
    if name in WITHOUT_ALPHA and not _is_opaque(photo):
        raise PictureError(
            f"{path}: cannot be written: {name} has no transparency, as this picture"
            " has; name a .png"
        )
    if name == "JPEG":
        _check_segments(path, photo)
    if photo.n_bits == 16 and name == "TIFF":
        raise PictureError(
            f"{path}: cannot be written: 16-bit samples go into PNG files alone; name"
            " a .png"
        )


def _check_segments(path: Path, photo: Photo) -> None:
    for name, prefix, held in (
        ("Exif", EXIF_PREFIX, photo.metadata.exif),
        ("XMP", XMP_PREFIX, photo.metadata.xmp),
    ):
        room = MOST_JPEG_BYTES - len(prefix)
        if held is not None and len(held) > room:
            raise PictureError(
                f"{path}: cannot be written: JPEG has room for {room} bytes of {name},"
                f" this picture has {len(held)}; name a .png"
            )


def _is_opaque(photo: Photo) -> bool:
    if photo.alpha is None:
        return True
    return int(photo.alpha.min()) == (OPAQUE_16 if photo.n_bits == 16 else OPAQUE_8)


def _to_image(photo: Photo, name: str) -> Image.Image:
    """Return Pillow's picture of the photograph, 8 bits a sample."""
    alpha = None if name in WITHOUT_ALPHA else photo.alpha
    mode = ("L" if photo.is_gray else "RGB") + ("" if alpha is None else "A")
    image = Image.new(mode, (photo.n_columns, photo.n_rows))
    for top in range(0, photo.n_rows, BAND_ROWS):
        band = photo.samples[top : top + BAND_ROWS]
        if alpha is not None:
            band = np.dstack([band, alpha[top : top + BAND_ROWS]])
        if photo.n_bits == 16:
            band = np.rint(band / (OPAQUE_16 / OPAQUE_8)).astype(np.uint8)
        flat = band[:, :, 0] if band.shape[2] == 1 else band
        image.paste(Image.fromarray(np.ascontiguousarray(flat)), (0, top))
    return image


def _said(photo: Photo, name: str, quality: int) -> dict[str, Any]:
    """Return what Pillow is to write beside the samples."""
    metadata = photo.metadata
    said: dict[str, Any] = {"dpi": metadata.dpi, "icc_profile": metadata.icc_profile}
    exif = EXIF_PREFIX + photo.exif if photo.exif else None
    if metadata.dpi and max(metadata.dpi) > MOST_DPI.get(name, float("inf")):
        said["dpi"] = None
    match name:
        case "JPEG":
            said |= _said_by_jpeg(metadata, quality) | {"exif": exif}
        case "WEBP":
            # Also where nothing is seen of them, the samples stay those.
            said |= {"quality": quality, "method": WEBP_EFFORT, "exact": True}
            said |= {"exif": exif, "xmp": metadata.xmp}
        case "PNG":
            said |= {"exif": exif, "pnginfo": _png_chunks(metadata)}
        case "TIFF":
            said |= {"exif": _tiff_tags(photo), "compression": "raw"}
    return {key: value for key, value in said.items() if value is not None}


def _said_by_jpeg(metadata: Metadata, quality: int) -> dict[str, Any]:
    coarse = metadata.subsampling
    said = {
        "quality": quality,
        "subsampling": FULL_COLOUR if coarse is None else coarse,
        "xmp": metadata.xmp,
        "comment": metadata.comment,
    }
    if metadata.iptc is not None:
        length = struct.pack(">H", len(metadata.iptc) + 2)
        said["extra"] = APP13 + length + metadata.iptc
    return said


def _png_chunks(metadata: Metadata) -> PngImagePlugin.PngInfo:
    chunks = PngImagePlugin.PngInfo()
    for name, content in metadata.png_chunks:
        chunks.add(name, content)
    if metadata.xmp and not metadata.png_chunks:
        chunks.add_itxt("XML:com.adobe.xmp", metadata.xmp.decode("utf-8", "replace"))
    return chunks


def _tiff_tags(photo: Photo) -> Image.Exif:
    found = Image.Exif()
    if photo.exif:
        found.load(EXIF_PREFIX + photo.exif)
    kept = descriptive(found)
    if ORIENTATION in found:
        kept[ORIENTATION] = UPRIGHT
    tags = Image.Exif()
    if len(kept):
        tags.load(kept.tobytes())  # Pillow's TIFF knows folders of those alone
    if photo.metadata.xmp:
        tags[XMP_TAG] = photo.metadata.xmp
    return tags


def _write_16_bits(file: BinaryIO, photo: Photo) -> None:
    samples = photo.samples
    if photo.alpha is not None:
        samples = np.dstack([samples, photo.alpha])
    write_png_16(file, samples, _chunks_of_16_bits(photo))


def _chunks_of_16_bits(photo: Photo) -> list[Chunk]:
    metadata = photo.metadata
    chunks = list(metadata.png_chunks)
    if metadata.icc_profile:
        packed = b"ICC Profile\0\0" + zlib.compress(metadata.icc_profile)
        chunks = [chunk for chunk in chunks if chunk[0] != b"sRGB"]
        chunks.append((b"iCCP", packed))
    if metadata.dpi:
        columns, rows = (round(value / METRES_PER_INCH) for value in metadata.dpi)
        chunks.append((b"pHYs", struct.pack(">IIB", columns, rows, 1)))
    if photo.exif:
        chunks.append((b"eXIf", photo.exif))
    return chunks
