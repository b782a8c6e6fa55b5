import errno
import io
import math
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edge_runtime.errors import DataError, PictureError
from edge_runtime.pictures import (
    add_noise,
    decode_picture,
    list_pictures,
    psnr_db,
    read_picture,
    to_8_bits,
    to_float,
    write_picture,
)

ENDINGS = ".bmp .jpeg .jpg .png .tif .tiff .webp"
ORIENTATION_TAG = 0x0112
TURN_RIGHT = 6
"""EXIF: the first row is the right side, so a viewer turns by 90° to the right."""


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (12, 20, 3), np.uint8)


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".tiff", ".PNG"])
def test_a_lossless_format_gives_back_every_sample(
    tmp_path: Path, picture: NDArray[np.uint8], ending: str
) -> None:
    """What is written is what is read."""
    file = tmp_path / f"picture{ending}"

    write_picture(file, picture)

    np.testing.assert_array_equal(picture, read_picture(file))


@pytest.mark.parametrize("ending", [".jpg", ".jpeg", ".webp"])
def test_a_lossy_format_keeps_size_and_colour(tmp_path: Path, ending: str) -> None:
    """A flat colour survives compression to within a few levels."""
    flat = np.full((16, 24, 3), (200, 100, 50), np.uint8)
    file = tmp_path / f"picture{ending}"

    write_picture(file, flat)

    np.testing.assert_allclose(flat, read_picture(file), atol=4)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA"])
def test_every_8_bit_kind_becomes_rgb(tmp_path: Path, mode: str) -> None:
    """Grey, palette, transparent and print pictures all come as (Y, X, 3)."""
    file = tmp_path / "picture.tif"
    Image.new("RGB", (5, 4), "white").convert(mode).save(file)

    np.testing.assert_array_equal(np.full((4, 5, 3), 255, np.uint8), read_picture(file))


def test_a_picture_is_turned_as_its_exif_says(
    tmp_path: Path, picture: NDArray[np.uint8]
) -> None:
    """A phone's upright photo does not come out lying."""
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = TURN_RIGHT
    Image.fromarray(picture).save(tmp_path / "turned.png", exif=exif)

    np.testing.assert_array_equal(
        np.rot90(picture, k=-1), read_picture(tmp_path / "turned.png")
    )


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".bmp"])
def test_a_truncated_picture_is_refused(
    tmp_path: Path, picture: NDArray[np.uint8], ending: str
) -> None:
    """A picture cut short is damaged, never filled up with grey."""
    file = tmp_path / f"picture{ending}"
    write_picture(file, np.tile(picture, (8, 8, 1)))
    data = file.read_bytes()
    file.write_bytes(data[: len(data) * 2 // 3])

    with pytest.raises(PictureError) as caught:
        read_picture(file)

    assert str(caught.value).startswith(f"{file}: damaged picture: ")


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n", bytes(1000)])
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    """A file of another kind is named, with the formats that would do."""
    file = tmp_path / "picture.png"
    file.write_bytes(data)

    with pytest.raises(PictureError) as caught:
        read_picture(file)

    assert (
        f"{file}: not a picture that can be read; expected JPEG, PNG, BMP, TIFF or WebP"
        == str(caught.value)
    )


def test_a_missing_picture_is_refused(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(PictureError) as caught:
        read_picture(tmp_path / "none.png")

    assert f"{tmp_path}/none.png: no such file" == str(caught.value)


def test_16_bits_are_refused(tmp_path: Path) -> None:
    """More than 8 bits per sample would be cut without a word."""
    file = tmp_path / "deep.png"
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(file)

    with pytest.raises(PictureError) as caught:
        read_picture(file)

    assert (
        f"{file}: I;16 picture with more than 8 bits per sample, expected 8;"
        " convert it to 8 bits first" == str(caught.value)
    )


def test_a_huge_picture_is_refused_before_it_is_decoded(
    tmp_path: Path, picture: NDArray[np.uint8]
) -> None:
    """A small file cannot fill the memory; a caller may set the limit lower."""
    file = tmp_path / "picture.png"
    write_picture(file, picture)

    with pytest.raises(PictureError) as caught:
        decode_picture(file.read_bytes(), "a.png", max_px=239)

    assert (
        "a.png: 20×12 is 240 pixels, expected at most 239; make it smaller first"
        == str(caught.value)
    )


def header_of(n_columns: int, n_rows: int) -> bytes:
    """Return the beginning of a PNG that says it has so many pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", n_columns, n_rows, 8, 2, 0, 0, 0)
    end = struct.pack(">I", zlib.crc32(header)) + bytes(4) + b"IDAT" + bytes(4)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + end


@pytest.mark.parametrize("n_columns", [8_100, 9_500, 40_000])
def test_pillows_own_limits_do_not_show(n_columns: int) -> None:
    """Pillow warns of 90 megapixels and refuses 180; ours is the one line for all."""
    with pytest.raises(PictureError) as caught:
        decode_picture(header_of(n_columns, 10_000), "a.png")

    assert (
        f"a.png: {n_columns}×10000 is {n_columns}0000 pixels, expected at most"
        " 80000000; make it smaller first" == str(caught.value)
    )


def test_a_webp_that_claims_too_many_pixels_is_refused() -> None:
    """Pillow raises its own error before there is a header to look at."""
    size = struct.pack("<I", 40_000 - 1)[:3]
    data = b"RIFF" + bytes(4) + b"WEBPVP8X" + bytes(8) + size + size

    with pytest.raises(PictureError) as caught:
        decode_picture(data, "a.webp")

    assert (
        "a.webp: too many pixels, expected at most 80000000; make it smaller first"
        == str(caught.value)
    )


def test_16_bits_of_colour_are_refused() -> None:
    """Pillow would cut them to 8 and say that there were no more."""
    samples = b"\0" + bytes(6 * 4)  # one row of four pixels
    header = struct.pack(">IIBBBBB", 4, 1, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(samples))):
        check = zlib.crc32(kind + content)
        data += struct.pack(">I", len(content)) + kind + content
        data += struct.pack(">I", check)

    with pytest.raises(PictureError) as caught:
        decode_picture(data, "a.png")

    assert (
        "a.png: RGB picture with more than 8 bits per sample, expected 8; convert it"
        " to 8 bits first" == str(caught.value)
    )


@pytest.mark.parametrize("way", ["pipe", "device", "folder"])
def test_what_never_ends_is_not_read(tmp_path: Path, way: str) -> None:
    """A pipe would wait for its writer, and a device fill the memory."""
    path = tmp_path / "a.png"
    if way == "pipe":
        os.mkfifo(path)
    elif way == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()

    with pytest.raises(PictureError) as caught:
        read_picture(path)

    what = "a folder" if way == "folder" else "a device or a pipe"
    assert f"{path}: is {what}, expected a picture" == str(caught.value)


def test_pillows_warnings_do_not_show() -> None:
    """A palette with transparency is read without a word of Python's."""
    image = Image.new("P", (5, 4))
    image.putpalette([255, 255, 255] * 256)
    file = io.BytesIO()
    image.save(file, "PNG", transparency=bytes(range(256)))

    decoded = decode_picture(file.getvalue(), "a.png")

    np.testing.assert_array_equal(np.full((4, 5, 3), 255, np.uint8), decoded)


def test_libtiffs_words_do_not_show(
    picture: NDArray[np.uint8], capfd: pytest.CaptureFixture[str]
) -> None:
    """A damaged TIFF is one line, and none from the decoder before it."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "TIFF", compression="tiff_adobe_deflate")
    data = bytearray(file.getvalue())
    data[20:60] = bytes(40)

    with pytest.raises(PictureError, match=r"^a\.tif: damaged picture: "):
        decode_picture(bytes(data), "a.tif")

    assert ("", "") == capfd.readouterr()


def test_other_formats_are_refused(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    """A GIF would be read to its first frame alone, and written in 256 colours."""
    file = tmp_path / "picture.gif"
    Image.fromarray(picture).save(file)

    with pytest.raises(PictureError) as caught:
        read_picture(file)

    assert (
        f"{file}: not a picture that can be read; expected JPEG, PNG, BMP, TIFF or WebP"
        == str(caught.value)
    )


def test_an_unknown_ending_is_refused(
    tmp_path: Path, picture: NDArray[np.uint8]
) -> None:
    """The ending names the format, so it must be one; nothing is written."""
    with pytest.raises(PictureError) as caught:
        write_picture(tmp_path / "picture.xyz", picture)

    assert (
        f"{tmp_path}/picture.xyz: unknown ending '.xyz', expected one of {ENDINGS}"
        == str(caught.value)
    )
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(("ending", "most_px"), [(".jpg", 65_500), (".webp", 16_383)])
def test_a_picture_too_wide_for_its_format_is_refused(
    tmp_path: Path, ending: str, most_px: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """The limit is named with the way out, and the encoder says nothing beside it."""
    with pytest.raises(PictureError) as caught:
        write_picture(tmp_path / f"a{ending}", np.zeros((1, most_px + 1, 3), np.uint8))

    assert (
        f"{tmp_path}/a{ending}: cannot be written: {most_px + 1}×1, expected at most"
        f" {most_px} pixels a side; name a .png" == str(caught.value)
    )
    assert [] == list(tmp_path.iterdir())
    assert ("", "") == capfd.readouterr()


def test_a_folder_is_listed_in_order_with_folders_inside(
    tmp_path: Path, picture: NDArray[np.uint8]
) -> None:
    """Pictures come sorted; other files are passed over."""
    (tmp_path / "b").mkdir()
    for name in ("c.JPG", "b/x.png", "a.png"):
        write_picture(tmp_path / name, picture)
    (tmp_path / "notes.txt").write_text("no picture")

    assert [tmp_path / name for name in ("a.png", "b/x.png", "c.JPG")] == list_pictures(
        tmp_path
    )


def test_a_linked_folder_is_listed(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    """Data may live elsewhere."""
    write_picture(tmp_path / "real" / "a.png", picture)
    (tmp_path / "link").symlink_to(tmp_path / "real")

    assert [tmp_path / "link" / "a.png"] == list_pictures(tmp_path / "link")


def test_linked_folders_are_followed_and_end(
    tmp_path: Path, picture: NDArray[np.uint8]
) -> None:
    """A folder linked into another is part of it; one linked into itself is not."""
    write_picture(tmp_path / "in" / "a.png", picture)
    write_picture(tmp_path / "album" / "b.png", picture)
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "album")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in")

    found = list_pictures(tmp_path / "in")

    assert [tmp_path / "in" / name for name in ("a.png", "linked/b.png")] == found


def test_a_closed_folder_is_told(
    tmp_path: Path, picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pictures are not left out in silence."""
    write_picture(tmp_path / "deep" / "a.png", picture)
    opened = Path.iterdir

    def closed(folder: Path) -> Iterator[Path]:  # root may read every folder
        if folder.name == "deep":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return opened(folder)

    monkeypatch.setattr(Path, "iterdir", closed)

    with pytest.raises(DataError) as caught:
        list_pictures(tmp_path)

    assert f"{tmp_path}/deep: cannot be read: Permission denied" == str(caught.value)


def test_a_list_file_is_read_relative_to_itself(
    tmp_path: Path, picture: NDArray[np.uint8]
) -> None:
    """Paths in a list begin at the list's folder, in the list's order."""
    for name in ("photos/b.png", "photos/a.png"):
        write_picture(tmp_path / name, picture)
    (tmp_path / "list.txt").write_text("photos/b.png\n\n  photos/a.png \n")

    assert [tmp_path / "photos/b.png", tmp_path / "photos/a.png"] == list_pictures(
        tmp_path / "list.txt"
    )


def test_a_single_picture_is_a_list_of_one(
    tmp_path: Path, picture: NDArray[np.uint8]
) -> None:
    """One picture stands for itself."""
    write_picture(tmp_path / "a.png", picture)

    assert [tmp_path / "a.png"] == list_pictures(tmp_path / "a.png")


def test_a_list_with_a_missing_picture_names_the_line(tmp_path: Path) -> None:
    """The line number leads to the mistake."""
    file = tmp_path / "list.txt"
    file.write_text("none.png\n")

    with pytest.raises(DataError) as caught:
        list_pictures(file)

    assert f"{file}:1: no such picture: {tmp_path}/none.png" == str(caught.value)


def test_a_list_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """A file of another kind is not read as a list."""
    file = tmp_path / "list.bin"
    file.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(DataError) as caught:
        list_pictures(file)

    assert f"{file}: neither a picture nor a text list of pictures" == str(caught.value)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    """A folder without pictures is a mistake, not an empty result."""
    with pytest.raises(DataError) as caught:
        list_pictures(tmp_path)

    assert f"{tmp_path}: holds no picture, expected files ending in {ENDINGS}" == str(
        caught.value
    )


def test_nothing_is_refused(tmp_path: Path) -> None:
    """A path that leads nowhere is named, with the option that sets it."""
    with pytest.raises(DataError) as caught:
        list_pictures(tmp_path / "none")

    assert (
        f"{tmp_path}/none: no such folder, list or picture; name one with --data"
        == str(caught.value)
    )


def test_8_bits_survive_the_way_to_float_and_back() -> None:
    """Each of the 256 levels comes back as itself."""
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)

    np.testing.assert_array_equal(levels, to_8_bits(to_float(levels)))


def test_values_outside_are_clipped() -> None:
    """Below 0 is black, above 1 is white, and halves round to even."""
    values = np.array([[-0.5, 1.5, 0.5 / 255, 1.5 / 255]], np.float32)

    np.testing.assert_array_equal(
        np.array([[0, 255, 0, 2]], np.uint8), to_8_bits(values)
    )


def test_published_noise_is_gaussian_and_not_clipped(
    picture: NDArray[np.uint8],
) -> None:
    """The papers' protocol: float, sigma in units of 255, values beyond 0–1."""
    wide = np.tile(picture, (20, 20, 1))

    noise = (add_noise(wide, 50.0, 7, clip=False) - to_float(wide)) * 255

    assert noise.dtype == np.float32
    np.testing.assert_allclose(noise.mean(), 0.0, atol=0.5)
    np.testing.assert_allclose(noise.std(), 50.0, rtol=0.01)
    noisy = add_noise(wide, 50.0, 7, clip=False)
    assert noisy.min() < 0.0
    assert noisy.max() > 1.0


def test_camera_noise_is_clipped_to_8_bits(picture: NDArray[np.uint8]) -> None:
    """A camera's protocol: the same noise, rounded to the 256 levels."""
    free = add_noise(picture, 50.0, 7, clip=False)

    camera = add_noise(picture, 50.0, 7, clip=True)

    np.testing.assert_array_equal(to_float(to_8_bits(free)), camera)


def test_noise_depends_on_its_seed_alone(picture: NDArray[np.uint8]) -> None:
    """The same seed gives the same noise; a seed may be a pair, as (run, picture)."""
    first = add_noise(picture, 25.0, (0, 1), clip=False)

    np.testing.assert_array_equal(first, add_noise(picture, 25.0, (0, 1), clip=False))
    assert not np.array_equal(first, add_noise(picture, 25.0, (0, 2), clip=False))


def test_no_noise_is_the_picture(picture: NDArray[np.uint8]) -> None:
    """Sigma 0 changes nothing."""
    np.testing.assert_array_equal(
        to_float(picture), add_noise(picture, 0.0, 0, clip=False)
    )


def test_psnr_is_the_textbook_formula(picture: NDArray[np.uint8]) -> None:
    """A naive loop over all samples says the same."""
    other = np.random.default_rng(1).integers(0, 256, picture.shape, np.uint8)
    total = 0
    for a, b in zip(picture.ravel().tolist(), other.ravel().tolist(), strict=True):
        total += (a - b) ** 2
    expected = 10 * math.log10(255**2 / (total / picture.size))

    assert pytest.approx(expected) == psnr_db(picture, other)


def test_psnr_of_equal_pictures_is_infinite(picture: NDArray[np.uint8]) -> None:
    """Nothing differs, so nothing is lost."""
    assert math.inf == psnr_db(picture, picture)


def test_psnr_of_one_level_is_48_db() -> None:
    """A difference of one level everywhere is 20 log10(255) dB."""
    black = np.zeros((4, 4, 3), np.uint8)

    assert pytest.approx(48.1308, abs=1e-4) == psnr_db(black, black + np.uint8(1))
