"""What a photograph's file says beside its samples, and how it is said upright."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, ImageFile, JpegImagePlugin

EXIF_PREFIX = b"Exif\0\0"
ORIENTATION = 0x0112
"""EXIF tag: which way up the stored rows are to be shown."""
UPRIGHT = 1
EXIF_FOLDER, GPS_FOLDER, XMP_TAG = 0x8769, 0x8825, 700
WIDTH, HEIGHT = 0xA002, 0xA003
"""Tags of its Exif folder that repeat the picture's size."""
SIDEWAYS = frozenset({5, 6, 7, 8})
"""Orientations that exchange rows and columns."""
ENTRY_BYTES = 12
TYPE_SHORT, TYPE_LONG = 3, 4
TIFF_VERSION = 42

DESCRIPTIVE_TAGS = (270, 271, 272, 305, 306, 315, 316, 33432)
"""Tags of a TIFF file that tell of the photograph, not of how its file is laid out."""
PNG_CHUNKS = frozenset({b"cHRM", b"cICP", b"gAMA", b"sRGB", b"iTXt", b"tEXt", b"zTXt"})
"""Chunks of a PNG file that mean the same beside other samples."""
PNG_SIGNATURE_BYTES = 8
XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>\s*))\d")


@dataclass(frozen=True)
class Metadata:
    """What goes with the samples into another file, as far as its format has room."""

    exif: bytes | None = None
    """A TIFF structure without prefix; its orientation is upright."""
    icc_profile: bytes | None = None
    """What the samples mean as colours; None is sRGB."""
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    """Columns and rows an inch."""
    comment: bytes | None = None
    iptc: bytes | None = None
    """The payload of a JPEG file's APP13 segments."""
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    """Names and contents of PNG_CHUNKS."""
    subsampling: int | None = None
    """How coarse a JPEG file's colours are, by Pillow's numbers."""


def read_metadata(image: ImageFile.ImageFile) -> tuple[Metadata, int]:
    """Return what a decoded picture's file says, and its orientation, 1 to 8.

    Exif, XMP and the resolution are those of the picture once it is turned upright.
    """
    orientation = _orientation(image)
    info = image.info
    metadata = Metadata(
        exif=_exif(image),
        icc_profile=info.get("icc_profile") or None,
        xmp=_xmp(info.get("xmp")),
        dpi=_dpi(info.get("dpi")),
    )
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        sampling = JpegImagePlugin.get_sampling(image)
        segments = [data for name, data in image.applist if name == "APP13"]
        metadata = replace(
            metadata,
            comment=info.get("comment"),
            iptc=segments[0] if len(segments) == 1 else None,
            subsampling=sampling if sampling >= 0 else None,
        )
    if orientation in SIDEWAYS and metadata.dpi is not None:
        metadata = replace(metadata, dpi=metadata.dpi[::-1])
    return metadata, orientation


def read_png_chunks(file: Any) -> tuple[tuple[bytes, bytes], ...]:
    """Return the names and contents of a PNG file's PNG_CHUNKS, orientation upright."""
    file.seek(PNG_SIGNATURE_BYTES)
    found = [(n, XMP_ORIENTATION.sub(rb"\g<1>1", data)) for n, data in _chunks(file)]
    file.seek(0)
    # Exif as some programs write it; it is read as Exif, and goes on as such.
    return tuple(c for c in found if not c[1].startswith(b"Raw profile type "))


def _chunks(file: Any) -> Iterator[tuple[bytes, bytes]]:
    """Yield those up to the picture's end; anything may follow that."""
    left = os.fstat(file.fileno()).st_size - file.tell()
    while len(header := file.read(8)) == len(b"sizename"):
        n_bytes, name = struct.unpack(">I4s", header)
        left -= len(header) + n_bytes + len(b"crc ")
        if name == b"IEND" or left < 0:
            return
        if name in PNG_CHUNKS:
            yield name, file.read(n_bytes)
            n_bytes = 0
        file.seek(n_bytes + len(b"crc "), 1)


def upright(exif: bytes) -> bytes | None:
    """Return an Exif structure that says upright, without its thumbnail.

    All else stays where it is, as makers' notes hold offsets of their own. None if it
    is damaged.
    """
    made = bytearray(exif)
    try:
        order, entries, after = _first_folder(made)
        if ORIENTATION in entries:
            at = entries[ORIENTATION]
            struct.pack_into(order + "HIHH", made, at + 2, TYPE_SHORT, 1, UPRIGHT, 0)
        # The thumbnail, of the picture as it was, hangs on the first folder's end.
        struct.pack_into(order + "I", made, after, 0)
    except struct.error:
        return None
    return bytes(made)


def sized(exif: bytes, n_columns: int, n_rows: int) -> bytes:
    """Return an Exif structure that repeats this size, if it repeats any."""
    made = bytearray(exif)
    with suppress(struct.error):  # that folder is damaged, and stays what it is
        order, entries, _ = _first_folder(made)
        if EXIF_FOLDER in entries:
            (second,) = struct.unpack_from(order + "I", made, entries[EXIF_FOLDER] + 8)
            inner, _ = _entries(made, order, second)
            for tag, n_px in ((WIDTH, n_columns), (HEIGHT, n_rows)):
                if tag in inner:
                    place = inner[tag] + 2
                    struct.pack_into(order + "HII", made, place, TYPE_LONG, 1, n_px)
    return bytes(made)


def _first_folder(exif: bytearray) -> tuple[str, dict[int, int], int]:
    """Return the order of bytes, and what `_entries` does of the first folder."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(exif[:2]), "")
    version, first = struct.unpack_from((order or "<") + "HI", exif, 2)
    if not order or version != TIFF_VERSION:
        raise struct.error("no Exif structure")
    return order, *_entries(exif, order, first)


def _entries(exif: bytearray, order: str, at: int) -> tuple[dict[int, int], int]:
    """Return the places of a folder's entries by tag, and that of what follows it."""
    (n_entries,) = struct.unpack_from(order + "H", exif, at)
    places = [at + 2 + ENTRY_BYTES * n for n in range(n_entries)]
    tags = [struct.unpack_from(order + "H", exif, place)[0] for place in places]
    return dict(zip(tags, places, strict=True)), at + 2 + ENTRY_BYTES * n_entries


def _orientation(image: ImageFile.ImageFile) -> int:
    try:
        found: Any = image.getexif().get(ORIENTATION, UPRIGHT)
    except SyntaxError:  # no Exif structure at all; Pillow raises once
        return UPRIGHT
    return found if found in range(1, 9) else UPRIGHT


def _exif(image: ImageFile.ImageFile) -> bytes | None:
    """Return the picture's Exif structure, upright; None if it has none."""
    if image.format == "TIFF":
        return _exif_of_tiff(image)
    found = image.info.get("exif") or image.getexif().tobytes()
    return upright(found.removeprefix(EXIF_PREFIX))


def _exif_of_tiff(image: ImageFile.ImageFile) -> bytes | None:
    """Return what a TIFF file's own tags say; Pillow has turned it upright already."""
    kept = descriptive(image.getexif())
    return kept.tobytes().removeprefix(EXIF_PREFIX) if len(kept) else None


def descriptive(found: Image.Exif) -> Image.Exif:
    """Return the tags that tell of the photograph, and none of a file's layout."""
    kept = Image.Exif()
    for tag in DESCRIPTIVE_TAGS:
        if tag in found:
            kept[tag] = found[tag]
    for folder in (EXIF_FOLDER, GPS_FOLDER):
        if inner := found.get_ifd(folder):
            kept[folder] = dict(inner)
    return kept


def _xmp(found: bytes | str | None) -> bytes | None:
    if not found:
        return None
    packet = found.encode() if isinstance(found, str) else found
    return XMP_ORIENTATION.sub(rb"\g<1>1", packet)


def _dpi(found: tuple[Any, Any] | None) -> tuple[float, float] | None:
    if found is None:
        return None
    columns, rows = (float(value) for value in found)
    return (columns, rows) if 0 < min(columns, rows) < float("inf") else None
