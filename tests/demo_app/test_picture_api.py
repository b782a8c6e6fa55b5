import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edge_runtime.bundle import Bundle
from edge_runtime.engines import open_engine
from edge_runtime.image_filter import ImageFilter
from edge_runtime.pictures import add_noise, psnr_db, to_8_bits, to_float
from tests.demo_app.served import Served, png, smooth_picture

PICTURE = smooth_picture(90, 131)
OPTIONS = {"bundle": "blur", "precision": "fp32", "sigma": 25}


def post(served: Served, body: bytes, **options: Any) -> httpx.Response:
    asked = {k: v for k, v in (OPTIONS | options).items() if v is not None}
    return httpx.post(
        f"{served.address}/picture", content=body, params=asked, timeout=30
    )


def error(served: Served, body: bytes, **options: Any) -> str:
    answer = post(served, body, **options)
    assert answer.status_code == 400
    found: str = answer.json()["error"]
    return found


def decoded(text: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_answer_is_the_runtime_s(served: Served) -> None:
    """The picture that comes back is the one that the runtime's filter gives."""
    bundle = Bundle.open(served.settings.bundles[0])
    with ImageFilter(bundle, open_engine("litert", bundle.models[0])) as image_filter:
        expected = to_8_bits(image_filter.apply(to_float(PICTURE), 25.0, 1))

    answer = post(served, png(PICTURE), depth=1).json()

    assert np.array_equal(expected, decoded(answer["after_png"]))
    assert np.array_equal(PICTURE, decoded(answer["before_png"]))


def test_noise_makes_quality_measurable(served: Served) -> None:
    """With noise added, both qualities are the runtime's, and the filter gains."""
    noisy = to_8_bits(add_noise(PICTURE, 25.0, 3, clip=False))

    answer = post(served, png(PICTURE), noise=True, seed=3).json()

    assert psnr_db(PICTURE, noisy) == answer["noisy_psnr_db"]
    assert psnr_db(PICTURE, decoded(answer["after_png"])) == answer["psnr_db"]
    assert answer["psnr_db"] > answer["noisy_psnr_db"] + 5


@pytest.mark.parametrize("sigma", [None, "auto"])
def test_sigma_is_estimated_where_none_is_given(
    served: Served, sigma: str | None
) -> None:
    """Without noise of our own, the level is the runtime's estimate, and is told."""
    noisy = to_8_bits(add_noise(PICTURE, 20.0, 3, clip=True))
    bundle = Bundle.open(served.settings.bundles[0])
    with ImageFilter(bundle, open_engine("litert", bundle.models[0])) as image_filter:
        expected = image_filter.estimate_sigma(to_float(noisy))

    answer = post(served, png(noisy), sigma=sigma).json()

    assert (expected, True) == (answer["sigma"], answer["sigma_is_estimated"])
    assert 20 == pytest.approx(expected, rel=0.2)


def test_noise_has_a_level_of_its_own(served: Served) -> None:
    """Noise to be added is of sigma 25 unless a number says otherwise."""
    answer = post(served, png(PICTURE), noise=True, sigma=None).json()

    assert (25.0, False) == (answer["sigma"], answer["sigma_is_estimated"])


def test_quality_is_unknown_without_noise(served: Served) -> None:
    """Without noise of our own there is nothing to compare with."""
    answer = post(served, png(PICTURE)).json()

    assert (None, None) == (answer["psnr_db"], answer["noisy_psnr_db"])


def test_equal_pictures_have_no_finite_quality(served: Served) -> None:
    """Noise of nothing leaves the picture as it is, which JSON's numbers cannot say."""
    answer = post(served, png(PICTURE), noise=True, sigma=0)

    assert answer.status_code == 200
    assert answer.json()["noisy_psnr_db"] is None


def test_answer_states_its_conditions(served: Served) -> None:
    """Everything that a figure depends on comes with it; the deepest is the default."""
    answer = post(served, png(PICTURE)).json()

    expected = {
        "bundle": "blur",
        "engine": "litert",
        "precision": "fp32",
        "depth": 2,
        "threads": 1,
        "sigma": 25.0,
        "width_px": 131,
        "height_px": 90,
    }
    assert expected.items() <= answer.items()
    assert answer["compute_ms"] > 0


@pytest.mark.parametrize("ending", ["JPEG", "BMP", "WEBP", "TIFF"])
def test_formats(served: Served, ending: str) -> None:
    """Pictures of every usual format are read, whatever their name."""
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, ending)

    answer = post(served, file.getvalue())

    assert 200 == answer.status_code


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "upload: empty, expected a picture file"),
        (
            b"not a picture",
            "upload: not a picture that can be read; expected JPEG, PNG, BMP, TIFF or"
            " WebP",
        ),
    ],
    ids=["empty", "text"],
)
def test_no_picture(served: Served, body: bytes, expected: str) -> None:
    """Bytes that are no picture are named so, without a path of this machine."""
    found = error(served, body)

    assert expected == found


def test_truncated_picture(served: Served) -> None:
    """A picture that is cut short is refused rather than shown in part."""
    whole = png(np.random.default_rng(0).integers(0, 255, (90, 131, 3), np.uint8))

    found = error(served, whole[: len(whole) // 2])

    assert found.startswith("upload: damaged picture: ")


def test_picture_of_too_many_pixels(served: Served) -> None:
    """A picture beyond the demo's limit is refused with the way out."""
    found = error(served, png(np.zeros((800, 501, 3), np.uint8)))

    assert (
        "upload: 501×800 is 400800 pixels, expected at most 400000; make it smaller"
        " first"
    ) == found


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"bundle": "x"}, 'no bundle "x" is served, expected one of blur tones'),
        (
            {"engine": "torch"},
            "engine: found torch, expected one of litert tflite-runtime executorch",
        ),
        (
            {"precision": "int8"},
            "precision: found int8, blur offers fp32 on litert",
        ),
        ({"depth": 3}, "blur: depth is 3, expected one of 1 2"),
        ({"depth": 0}, "blur: depth is 0, expected one of 1 2"),
        ({"sigma": 56}, "blur: sigma is 56, expected 0 to 55"),
        (
            {"sigma": 1e308, "noise": True},
            "blur: sigma is 1e+308, expected 0 to 55",
        ),
        (
            {"sigma": "much"},
            "sigma: Input should be a valid number, unable to parse string as a number,"
            " found 'much'",
        ),
        ({"sigma": "nan"}, "sigma: Input should be a finite number, found 'nan'"),
        (
            {"sigma": -1},
            "sigma: Input should be greater than or equal to 0, found '-1'",
        ),
        (
            {"sigma": "auto", "noise": True},
            "sigma: found auto, expected a number: so much noise is added",
        ),
        ({"size": 3}, "size: Extra inputs are not permitted, found '3'"),
        (
            {"bundle": "tones"},
            'tones: task is "speech", expected "picture"; use tiedge transcribe',
        ),
    ],
    ids=lambda value: str(value)[:20],
)
def test_wrong_option(served: Served, options: dict[str, Any], expected: str) -> None:
    """Each mistake in the question is named, with what would be right."""
    found = error(served, png(PICTURE), **options)

    assert expected == found


def test_too_few_pixels_to_estimate(served: Served) -> None:
    """A picture whose noise cannot be judged asks for a number."""
    found = error(served, png(PICTURE[:2]), sigma=None)

    assert (
        "upload: picture: 131×2 pixels are too few to judge the noise, expected at"
        " least 3×3; give sigma a number"
    ) == found


def test_reading_alone_is_not_offered(served: Served) -> None:
    """GET /picture has no answer."""
    answer = httpx.get(f"{served.address}/picture")

    assert answer.status_code in {404, 405}


DOUBLE = {"bundle": "double", "sigma": None}


def test_a_bundle_may_give_back_larger_pictures(doubling: Served) -> None:
    """Where no noise level is on offer, none is asked for, and none is told."""
    answer = post(doubling, png(PICTURE), **DOUBLE).json()

    expected = PICTURE.repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(expected, decoded(answer["after_png"]))
    assert (None, None) == (answer["sigma"], answer["psnr_db"])


@pytest.mark.parametrize(
    ("options", "level"),
    [
        ({}, 100 + 51),
        ({"strength": 0.0}, 100),
        ({"look": "bright"}, 100 + 102),
        ({"strength": 0.5, "look": "bright", "depth": 1}, 100 + 25.5),
    ],
)
def test_strength_and_look_are_told(
    doubling: Served, options: dict[str, Any], level: float
) -> None:
    """As the runtime does: the most, and the first, without a word."""
    grey = np.full((70, 80, 3), 100, np.uint8)

    answer = post(doubling, png(grey), bundle="light", sigma=None, **options).json()

    assert np.abs(decoded(answer["after_png"]) - level).max() <= 1.0
    assert (options.get("strength"), options.get("look")) == (
        answer["strength"],
        answer["look"],
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 0.5}, "double: takes no strength; leave it out"),
        ({"look": "bright"}, "double: takes no look; leave it out"),
        ({"sigma": 25}, "double: takes no sigma; leave it out"),
        ({"noise": True}, "double: takes no noise away; leave out noise"),
    ],
)
def test_noise_is_no_question_for_such_a_bundle(
    doubling: Served, options: dict[str, Any], message: str
) -> None:
    """An option that means nothing is named."""
    assert message == error(doubling, png(PICTURE), **DOUBLE | options)
