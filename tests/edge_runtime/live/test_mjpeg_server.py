"""Real clients over loopback: urllib, raw sockets, and a browser where there is one."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from edge_runtime.errors import SettingError
from edge_runtime.live import jpeg
from edge_runtime.live.mjpeg_server import MOST_CLIENTS, MjpegServer
from tests.edge_runtime.live.frames import PATIENCE_S, frame, number_of, until

CHROMIUM = shutil.which("chromium")


@pytest.fixture
def server() -> Iterator[MjpegServer]:
    with closing(MjpegServer("127.0.0.1", 0, lambda: {"text": "12 dropped"})) as found:
        yield found


def get(server: MjpegServer, path: str, **headers: str) -> Any:
    request = urllib.request.Request(server.name + path, headers=headers)
    return urllib.request.urlopen(request, timeout=PATIENCE_S)


@contextmanager
def shown(server: MjpegServer, *numbers: int) -> Iterator[None]:
    """Show frames in turn, again and again, as a run would."""
    stop = threading.Event()

    def show() -> None:
        while not stop.wait(0.01):
            for number in numbers:
                server.write(frame(number), number)

    thread = threading.Thread(target=show)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_client_gets_whole_pictures(server: MjpegServer) -> None:
    """Part by part, as browsers and OpenCV read it."""
    splitter = jpeg.JpegSplitter("client")
    found: list[int] = []

    with shown(server, 50), get(server, "stream.mjpeg") as answer:
        kind = answer.headers["Content-Type"]
        while len(found) < 3:
            for picture in splitter.feed(answer.read1()):
                found.append(number_of(jpeg.decode(picture, "client")))

    assert "multipart/x-mixed-replace; boundary=frame" == kind
    assert pytest.approx([50, 50, 50], abs=1) == found[:3]


def test_opencv_reads_the_stream(server: MjpegServer) -> None:
    """As it reads any network camera."""
    cv2 = pytest.importorskip(
        "cv2", reason="the live extra is not installed", exc_type=ImportError
    )

    with shown(server, 80):
        capture = cv2.VideoCapture(f"{server.name}stream.mjpeg", cv2.CAP_FFMPEG)
        has_picture, picture = capture.read()
        capture.release()

    assert has_picture
    assert (48, 64, 3) == picture.shape
    assert abs(number_of(picture) - 80) <= 1


def test_one_frame_can_be_asked_for(server: MjpegServer) -> None:
    """The next one that comes."""
    with shown(server, 90), get(server, "frame.jpg") as answer:
        picture = jpeg.decode(answer.read(), "client")

    assert abs(number_of(picture) - 90) <= 1


def test_figures_are_json(server: MjpegServer) -> None:
    """What the run counts, dropped frames too."""
    with get(server, "figures.json") as answer:
        assert {"text": "12 dropped"} == json.load(answer)


def test_other_sites_may_not_look_in(server: MjpegServer) -> None:
    """A foreign name that leads here is refused; no page may embed the picture."""
    for host in ("localhost:1", "LOCALHOST", "127.0.0.1", "[::1]:80"):
        with get(server, "", Host=host) as answer:
            assert "same-origin" == answer.headers["Cross-Origin-Resource-Policy"]
    for host in ("evil.example:80", "evil.example", "", "[::1"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(server, "frame.jpg", Host=host)
        assert 421 == caught.value.code
        caught.value.close()


def test_an_unknown_address_is_not_found(server: MjpegServer) -> None:
    """The answer names those that there are."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(server, "video.mp4")

    assert 404 == caught.value.code
    assert b"Not Found: expected / /live.css /live.js\n" == caught.value.read()


def test_a_client_that_leaves_is_forgotten(
    server: MjpegServer, capfd: pytest.CaptureFixture[str]
) -> None:
    """Silently; others go on."""
    board = server._server.board
    with shown(server, 50):
        for _ in range(3):
            get(server, "stream.mjpeg").close()
        until(lambda: board.n_clients == 0)
        with get(server, "frame.jpg") as answer:
            assert 200 == answer.status

    assert ("", "") == capfd.readouterr()


def test_too_many_clients_are_refused(server: MjpegServer) -> None:
    """Those who are served go on."""
    clients = [get(server, "stream.mjpeg") for _ in range(MOST_CLIENTS)]
    until(lambda: server._server.board.n_clients == MOST_CLIENTS)

    with pytest.raises(urllib.error.HTTPError) as caught:
        get(server, "stream.mjpeg")

    assert b"Service Unavailable: too many clients\n" == caught.value.read()
    for client in clients:
        client.close()


def test_a_slow_client_gets_the_newest_frame(server: MjpegServer) -> None:
    """Frames are not kept for it, and nobody waits for it."""
    with get(server, "stream.mjpeg") as answer:
        until(lambda: server._server.board.n_clients == 1)
        for number in range(200):
            server.write(frame(number % 100, 480, 640), number)
        server.write(frame(250), 200)
        splitter = jpeg.JpegSplitter("client")
        n_found, level = 0, 0
        while abs(level - 250) > 1:
            for picture in splitter.feed(answer.read1()):
                level = number_of(jpeg.decode(picture, "client"))
                n_found += 1

    assert n_found < 200


def test_a_taken_port_is_told(server: MjpegServer) -> None:
    """With the option that helps."""
    port = server._server.server_address[1]

    with pytest.raises(SettingError) as caught:
        MjpegServer("127.0.0.1", port, dict)

    assert (
        f"127.0.0.1:{port}: cannot be listened at: Address already in use; choose"
        " another --port" == str(caught.value)
    )


def test_the_end_ends_every_client() -> None:
    """A client that waits for a frame sees the end of the stream."""
    server = MjpegServer("127.0.0.1", 0, dict)
    with get(server, "stream.mjpeg") as answer:
        until(lambda: server._server.board.n_clients == 1)
        server.close()

        assert b"--frame\r\n" == answer.read()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server._server.server_address[1]))


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_shows_the_picture_and_the_figures(server: MjpegServer) -> None:
    """The page has the picture at its size and the line below, and no error."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed"
    )
    with shown(server, 200), playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text))
        page.goto(server.name, wait_until="commit")
        playwright.expect(page.locator("#figures")).to_have_text("12 dropped")
        page.wait_for_function("document.querySelector('img').naturalWidth === 64")
        middle = page.evaluate(
            "() => { const c = document.createElement('canvas').getContext('2d');"
            " c.drawImage(document.querySelector('img'), 0, 0);"
            " return c.getImageData(32, 24, 1, 1).data[1] }"
        )
        browser.close()

    assert abs(middle - 200) <= 1
    assert [] == errors
