# ruff: noqa: E402 (what follows importorskip needs playwright)
import base64
import io
import shutil
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed"
)
from playwright.sync_api import Browser, Page, Route, expect

from tests.demo_app.hand_made_bundles import spoken_tones
from tests.demo_app.served import Served, png, smooth_picture

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
PATIENCE_MS = 15_000
WIDTH_PX, HEIGHT_PX = 300, 200

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def write_wav(path: Path, samples: NDArray[np.float32], rate_hz: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.round(samples * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium whose microphone hears the two tones once."""
    sound = tmp_path_factory.mktemp("microphone") / "tones.wav"
    write_wav(sound, spoken_tones(48_000), 48_000)
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=[*FLAGS, f"--use-file-for-fake-audio-capture={sound}%noloop"],
        )
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """The page, loaded; complaints in its console fail the test."""
    yield from loaded(browser, served)


@pytest.fixture
def doubling_page(browser: Browser, doubling: Served) -> Iterator[Page]:
    """The page of a server whose bundle doubles pictures."""
    yield from loaded(browser, doubling)


def loaded(browser: Browser, served: Served) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on(
        "console",
        lambda message: (
            complaints.append(message.text)
            if "Content Security Policy" in message.text
            else None
        ),
    )
    opened.goto(served.address)
    expect(opened.locator("html")).to_have_attribute("data-ready", "yes")
    yield opened
    opened.close()
    assert [] == complaints


def upload(page: Page, name: str, data: bytes) -> None:
    page.set_input_files(
        "#picture-file", {"name": name, "mimeType": "image/png", "buffer": data}
    )


def text(page: Page, selector: str) -> str:
    return page.locator(selector).inner_text()


def test_photo_is_restored(page: Page) -> None:
    """An uploaded picture shows its restoration and time; with noise, its quality."""
    upload(page, "waves.png", png(smooth_picture(HEIGHT_PX, WIDTH_PX)))

    after = page.locator("#after-image")
    expect(after).to_be_visible()
    page.check("#noise")
    expect(page.locator("#restored-psnr")).to_contain_text(" dB")
    shown = after.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    before_db, after_db = (
        float(text(page, selector).split(" dB")[0])
        for selector in ("#noisy-psnr", "#restored-psnr")
    )
    assert [WIDTH_PX, HEIGHT_PX] == shown
    assert text(page, "#picture-ms").endswith(" ms")
    assert f"{WIDTH_PX} × {HEIGHT_PX}" == text(page, "#picture-size")
    assert after_db > before_db + 5


def test_a_bundle_without_a_noise_level_shows_none(doubling_page: Page) -> None:
    """What the bundle does not take is not offered, and the picture comes larger."""
    upload(doubling_page, "waves.png", png(smooth_picture(HEIGHT_PX, WIDTH_PX)))

    after = doubling_page.locator("#after-image")
    expect(after).to_be_visible()
    shown = after.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    assert [2 * WIDTH_PX, 2 * HEIGHT_PX] == shown
    assert "300 × 200 → 600 × 400" == text(doubling_page, "#picture-size")
    for field in ("#sigma-field", "#noise-field", "#restored-psnr"):
        expect(doubling_page.locator(field)).to_be_hidden()


def test_strength_and_look_are_offered_where_they_are_taken(
    doubling_page: Page,
) -> None:
    """Each changes the picture; a bundle that takes neither shows neither."""
    page = doubling_page
    for field in ("#strength-field", "#look-field"):
        expect(page.locator(field)).to_be_hidden()

    page.select_option("#picture-controls select[name=bundle]", "light")
    upload(page, "grey.png", png(np.full((HEIGHT_PX, WIDTH_PX, 3), 100, np.uint8)))
    expect(page.locator("#after-image")).to_be_visible()
    levels = [middle_of_after(page)]
    page.select_option("#look", "bright")
    levels.append(changed(page, levels[-1]))
    page.fill("#strength", "0.5")
    levels.append(changed(page, levels[-1]))

    assert "0.50" == text(page, "#strength-value")
    assert [151, 202, 151] == levels  # 0.2 of 255 more, 0.4 of it, half of that


def middle_of_after(page: Page) -> int:
    """Return the red of a pixel in the middle of the picture after."""
    found: int = page.locator("#after-image").evaluate(
        """async image => {
            for (let left = 50; left; left--) {
                // Refused while the page puts another picture there.
                if (await image.decode().then(() => true, () => false)) break;
                await new Promise(ready => setTimeout(ready, 20));
            }
            const canvas = document.createElement("canvas");
            canvas.width = canvas.height = 1;
            const { naturalWidth: x, naturalHeight: y } = image;
            const context = canvas.getContext("2d");
            context.drawImage(image, x / 2, y / 2, 1, 1, 0, 0, 1, 1);
            return context.getImageData(0, 0, 1, 1).data[0];
        }"""
    )
    return found


def changed(page: Page, before: int) -> int:
    """Return `middle_of_after` as soon as it is another than before."""
    for _ in range(50):
        if (level := middle_of_after(page)) != before:
            return level
        page.wait_for_timeout(100)
    return before


def test_sample_needs_no_photo(page: Page) -> None:
    """Who has no photo at hand gets a drawn one, and can save its restoration."""
    page.click("#sample-picture")

    expect(page.locator("#compare")).to_be_visible()
    with page.expect_download() as download:
        page.click("#save-picture")
    assert "restored.png" == download.value.suggested_filename


def test_slider_moves_by_mouse_and_keyboard(page: Page) -> None:
    """The cut between before and after follows the pointer and the arrow keys."""
    upload(page, "waves.png", png(smooth_picture(HEIGHT_PX, WIDTH_PX)))
    slider = page.locator("#compare-slider")
    expect(slider).to_be_visible()
    stage = page.locator("#compare").bounding_box()

    slider.click(position={"x": stage["width"] / 10, "y": stage["height"] / 2})
    share_by_mouse = shown_before(page)
    slider.press("End")
    share_by_key = shown_before(page)

    assert 0.1 == pytest.approx(share_by_mouse, abs=0.03)
    assert 1.0 == pytest.approx(share_by_key, abs=0.01)


def shown_before(page: Page) -> float:
    """Return which share of the width lies left of the cut."""
    cut, stage = (
        page.locator(selector).bounding_box() for selector in (".cut", "#compare")
    )
    share: float = (cut["x"] + cut["width"] / 2 - stage["x"]) / stage["width"]
    return share


def test_depth_is_a_dial(page: Page) -> None:
    """Choosing another depth computes again, by keyboard too."""
    upload(page, "waves.png", png(smooth_picture(HEIGHT_PX, WIDTH_PX)))
    conditions = page.locator("#picture-conditions")
    expect(conditions).to_contain_text("depth 2 on litert")

    page.locator("input[name=depth][value='2']").press("ArrowLeft")

    expect(conditions).to_contain_text("depth 1 on litert")


def test_a_photo_of_ones_own_gets_no_noise(page: Page) -> None:
    """After the noisy sample, a photo is restored as it is, its noise estimated."""
    photo = smooth_picture(HEIGHT_PX, WIDTH_PX)
    page.click("#sample-picture")
    expect(page.locator("#before-tag")).to_have_text("Before, with noise")
    expect(page.locator("#noise")).to_be_checked()

    upload(page, "waves.png", png(photo))

    expect(page.locator("#before-tag")).to_have_text("Before")
    expect(page.locator("#noise")).not_to_be_checked()
    expect(page.locator("#estimated")).to_be_checked()
    expect(page.locator("#picture-conditions")).to_contain_text(", estimated;")
    expect(page.locator("#restored-psnr")).to_be_hidden()
    shown = page.locator("#before-image").get_attribute("src")
    pixels = Image.open(io.BytesIO(base64.b64decode(shown.split(",")[1])))
    assert np.array_equal(photo, pixels)


def test_noise_level_is_given_or_estimated(page: Page) -> None:
    """The slider ends the estimate; added noise has a level that is given."""
    upload(page, "waves.png", png(smooth_picture(HEIGHT_PX, WIDTH_PX)))
    conditions = page.locator("#picture-conditions")
    expect(conditions).to_contain_text(", estimated;")

    page.fill("#sigma", "12")
    expect(conditions).to_contain_text("σ 12;")
    expect(page.locator("#estimated")).not_to_be_checked()
    page.check("#estimated")
    expect(conditions).to_contain_text(", estimated;")
    page.check("#noise")
    expect(page.locator("#estimated")).not_to_be_checked()
    expect(page.locator("#noisy-psnr")).to_contain_text(" dB")


def test_a_broken_photo_leaves_the_settings(page: Page) -> None:
    """What cannot be shown does not change how the picture on show is made."""
    page.click("#sample-picture")
    expect(page.locator("#compare")).to_be_visible()

    upload(page, "notes.txt", b"not a picture")

    expect(page.locator("#picture-message")).to_contain_text("notes.txt: ")
    expect(page.locator("#noise")).to_be_checked()
    expect(page.locator("#estimated")).not_to_be_checked()


def test_each_bundle_keeps_the_depth_that_was_chosen_for_it(
    doubling_page: Page,
) -> None:
    """Another bundle starts at its deepest, and the choice is there on return."""
    page = doubling_page
    bundle = "#picture-controls select[name=bundle]"
    chosen = page.locator("input[name=depth]:checked")
    expect(chosen).to_have_value("1")

    page.select_option(bundle, "light")
    expect(chosen).to_have_value("2")
    page.check("input[name=depth][value='1']", force=True)
    page.select_option(bundle, "double")
    page.select_option(bundle, "light")

    expect(chosen).to_have_value("1")


def test_no_picture_is_said(page: Page) -> None:
    """A file that is no picture is named; the picture on show stays."""
    upload(page, "waves.png", png(smooth_picture(HEIGHT_PX, WIDTH_PX)))
    expect(page.locator("#after-image")).to_be_visible()

    upload(page, "notes.txt", b"not a picture")

    expect(page.locator("#picture-message")).to_have_text(
        "notes.txt: not a picture that can be read; expected JPEG, PNG, BMP, TIFF or"
        " WebP"
    )
    expect(page.locator("#after-image")).to_be_visible()


def test_large_file_is_not_sent(page: Page) -> None:
    """A file beyond the limit is refused before it travels."""
    upload(page, "huge.png", bytes(5 << 19))

    expect(page.locator("#picture-message")).to_have_text(
        "huge.png: 2.5 MiB, expected at most 2 MiB. Choose a smaller file."
    )


def test_microphone_fills_the_transcript(page: Page) -> None:
    """What the microphone hears becomes text while it is being said."""
    page.click("#record")
    transcript = page.locator("#transcript")

    expect(transcript).to_have_text("a")
    expect(page.locator("#record")).to_have_attribute("aria-pressed", "true")
    expect(transcript).to_have_text("ab")
    page.click("#record")
    expect(page.locator("#speech-state")).to_have_text("Done")
    assert "ab" == text(page, "#transcript")
    assert float(text(page, "#audio-seconds").removesuffix(" s")) > 1.5
    assert 0 < float(text(page, "#realtime-factor"))


def test_recording_is_transcribed(page: Page, tmp_path: Path) -> None:
    """A chosen file is decoded, streamed and transcribed."""
    sound = write_wav(tmp_path / "tones.wav", spoken_tones(44_100), 44_100)

    page.set_input_files("#audio-file", sound)

    expect(page.locator("#speech-state")).to_have_text("Done")
    assert "ab" == text(page, "#transcript")
    assert "2.7 s" == text(page, "#audio-seconds")


def test_what_is_expected_can_be_said(page: Page, tmp_path: Path) -> None:
    """Words alone, or a grammar, which tells what is asked for."""
    sound = write_wav(tmp_path / "tones.wav", spoken_tones(44_100), 44_100)
    done = page.locator("#speech-state")

    page.select_option("#expected", "words")
    page.fill("#own-words", "b")
    page.set_input_files("#audio-file", sound)
    expect(page.locator("#transcript")).to_have_text("b")
    expect(done).to_have_text("Done")
    expect(page.locator("#transcript .intent")).to_have_count(0)

    page.select_option("#expected", "grammar")
    page.fill("#own-grammar", "#JSGF V1.0; public <order> = ab {what};")
    page.set_input_files("#audio-file", sound)
    expect(page.locator("#transcript")).to_have_text("ab order · what: ab")
    expect(done).to_have_text("Done")

    page.fill("#own-grammar", "#JSGF V1.0; public <order> = ba;")
    page.set_input_files("#audio-file", sound)
    expect(page.locator("#transcript")).to_have_text(
        "Not understood: it fits no sentence of the grammar"
    )


def test_each_utterance_is_a_line(page: Page, tmp_path: Path) -> None:
    """A recording without speech says that nothing was heard."""
    said = spoken_tones(44_100)
    pause = np.zeros(44_100, np.float32)
    sound = write_wav(tmp_path / "a.wav", np.concatenate([said, pause, said]), 44_100)
    silence = write_wav(tmp_path / "silence.wav", pause, 44_100)

    page.set_input_files("#audio-file", sound)
    expect(page.locator("#transcript p")).to_have_text(["ab", "ab"])

    page.set_input_files("#audio-file", silence)
    expect(page.locator("#transcript")).to_have_attribute(
        "data-hint", "Nothing was heard that could be written down"
    )
    expect(page.locator("#transcript p")).to_have_count(0)


@pytest.mark.parametrize(
    ("rate_hz", "samples", "expected"),
    [
        (
            5000,
            spoken_tones(5000),
            "sound.wav: 5000 Hz, expected at least 8000 Hz. Record again at a higher"
            " sample rate.",
        ),
        (
            0,
            np.zeros(0, np.float32),
            "sound.wav: not a recording that can be read. Choose WAV, FLAC, MP3, Ogg"
            " or M4A.",
        ),
    ],
    ids=["5 kHz", "no audio"],
)
def test_no_recording_is_said(
    page: Page,
    tmp_path: Path,
    rate_hz: int,
    samples: NDArray[np.float32],
    expected: str,
) -> None:
    """A file that is no audio, or holds too little of it, is named."""
    sound = tmp_path / "sound.wav"
    if rate_hz:
        write_wav(sound, samples, rate_hz)
    else:
        sound.write_bytes(b"not a recording")

    page.set_input_files("#audio-file", sound)

    expect(page.locator("#speech-message")).to_have_text(expected)


def test_latency_table_fills_when_seen(page: Page) -> None:
    """The table measures itself once it is scrolled into view."""
    assert "Measure" == page.locator("#measure").text_content()

    page.locator("#latency").scroll_into_view_if_needed()

    rows = page.locator("#latency tbody tr")
    expect(rows).to_have_count(3)
    for row in rows.all():
        expect(row.locator("td").nth(3)).to_contain_text(" ms")
    expect(page.locator("#latency-conditions")).to_contain_text("Short runs")
    expect(page.locator("#measure")).to_have_text("Measure again")


def test_sharing_report_is_shown(page: Page) -> None:
    """Each bundle's report tells its duplicate bytes and the uses of its weights."""
    report = page.locator(".report").first

    report.locator("summary").first.click()

    expect(report.locator(".zero")).to_have_text("0 B")
    expect(report.locator("details").first.locator(".uses i")).to_have_count(3)


def test_a_step_that_is_repeated_is_told(browser: Browser, served: Served) -> None:
    """Where the runtime repeats a step, its weights do not look as if used once."""

    def with_loop(route: Route) -> None:
        answer = route.fetch()
        facts = answer.json()
        model = facts["bundles"][0]["models"][0]
        model["loop"] = {
            **{"before": "head", "step": "step", "after": "tail"},
            "depths": [1, 2, 8],
        }
        model["sharing"]["weights"][0]["uses"] = 1
        route.fulfill(response=answer, json=facts)

    page = browser.new_page()
    page.route("**/facts", with_loop)
    page.goto(served.address)
    details = page.locator(".report").first.locator("details").first

    expect(details.locator("summary")).to_have_text(
        "Weights of blur.tflite: 1; its step runs up to 8 times with the same weights"
    )
    expect(details.locator(".fine")).to_have_text(
        "Uses: how many operators of the file read the weight. A picture at depth 8"
        " runs head once, step 8 times and tail once."
    )
    page.close()


def test_nothing_comes_from_elsewhere(browser: Browser, served: Served) -> None:
    """The page asks no other site for anything."""
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    page.goto(served.address)
    expect(page.locator("html")).to_have_attribute("data-ready", "yes")

    page.close()
    assert [] == [url for url in asked if not url.startswith(served.address)]
    assert len(asked) > 10


@pytest.mark.parametrize(
    ("width_px", "scheme"), [(360, "light"), (360, "dark"), (800, "dark")]
)
def test_page_fits_every_screen(
    browser: Browser, served: Served, width_px: int, scheme: str
) -> None:
    """No width makes the page scroll sideways; colours follow the system."""
    page = browser.new_page(
        color_scheme=scheme, viewport={"width": width_px, "height": 800}
    )
    page.goto(served.address)
    expect(page.locator("html")).to_have_attribute("data-ready", "yes")
    page.click("#sample-picture")
    expect(page.locator("#compare")).to_be_visible()

    needed_px = page.evaluate("document.documentElement.scrollWidth")
    theme = page.locator("html").get_attribute("data-theme")

    page.close()
    assert width_px >= needed_px
    assert scheme == theme


def test_every_control_has_a_name(page: Page) -> None:
    """Nothing that can be operated is nameless to a screen reader."""
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, select, input, a")]
            .filter(found => !found.hidden && found.type !== "file")
            .filter(found => !(found.textContent.trim() || found.ariaLabel
                || found.labels?.length))
            .map(found => found.outerHTML)"""
    )

    assert [] == nameless


def test_first_stop_skips_the_header(page: Page) -> None:
    """The first Tab reaches a link past the navigation."""
    page.keyboard.press("Tab")

    assert "Skip to the picture filter" == page.evaluate(
        "document.activeElement.textContent"
    )
