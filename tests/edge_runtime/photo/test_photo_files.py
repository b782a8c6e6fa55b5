"""What a photograph's file says comes out as it went in."""

import resource
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from edge_runtime.errors import PictureError, SettingError
from edge_runtime.photo.metadata import (
    EXIF_FOLDER,
    GPS_FOLDER,
    ORIENTATION,
    Metadata,
    upright,
)
from edge_runtime.photo.photo import Photo
from edge_runtime.photo.read import read_photo
from edge_runtime.photo.write import write_photo
from edge_runtime.pictures import read_picture, write_picture

PNG_HEAD = b"\x89PNG\r\n\x1a\n" + b"?" * 25
"""As long as a signature and a header."""
LOSSLESS = [".png", ".tif", ".bmp"]
MAKE, TAKEN, WIDTH, HEIGHT = 271, 0x9003, 0xA002, 0xA003
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf='
    b'"http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:tiff='
    b'"http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


@pytest.fixture
def scene() -> Image.Image:
    rows, columns = np.mgrid[0:40, 0:60]
    channels = [rows * 6, columns * 4, (rows + columns) * 2]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


@pytest.fixture(scope="module")
def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(orientation: int) -> Image.Exif:
    """Return tags as a phone writes them, of a picture 60 wide and 40 high."""
    made = Image.Exif()
    made[ORIENTATION] = orientation
    made[MAKE] = "Maker"
    made[EXIF_FOLDER] = {TAKEN: "2020:02:03 04:05:06", WIDTH: 60, HEIGHT: 40}
    made[GPS_FOLDER] = {1: "N", 2: (1.0, 2.0, 3.0)}
    kept = Image.Exif()
    kept.load(made.tobytes())
    return kept


def through(source: Path, target: Path) -> Image.Image:
    """Return a file's picture after it was read and written."""
    write_photo(target, read_photo(source))
    image = Image.open(target)
    image.load()
    return image


@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_read_as_viewers_show_it(
    tmp_path: Path, scene: Image.Image, orientation: int, ending: str
) -> None:
    """All of Exif's eight ways up, in all formats that have Exif."""
    scene.save(tmp_path / f"a{ending}", exif=exif(orientation))
    with Image.open(tmp_path / f"a{ending}") as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))

    np.testing.assert_array_equal(expected, read_photo(tmp_path / f"a{ending}").samples)


@pytest.mark.parametrize("target", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("source", [".jpg", ".png", ".webp"])
def test_exif_goes_on_and_says_upright(
    tmp_path: Path, scene: Image.Image, source: str, target: str
) -> None:
    """Maker, time and place are kept; the size that Exif repeats is turned as well."""
    scene.save(tmp_path / f"a{source}", exif=exif(6))

    image = through(tmp_path / f"a{source}", tmp_path / f"b{target}")

    found = image.getexif()
    assert ((40, 60), 1, "Maker") == (image.size, found[ORIENTATION], found[MAKE])
    assert {TAKEN: "2020:02:03 04:05:06", WIDTH: 40, HEIGHT: 60} == found.get_ifd(
        EXIF_FOLDER
    )
    assert {1: "N", 2: (1.0, 2.0, 3.0)} == found.get_ifd(GPS_FOLDER)


LAYOUT_TAGS = {256: 4000, 257: 3000, 262: 6, 284: 2, 266: 2, 339: 2, 338: 0}
"""Width, height, photometric interpretation and more, which files repeat in Exif."""


@pytest.mark.parametrize("tag", LAYOUT_TAGS)
def test_tags_of_another_files_layout_are_not_believed(
    tmp_path: Path, scene: Image.Image, tag: int
) -> None:
    """Some phones and scanners write them; a TIFF has its own."""
    tags = exif(6)
    tags[tag] = LAYOUT_TAGS[tag]
    scene.save(tmp_path / "a.jpg", exif=tags)

    through(tmp_path / "a.jpg", tmp_path / "b.tif").close()

    expected = read_photo(tmp_path / "a.jpg").samples
    np.testing.assert_array_equal(expected, read_photo(tmp_path / "b.tif").samples)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif", ".bmp", ".webp"])
def test_a_file_that_is_cut_short_is_none(tmp_path: Path, ending: str) -> None:
    """A limit, like a disk that fills, ends a write early; the old file stays."""
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(SettingError) as caught:
            write_photo(path, Photo(noise, None, Metadata()))
        with pytest.raises(SettingError):
            write_picture(path, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert f"{path}: cannot be written: File too large" == str(caught.value)
    assert [b"old"] == [file.read_bytes() for file in tmp_path.iterdir()]


def test_damaged_metadata_is_one_line(tmp_path: Path, scene: Image.Image) -> None:
    """Whatever Pillow raises, a damaged file is a PictureError, or is read."""
    rng = np.random.default_rng(0)
    n_refused = 0
    for ending in (".jpg", ".tif", ".png", ".webp"):
        scene.save(tmp_path / f"a{ending}", exif=exif(6))
        whole = (tmp_path / f"a{ending}").read_bytes()
        for _ in range(60):
            made = bytearray(whole)
            for place in rng.integers(0, min(len(made), 400), 4):
                made[place] = rng.integers(256)
            (tmp_path / f"b{ending}").write_bytes(made)
            try:
                photo = read_photo(tmp_path / f"b{ending}")
                for other in (".tif", ".jpg", ".png"):
                    write_photo(tmp_path / f"c{other}", photo)
                read_picture(tmp_path / f"b{ending}")
            except (PictureError, SettingError):
                n_refused += 1

    assert 60 < n_refused < 240


def test_exif_of_a_tiff_goes_on(tmp_path: Path, scene: Image.Image) -> None:
    """What tells of the photograph is kept, what tells of the file's layout is not."""
    scene.save(tmp_path / "a.tif", exif=exif(1), compression="raw")

    found = through(tmp_path / "a.tif", tmp_path / "b.jpg").getexif()

    assert {MAKE: "Maker"} == {
        tag: value
        for tag, value in found.items()
        if tag not in (EXIF_FOLDER, GPS_FOLDER)
    }
    assert "2020:02:03 04:05:06" == found.get_ifd(EXIF_FOLDER)[TAKEN]
    assert "N" == found.get_ifd(GPS_FOLDER)[1]


@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif", ".webp"])
def test_exif_tells_the_size_of_an_enlarged_photo(
    tmp_path: Path, scene: Image.Image, ending: str
) -> None:
    """Some viewers believe it."""
    scene.save(tmp_path / "a.jpg", exif=exif(1))

    write_photo(tmp_path / f"b{ending}", read_photo(tmp_path / "a.jpg").enlarged(2))

    with Image.open(tmp_path / f"b{ending}") as image:
        found = image.getexif().get_ifd(EXIF_FOLDER)
    assert (120, 80) == (found[WIDTH], found[HEIGHT])


def test_what_jpeg_has_no_room_for_is_told(tmp_path: Path, scene: Image.Image) -> None:
    """A PNG file's XMP may be larger than a segment, and its dots finer than a byte."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt("XML:com.adobe.xmp", "x" * 70_000)
    scene.save(tmp_path / "a.png", pnginfo=chunks)
    scene.save(tmp_path / "b.png", dpi=(70_000, 70_000))

    with pytest.raises(PictureError) as caught:
        through(tmp_path / "a.png", tmp_path / "c.jpg")
    image = through(tmp_path / "b.png", tmp_path / "d.jpg")

    assert (
        f"{tmp_path}/c.jpg: cannot be written: JPEG has room for 65504 bytes of XMP,"
        " this picture has 70000; name a .png" == str(caught.value)
    )
    assert (60, 40) == image.size


@pytest.mark.parametrize("order", ["<", ">"])
def test_makers_notes_stay_where_they_are(order: str) -> None:
    """Not a byte moves: the orientation alone changes, and the thumbnail is let go."""
    start = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, 8)
    entry = struct.pack(order + "HHIHH", ORIENTATION, 3, 1, 8, 0)
    folder = struct.pack(order + "H", 1) + entry + struct.pack(order + "I", 26)
    notes = b"offsets from the start"

    made = upright(start + folder + notes)

    entry = struct.pack(order + "HHIHH", ORIENTATION, 3, 1, 1, 0)
    folder = struct.pack(order + "H", 1) + entry + bytes(4)
    assert start + folder + notes == made


@pytest.mark.parametrize(
    "damaged",
    [b"", b"II", b"II*\0\xff\0\0\0", b"no exif here", b"II\0*\x08" + bytes(20)],
)
def test_damaged_exif_is_let_go(damaged: bytes) -> None:
    """What cannot be made to say upright does not go on."""
    assert upright(damaged) is None


@pytest.mark.parametrize("target", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("source", [".jpg", ".png", ".tif", ".webp"])
def test_the_colour_profile_goes_on(
    tmp_path: Path, scene: Image.Image, profile: bytes, source: str, target: str
) -> None:
    """Samples mean the same colours as before."""
    scene.save(tmp_path / f"a{source}", icc_profile=profile)

    image = through(tmp_path / f"a{source}", tmp_path / f"b{target}")

    assert profile == image.info["icc_profile"]


def test_the_resolution_goes_on_turned(tmp_path: Path, scene: Image.Image) -> None:
    """Dots an inch of columns and rows change places with them."""
    scene.save(tmp_path / "a.jpg", dpi=(300, 200), exif=exif(8))

    image = through(tmp_path / "a.jpg", tmp_path / "b.jpg")

    assert (200, 300) == image.info["dpi"]


@pytest.mark.parametrize("target", [".jpg", ".png", ".webp"])
def test_xmp_goes_on_and_says_upright(
    tmp_path: Path, scene: Image.Image, target: str
) -> None:
    """A viewer that reads the orientation there does not turn the picture again."""
    scene.save(tmp_path / "a.jpg", xmp=XMP)

    image = through(tmp_path / "a.jpg", tmp_path / f"b{target}")

    assert (40, 60) == image.size
    assert XMP.replace(b'"6"', b'"1"') == image.info["xmp"]


def test_comment_captions_and_coarse_colours_of_a_jpeg_go_on(
    tmp_path: Path, scene: Image.Image
) -> None:
    """A JPEG keeps its 4:2:0 and what else its segments say."""
    captions = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\0"
    segment = b"\xff\xed" + struct.pack(">H", len(captions) + 2) + captions
    scene.save(tmp_path / "a.jpg", comment=b"mine", extra=segment, subsampling=2)

    image: Any = through(tmp_path / "a.jpg", tmp_path / "b.jpg")

    assert b"mine" == image.info["comment"]
    assert ("APP13", captions) in image.applist
    assert (2, 2) == image.layer[0][1:3]


def test_other_pictures_become_jpegs_of_full_colour(
    tmp_path: Path, scene: Image.Image
) -> None:
    """A PNG's colours are not made coarse."""
    scene.save(tmp_path / "a.png")

    image: Any = through(tmp_path / "a.png", tmp_path / "b.jpg")

    assert (1, 1) == image.layer[0][1:3]


def test_quality_is_that_asked_for(tmp_path: Path, scene: Image.Image) -> None:
    """More quality takes more bytes."""
    scene.save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    for ending in ("jpg", "webp"):
        for quality in (30, 90):
            write_photo(tmp_path / f"{quality}.{ending}", photo, quality)

        small, large = (tmp_path / f"{quality}.{ending}" for quality in (30, 90))
        assert small.stat().st_size < large.stat().st_size


def test_texts_and_gamma_of_a_png_go_on(tmp_path: Path, scene: Image.Image) -> None:
    """What the format has in chunks of its own stays in a PNG."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Author", "me")
    chunks.add(b"gAMA", struct.pack(">I", 100_000))
    scene.save(tmp_path / "a.png", pnginfo=chunks)

    image: Any = through(tmp_path / "a.png", tmp_path / "b.png")

    assert ({"Author": "me"}, 1.0) == (image.text, image.info["gamma"])


@pytest.mark.parametrize(
    ("mode", "ending", "expected"),
    [
        ("1", ".png", "L"),
        ("L", ".png", "L"),
        ("L", ".jpg", "L"),
        ("LA", ".png", "LA"),
        ("P", ".png", "RGB"),
        ("P", ".bmp", "RGB"),
        ("RGB", ".bmp", "RGB"),
        ("RGBA", ".png", "RGBA"),
        ("RGBA", ".tif", "RGBA"),
        ("RGBA", ".webp", "RGBA"),
        ("CMYK", ".tif", "RGB"),
        ("YCbCr", ".tif", "RGB"),
    ],
)
def test_each_kind_of_picture_stays_of_its_kind(
    tmp_path: Path, scene: Image.Image, mode: str, ending: str, expected: str
) -> None:
    """Gray stays gray; what 8-bit samples cannot be averaged in becomes gray or RGB."""
    source = scene.convert(mode)
    if mode.endswith("A"):
        source.putalpha(scene.convert("L"))
    source.save(tmp_path / f"a{ending}")

    image = through(tmp_path / f"a{ending}", tmp_path / f"b{ending}")

    assert expected == image.mode
    if mode != "CMYK" and ending in LOSSLESS:
        with Image.open(tmp_path / f"a{ending}") as before:
            np.testing.assert_array_equal(
                np.asarray(before.convert(expected)), np.asarray(image)
            )


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_transparent_colour_becomes_alpha(
    tmp_path: Path, scene: Image.Image, mode: str
) -> None:
    """A palette's clear entry and a colour that stands for nothing are alpha now."""
    source = scene.convert(mode)
    clear: Any = (0, 0, 0) if mode == "RGB" else source.getpixel((0, 0))
    source.save(tmp_path / "a.png", transparency=clear)
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(image.convert("RGBA"))[:, :, 3]

    actual = read_photo(tmp_path / "a.png").alpha

    assert expected.min() == 0 < expected.max()
    assert actual is not None
    np.testing.assert_array_equal(expected, actual)


def test_print_colours_become_srgb_and_that_is_said(
    tmp_path: Path, scene: Image.Image
) -> None:
    """A profile of inks does not stand beside red, green and blue."""
    scene.convert("CMYK").save(tmp_path / "a.jpg", quality=100)

    photo = read_photo(tmp_path / "a.jpg")

    assert ("CMYK made sRGB", None) == (photo.note, photo.metadata.icc_profile)
    assert np.abs(photo.samples.astype(int) - np.asarray(scene)).mean() < 4


def test_a_damaged_profile_of_inks_is_refused(
    tmp_path: Path, scene: Image.Image
) -> None:
    """Its colours cannot be known."""
    scene.convert("CMYK").save(tmp_path / "a.jpg", icc_profile=b"no profile")

    assert refusal_of(tmp_path / "a.jpg").startswith(
        f"{tmp_path}/a.jpg: damaged colour profile: "
    )


def png_16(samples: NDArray[np.uint16]) -> bytes:
    """Return a PNG file of unfiltered 16-bit samples, (Y, X, C)."""
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[samples.shape[2]]
    header = struct.pack(">IIBBBBB", *samples.shape[1::-1], 16, kind, 0, 0, 0)
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data))
        + name
        + data
        + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


@pytest.mark.parametrize("n_channels", [1, 3, 4])
def test_16_bits_stay_16_bits(tmp_path: Path, n_channels: int) -> None:
    """Every one of them is read, and written."""
    rng = np.random.default_rng(0)
    expected = rng.integers(0, 2**16, (70, 11, n_channels), dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(png_16(expected))

    write_photo(tmp_path / "b.png", read_photo(tmp_path / "a.png"))

    for name in ("a.png", "b.png"):
        photo = read_photo(tmp_path / name)
        np.testing.assert_array_equal(expected[:, :, :3], photo.samples)
        if n_channels == 4:
            np.testing.assert_array_equal(expected[:, :, 3], photo.alpha)
    with Image.open(tmp_path / "b.png") as image:  # an independent reader takes it
        image.load()


def test_16_bits_keep_what_their_file_says(tmp_path: Path, profile: bytes) -> None:
    """The 16-bit files that are written here hold the same as those of Pillow."""
    gray = Image.fromarray(np.full((5, 7), 1000, np.uint16))
    gray.save(tmp_path / "a.png", icc_profile=profile, exif=exif(6), dpi=(300, 200))

    image = through(tmp_path / "a.png", tmp_path / "b.png")

    assert ((5, 7), "I;16") == (image.size, image.mode)
    assert (profile, 1) == (image.info["icc_profile"], image.getexif()[ORIENTATION])
    assert (200, 300) == tuple(round(value) for value in image.info["dpi"])


def test_16_bits_are_rounded_for_formats_of_8(tmp_path: Path) -> None:
    """To the nearest, where Pillow would cut."""
    (tmp_path / "a.png").write_bytes(png_16(np.full((2, 2, 3), 511, np.uint16)))

    image = through(tmp_path / "a.png", tmp_path / "b.bmp")

    assert (2, 2, 2) == image.getpixel((0, 0))


def refusal_of(path: Path, target: Path | None = None) -> str:
    with pytest.raises(PictureError) as caught:
        photo = read_photo(path)
        assert target is not None
        write_photo(target, photo)
    return str(caught.value)


def test_16_bits_that_cannot_be_read_or_written_are_refused(tmp_path: Path) -> None:
    """One line each, with the way out, and nothing is cut."""
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "a.tif")
    (tmp_path / "la.png").write_bytes(png_16(np.zeros((4, 4, 2), np.uint16)))
    (tmp_path / "a.png").write_bytes(png_16(np.zeros((4, 4, 3), np.uint16)))
    expected = "expected 8 bits, or a PNG of 16-bit gray, RGB or RGBA; convert it first"

    assert refusal_of(tmp_path / "a.tif") == (
        f"{tmp_path}/a.tif: TIFF picture of 16-bit samples, {expected}"
    )
    assert refusal_of(tmp_path / "la.png") == (
        f"{tmp_path}/la.png: PNG picture of 16-bit samples, {expected}"
    )
    assert refusal_of(tmp_path / "a.png", tmp_path / "b.tif") == (
        f"{tmp_path}/b.tif: cannot be written: 16-bit samples go into PNG files alone;"
        " name a .png"
    )
    assert not (tmp_path / "b.tif").exists()


@pytest.mark.parametrize("ending", [".webp", ".tif", ".png"])
def test_several_pictures_in_a_file_are_refused(
    tmp_path: Path, scene: Image.Image, ending: str
) -> None:
    """An animation would come out as its first frame."""
    path = tmp_path / f"a{ending}"
    scene.save(path, save_all=True, append_images=[scene.rotate(180)])

    assert refusal_of(path) == (
        f"{path}: holds several pictures, expected one; split it into files first"
    )


def chunk(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)


def with_chunk(scene: Image.Image, path: Path, name: bytes, content: bytes) -> Path:
    """Write a PNG file that says more, behind its header."""
    scene.save(path)
    whole = path.read_bytes()
    after = len(PNG_HEAD)
    path.write_bytes(whole[:after] + chunk(name, content) + whole[after:])
    return path


def test_a_long_chain_of_pages_takes_no_time(
    tmp_path: Path, scene: Image.Image
) -> None:
    """That there is a second one is enough; counting 40,000 would take minutes."""
    path = tmp_path / "a.tif"
    scene.save(path)
    whole = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", whole, 4)
    (n_tags,) = struct.unpack_from("<H", whole, first)
    following = first + 2 + 12 * n_tags
    for _ in range(40_000):
        struct.pack_into("<I", whole, following, len(whole))
        whole += struct.pack("<HHHIII", 1, 256, 3, 1, 1, 0)
        following = len(whole) - 4
    path.write_bytes(whole)
    began_s = time.process_time()

    assert refusal_of(path) == (
        f"{path}: holds several pictures, expected one; split it into files first"
    )
    assert time.process_time() - began_s < 5


def test_long_text_of_a_png_is_kept(tmp_path: Path, scene: Image.Image) -> None:
    """Pillow's own limit is 1 MB, which XMP of retouched photographs exceeds."""
    text = b"Comment\0\0" + zlib.compress(b"x" * (3 << 20))
    path = with_chunk(scene, tmp_path / "a.png", b"zTXt", text)

    image = through(path, tmp_path / "b.png")

    assert isinstance(image, PngImagePlugin.PngImageFile)
    assert "x" * (3 << 20) == image.text["Comment"]


@pytest.mark.parametrize("name", [b"zTXt", b"iCCP"])
def test_text_without_end_of_a_png_is_refused(
    tmp_path: Path, scene: Image.Image, name: bytes
) -> None:
    """A few bytes may stand for gigabytes: what it is and the way out are told."""
    text = b"Comment\0\0" + zlib.compress(b"x" * (17 << 20))
    path = with_chunk(scene, tmp_path / "a.png", name, text)

    assert refusal_of(path) == (
        f"{path}: holds a text, XMP or a colour profile of more than 16 MB, or 64 MB in"
        " all; take them out first"
    )


def test_what_follows_the_end_of_a_png_is_passed_over(
    tmp_path: Path, scene: Image.Image
) -> None:
    """It is no chunk, though it may look like one of 4 GB."""
    path = tmp_path / "a.png"
    scene.save(path)
    n_bytes = struct.pack(">I", 2**32 - 1)
    path.write_bytes(path.read_bytes() + n_bytes + b"tEXthello")

    assert () == read_photo(path).metadata.png_chunks


def test_rows_that_no_decoder_takes_are_told(tmp_path: Path) -> None:
    """Pillow would say that memory is short, however much there is."""
    path = tmp_path / "a.png"
    header = struct.pack(">IIBBBBB", 70_000_000, 1, 8, 6, 0, 0, 0)
    ends = chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b"")
    path.write_bytes(PNG_HEAD[:8] + chunk(b"IHDR", header) + b"".join(ends))

    assert refusal_of(path) == (
        f"{path}: rows of 70000000 pixels, expected at most 67108856 of 32 bits"
        " each; turn it or make it smaller first"
    )


def test_a_resolution_that_bmp_has_no_room_for_is_left_out(
    tmp_path: Path, scene: Image.Image
) -> None:
    """As in JPEG; the picture is written."""
    most = struct.pack(">IIB", 2**32 - 1, 1, 1)
    path = with_chunk(scene, tmp_path / "a.png", b"pHYs", most)

    image = through(path, tmp_path / "b.bmp")

    assert scene.tobytes() == image.tobytes()


def test_damaged_exif_of_a_webp_is_passed_over(
    tmp_path: Path, scene: Image.Image
) -> None:
    """As that of the other formats; nothing of it goes on."""
    scene.save(tmp_path / "a.webp", exif=b"Exif\0\0" + b"\xff" * 40)

    photo = read_photo(tmp_path / "a.webp")

    assert ((40, 60, 3), None) == (photo.samples.shape, photo.metadata.exif)


def test_a_photo_with_a_preview_behind_it_is_read(
    tmp_path: Path, scene: Image.Image
) -> None:
    """Phones append previews to a JPEG (MPO); the photograph is the first picture."""
    preview = scene.resize((30, 20))
    scene.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[preview])

    assert (40, 60, 3) == read_photo(tmp_path / "a.jpg").samples.shape


@pytest.mark.parametrize(("ending", "name"), [(".jpg", "JPEG"), (".bmp", "BMP")])
def test_transparency_is_never_dropped(
    tmp_path: Path, scene: Image.Image, ending: str, name: str
) -> None:
    """A format without it is refused, unless nothing is transparent."""
    clear = scene.copy()
    clear.putalpha(128)
    clear.save(tmp_path / "a.png")
    scene.putalpha(255)
    scene.save(tmp_path / "opaque.png")
    target = tmp_path / f"b{ending}"

    assert refusal_of(tmp_path / "a.png", target) == (
        f"{target}: cannot be written: {name} has no transparency, as this picture has;"
        " name a .png"
    )
    assert "RGB" == through(tmp_path / "opaque.png", target).mode


def test_samples_that_are_no_light_are_refused(tmp_path: Path) -> None:
    """Lab is another matter than red, green and blue."""
    Image.new("LAB", (4, 4)).save(tmp_path / "a.tif")

    assert refusal_of(tmp_path / "a.tif") == (
        f"{tmp_path}/a.tif: samples are LAB, expected gray, RGB, a palette or CMYK;"
        " convert it first"
    )


def test_a_missing_or_truncated_photo_is_one_line(
    tmp_path: Path, scene: Image.Image
) -> None:
    """As for all pictures."""
    scene.save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:-100])

    assert f"{tmp_path}/none.png: no such file" == refusal_of(tmp_path / "none.png")
    assert refusal_of(tmp_path / "a.png").startswith(
        f"{tmp_path}/a.png: damaged picture: "
    )
