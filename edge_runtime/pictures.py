"""Pictures in and out: decoding, listing, noise, and the measure of their quality."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from edge_runtime.errors import DataError, PictureError, TiedgeError
from edge_runtime.files import WholeFile, check_regular, replacing
from edge_runtime.native_log import LIBTIFF_LINE, silenced

PICTURE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
"""Read and written, by Pillow's names."""
SIGNATURE_BYTES = 16
"""Of a file, by which Pillow knows its format."""
PICTURE_PEAK = 255
"""Largest value of an 8-bit sample."""

QUALITY = 95
"""Of JPEG and WebP files, 1 to 100."""

MAX_SIDE_PX = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}
"""Most rows and columns that a format writes, by ending; the others take any."""

MAX_PICTURE_PX = 80_000_000
"""Pixels; larger pictures are refused before they are decoded."""


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Return the picture as (Y, X, 3) 8-bit RGB, turned as its EXIF says.

    Raises PictureError if the file is missing, is no picture, is cut short or has
    more than MAX_PICTURE_PX pixels.
    """
    check_regular(path, "a picture", PictureError)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise PictureError(f"{path}: no such file") from error
    except OSError as error:
        raise PictureError(f"{path}: cannot be read: {error.strerror}") from error
    return decode_picture(data, str(path))


def decode_picture(
    data: bytes, where: str, max_px: int = MAX_PICTURE_PX
) -> NDArray[np.uint8]:
    """Return an encoded picture as `read_picture` does; `where` begins its errors.

    Raises PictureError too if the header names more than `max_px` pixels; nothing is
    decoded then.
    """
    with opened_picture(io.BytesIO(data), where, max_px) as image:
        _check_samples(image, where)
        return _to_rgb(image)


@contextmanager
def opened_picture(
    file: BinaryIO, where: str, max_px: int = MAX_PICTURE_PX
) -> Iterator[ImageFile.ImageFile]:
    """Yield the picture with nothing but its header read, for the block to decode.

    Errors are those of `decode_picture`, but for samples of more than 8 bits.
    """
    try:
        # Inside `silenced` one thread at a time may set what Pillow's warnings do.
        with silenced(LIBTIFF_LINE), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _open(file, where) as image:
                _check_size(image, where, max_px)
                yield image
    except (TiedgeError, MemoryError):
        raise
    except Image.DecompressionBombError as error:  # of WebP, before there is a header
        raise PictureError(
            f"{where}: too many pixels, expected at most {max_px}; make it smaller"
            " first"
        ) from error
    except Exception as error:
        # Pillow's readers of metadata raise whatever their code meets in damaged
        # bytes: struct.error, TypeError, AttributeError among 20,000 altered files.
        raise PictureError(f"{where}: damaged picture: {_reason(error)}") from error


def _open(file: BinaryIO, where: str) -> ImageFile.ImageFile:
    """Return the picture with nothing but its header read.

    Does what Image.open does, for our formats alone, and leaves the judgement of the
    size to us: Pillow's own is a warning, or an error that names neither side.
    """
    Image.init()
    signature = file.read(SIGNATURE_BYTES)
    file.seek(0)
    for name in FORMATS:
        make, accepts = Image.OPEN[name]
        if accepts is not None and accepts(signature) is True:
            return make(file, "")
    raise PictureError(
        f"{where}: not a picture that can be read; expected JPEG, PNG, BMP, TIFF or"
        " WebP"
    )


def _check_size(image: ImageFile.ImageFile, where: str, max_px: int) -> None:
    n_px = image.width * image.height
    if n_px > max_px:
        raise PictureError(
            f"{where}: {image.width}×{image.height} is {n_px} pixels, expected at most"
            f" {max_px}; make it smaller first"
        )


def _check_samples(image: ImageFile.ImageFile, where: str) -> None:
    if image.mode.startswith(("I", "F")) or has_16_bits(image):
        raise PictureError(
            f"{where}: {image.mode} picture with more than 8 bits per sample,"
            " expected 8; convert it to 8 bits first"
        )


def has_16_bits(image: ImageFile.ImageFile) -> bool:
    """Return whether a file's samples have 16 bits, of which Pillow would keep 8."""
    in_file = [str(tile.args) for tile in image.tile]
    return image.format in {"PNG", "TIFF"} and any(";16" in mode for mode in in_file)


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    upright = ImageOps.exif_transpose(image)
    return np.asarray(upright.convert("RGB"), dtype=np.uint8)  # (Y, X, 3)


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write (Y, X, 3) 8-bit RGB in the format that the file's ending names.

    Raises PictureError for an ending that is no picture format, or one whose format
    has no pictures as wide or high.
    """
    if path.suffix.lower() not in PICTURE_ENDINGS:
        raise PictureError(
            f"{path}: unknown ending {path.suffix!r}, expected one of"
            f" {' '.join(sorted(PICTURE_ENDINGS))}"
        )
    n_rows, n_columns, _ = picture.shape
    most_px = MAX_SIDE_PX.get(path.suffix.lower())
    if most_px is not None and max(n_rows, n_columns) > most_px:
        raise PictureError(
            f"{path}: cannot be written: {n_columns}×{n_rows}, expected at most"
            f" {most_px} pixels a side; name a .png"
        )
    image = Image.fromarray(picture)
    name = Image.registered_extensions()[path.suffix.lower()]
    with replacing(path) as temporary, WholeFile(temporary) as file, encoding(path):
        # The quality is for JPEG and WebP; other formats pass over it.
        image.save(file, name, quality=QUALITY)


@contextmanager
def encoding(path: Path) -> Iterator[None]:
    """Turn what Pillow raises for what it cannot encode into PictureError."""
    try:
        yield
    except (OSError, MemoryError):  # of the disk, mostly: `replacing` tells it
        raise
    except Exception as error:  # as in `opened_picture`
        raise PictureError(f"{path}: cannot be written: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def list_pictures(source: Path) -> list[Path]:
    """Return the pictures of a folder (sorted, with sub-folders), a list file or one.

    Links to folders are followed, but not back into themselves. A list file is text
    with one path per line, relative to the list's own folder. Raises DataError if
    nothing is there, a folder cannot be read or a listed file is missing.
    """
    try:
        return _list_pictures(source)
    except OSError as error:  # a name too long to be one, a folder that is closed
        raise DataError(
            f"{error.filename or source}: cannot be read: {error.strerror}"
        ) from error


def _list_pictures(source: Path) -> list[Path]:
    if source.is_dir():
        found = sorted(_pictures_below(source, ()))
    elif source.suffix.lower() in PICTURE_ENDINGS and source.is_file():
        found = [source]
    elif source.is_file():
        found = _read_list(source)
    else:
        raise DataError(
            f"{source}: no such folder, list or picture; name one with --data"
        )
    if not found:
        raise DataError(
            f"{source}: holds no picture, expected files ending in"
            f" {' '.join(sorted(PICTURE_ENDINGS))}"
        )
    return found


def _pictures_below(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    """Yield what ends as a picture does, a link that leads nowhere among it.

    `above` has the identities of the folders that this one lies in.
    """
    own = folder.stat()
    identity = own.st_dev, own.st_ino
    if identity in above:
        return
    for path in folder.iterdir():
        if path.is_dir():
            yield from _pictures_below(path, (*above, identity))
        elif path.suffix.lower() in PICTURE_ENDINGS:
            yield path


def _read_list(source: Path) -> list[Path]:
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{source}: neither a picture nor a text list of pictures"
        ) from error
    paths = [source.parent / line.strip() for line in lines if line.strip()]
    for number, path in enumerate(paths, start=1):
        if not path.is_file():
            raise DataError(f"{source}:{number}: no such picture: {path}")
    return paths


def to_float(picture: NDArray[Any]) -> NDArray[np.float32]:
    """Return the picture in 0–1: of uint8 or uint16 samples, or of those it is."""
    if picture.dtype == np.float32:
        return picture
    return picture.astype(np.float32) / np.float32(np.iinfo(picture.dtype).max)


def to_8_bits(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a 0–1 picture rounded to 8 bits; values outside are clipped."""
    scaled = np.rint(np.clip(picture, 0.0, 1.0) * PICTURE_PEAK)
    return scaled.astype(np.uint8)


def add_noise(
    picture: NDArray[np.uint8], sigma: float, seed: int | tuple[int, ...], *, clip: bool
) -> NDArray[np.float32]:
    """Return the picture in 0–1 plus Gaussian noise of `sigma` (in units of 255).

    Unclipped float is the published protocol; `clip` rounds to 8 bits like a camera.
    """
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    noisy = to_float(picture) + noise * np.float32(sigma / PICTURE_PEAK)
    return to_float(to_8_bits(noisy)) if clip else noisy


def psnr_db(expected: NDArray[np.uint8], actual: NDArray[np.uint8]) -> float:
    """Return the peak signal-to-noise ratio of two 8-bit pictures; inf if equal."""
    rows = zip(expected.astype(np.int16), actual, strict=True)
    total = sum(int(np.square(e - a, dtype=np.int64).sum()) for e, a in rows)
    mean_square = total / expected.size
    if mean_square == 0.0:
        return float("inf")
    return float(10.0 * np.log10(PICTURE_PEAK**2 / mean_square))
