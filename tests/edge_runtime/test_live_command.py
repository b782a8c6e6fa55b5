"""`tiedge live` as a user runs it: pipes, signals, files, and what it says."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from edge_runtime.errors import missing_package
from edge_runtime.live import jpeg
from tests.demo_app.hand_made_bundles import blur_bundle
from tests.edge_runtime.live.frames import frame, mjpeg, number_of

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
SIZE = "64x48"


@pytest.fixture(scope="module")
def blur(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of a bundle that leaves plain pictures as they are."""
    return str(blur_bundle(tmp_path_factory.mktemp("bundles")))


def command(*words: str | Path, sigma: str = "0") -> list[str]:
    python = [sys.executable, "-m", "tiedge", "live", *map(str, words)]
    return [*python, "--precision", "fp32", "--sigma", sigma]


def call(
    *words: str | Path, stdin: bytes | None = None, sigma: str = "0"
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*words, sigma=sigma),
        cwd=ROOT,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )


@contextmanager
def started(*words: str | Path, **streams: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run it beside the test; it is killed if the test leaves it."""
    process = subprocess.Popen(
        command(*words), cwd=ROOT, stderr=subprocess.PIPE, **streams
    )
    try:
        yield process
    finally:
        process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.wait(PATIENCE_S)


def line(stream: IO[bytes] | None) -> str:
    assert stream is not None
    return stream.readline().decode()


def refused(*words: str | Path, stdin: bytes = b"", sigma: str = "0") -> str:
    """Return the one line of a failure, which leaves stdout empty."""
    done = call(*words, stdin=stdin, sigma=sigma)
    said = done.stderr.decode().splitlines()
    assert (1, b"") == (done.returncode, done.stdout)
    assert said[-1].startswith("tiedge live: ")
    assert "Traceback" not in done.stderr.decode()
    return said[-1].removeprefix("tiedge live: ")


def test_the_closing_line_has_whole_milliseconds(blur: str, tmp_path: Path) -> None:
    """And says what bounds a frame's age; where every frame waits, nothing does."""
    words = (blur, "--stdin", "mjpeg", "--output", tmp_path / "a.mjpeg")

    dropping, waiting = (
        call(*words, *more, stdin=mjpeg(10, 20)).stderr.decode().splitlines()[-1]
        for more in ((), ("--every-frame",))
    )

    ages = r".*; age of a frame p50 \d+, p99 \d+, longest \d+ ms"
    bound = r" \(bound \d+ ms: twice the slowest filter and output, and 20 ms\)"
    assert re.fullmatch(ages + bound, dropping)
    assert re.fullmatch(ages, waiting)


def test_every_frame_of_a_pipe_goes_through(blur: str) -> None:
    """Raw frames in, the same frames out: a plain picture stays as it is."""
    frames = np.stack([frame(number) for number in range(20)])

    done = call(
        *(blur, "--stdin", "raw", "--size", SIZE, "--stdout", "raw", "--every-frame"),
        stdin=frames.tobytes(),
    )

    assert 0 == done.returncode, done.stderr.decode()
    np.testing.assert_array_equal(
        frames, np.frombuffer(done.stdout, np.uint8).reshape(frames.shape)
    )


def test_jpeg_comes_in_and_goes_out(blur: str) -> None:
    """Without OpenCV, as on the plain device install."""
    done = call(
        *(blur, "--stdin", "mjpeg", "--stdout", "mjpeg", "--every-frame"),
        stdin=mjpeg(10, 120, 230),
    )

    pictures = jpeg.JpegSplitter("stdout").feed(done.stdout)
    levels = [number_of(jpeg.decode(picture, "stdout")) for picture in pictures]
    assert pytest.approx([10, 120, 230], abs=2) == levels


def test_opencv_is_not_imported_where_it_is_not_needed(blur: str) -> None:
    """Neither for pipes nor for the page."""
    code = (
        "import sys, tiedge; status = tiedge.main(sys.argv[1:]);"
        "print('cv2' in sys.modules, status)"
    )
    words = command(blur, "--stdin", "mjpeg", "--serve", "--port", "0")[3:]

    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        input=mjpeg(1),
        capture_output=True,
        timeout=PATIENCE_S,
        check=True,
    )

    assert b"False 0\n" == done.stdout


def test_json_is_one_object(blur: str, tmp_path: Path) -> None:
    """All frames are counted: shown, or dropped."""
    target = tmp_path / "a.mjpeg"

    done = call(
        *(blur, "--stdin", "mjpeg", "--output", target, "--json"),
        stdin=mjpeg(*range(100, 130)),
    )

    result = json.loads(done.stdout)
    assert 0 == done.returncode
    assert 30 == result["n_captured"] == result["n_shown"] + result["n_dropped"]
    assert 0 < result["n_shown"] <= sum(result["frames_by_depth"].values())
    assert target.stat().st_size > 0
    expected = {
        "bundle": "blur",
        "engine": "litert",
        "precision": "fp32",
        "depth": None,
        "threads": 1,
        "source": "stdin",
        "sink": str(target),
        "width_px": 64,
        "height_px": 48,
        "fps": 30.0,
        "sigma": 0.0,
        "n_returns": 0,
    }
    assert expected == {key: result[key] for key in expected}
    assert {"p50", "p99", "longest"} == set(result["age_ms"])
    assert result["n_over_bound"] <= result["n_shown"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(blur: str, tmp_path: Path, number: int) -> None:
    """At once, though frames come no more; the file is whole."""
    target = tmp_path / "a.mjpeg"
    with started(
        *(blur, "--stdin", "mjpeg", "--output", target, "--json"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(mjpeg(100))
        process.stdin.flush()
        assert "; Ctrl-C ends it" in line(process.stderr)
        while not any(path.stat().st_size for path in tmp_path.iterdir()):
            # The file's own buffer: frames until some of it is on the disk.
            process.stdin.write(mjpeg(*[100] * 30))
            process.stdin.flush()
            time.sleep(0.05)
        began_s = time.monotonic()
        process.send_signal(number)
        status = process.wait(PATIENCE_S)
        took_s = time.monotonic() - began_s
        assert process.stdout is not None
        result = json.load(process.stdout)

    splitter = jpeg.JpegSplitter("file")
    assert 0 == status
    assert took_s < 10  # about a tenth of a second where nothing else runs
    assert result["n_shown"] == len(list(splitter.feed(target.read_bytes())))
    assert not splitter.is_inside
    assert [target] == list(tmp_path.iterdir())


def test_the_page_shows_what_comes(blur: str) -> None:
    """At the address that the first line tells."""
    with started(
        *(blur, "--stdin", "mjpeg", "--serve", "--port", "0"), stdin=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.write(mjpeg(100))
        process.stdin.flush()
        said = line(process.stderr)
        address = re.search(r"http://127\.0\.0\.1:\d+/", said)
        assert address is not None, said
        figures = urllib.request.urlopen(f"{address[0]}figures.json", timeout=10)
        with figures:
            assert {"n_dropped", "text", "age_ms"} <= json.load(figures).keys()
        process.stdin.close()
        process.stdin = None
        assert 0 == process.wait(PATIENCE_S)


def test_a_reader_that_leaves_ends_it(blur: str) -> None:
    """One line says that nobody reads any more; status 1."""
    with started(
        *(blur, "--stdin", "mjpeg", "--stdout", "mjpeg", "--every-frame"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.close()
        process.stdout = None
        with pytest.raises(BrokenPipeError):
            while True:
                process.stdin.write(mjpeg(*[100] * 30))
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.stdin = None
        assert 1 == process.wait(PATIENCE_S)
        assert process.stderr is not None
        assert "; Ctrl-C ends it" in line(process.stderr)
        assert "tiedge live: stdout: its reader has gone\n" == line(process.stderr)
        assert "" == line(process.stderr)


def test_a_full_disk_is_one_line(blur: str) -> None:
    """Where stdout goes to a device that is full."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command(blur, "--stdin", "mjpeg", "--stdout", "mjpeg", "--every-frame"),
            cwd=ROOT,
            input=mjpeg(1),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=PATIENCE_S,
            check=False,
        )

    assert 1 == done.returncode
    assert (
        b"tiedge live: cannot write: No space left on device"
        == done.stderr.splitlines()[-1]
    )


def test_what_was_recorded_before_a_failure_is_kept(blur: str, tmp_path: Path) -> None:
    """The stream ends inside a picture: that is told, the frames before are there."""
    target = tmp_path / "a.mjpeg"

    found = refused(
        *(blur, "--stdin", "mjpeg", "--every-frame", "--output", target),
        stdin=mjpeg(10, 20) + mjpeg(30)[:-20],
    )

    assert "stdin: ends within a JPEG picture" == found
    assert 2 == len(list(jpeg.JpegSplitter("file").feed(target.read_bytes())))


def test_a_reset_stream_leaves_what_was_recorded(blur: str, tmp_path: Path) -> None:
    """It is told of stdin, not of the file."""
    target = tmp_path / "a.mjpeg"
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    words = (blur, "--stdin", "mjpeg", "--every-frame", "--output", target)
    with started(*words, stdin=ours.fileno()) as process:
        ours.close()
        rng = np.random.default_rng(0)  # noise fills the file's buffer
        noise = jpeg.encode(rng.integers(0, 256, (200, 200, 3), np.uint8))
        theirs.sendall(2 * noise)
        assert "; Ctrl-C ends it" in line(process.stderr)
        until_s = time.monotonic() + PATIENCE_S
        while not any(path.stat().st_size for path in tmp_path.iterdir()):
            assert time.monotonic() < until_s
            time.sleep(0.05)
        at_once = struct.pack("ii", 1, 0)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        theirs.close()
        assert 1 == process.wait(PATIENCE_S)
        assert process.stderr is not None
        said = process.stderr.read().decode().splitlines()

    assert "tiedge live: stdin: cannot be read: Connection reset by peer" == said[-1]
    assert [] != list(jpeg.JpegSplitter("file").feed(target.read_bytes()))


def test_a_frame_too_small_to_be_judged_is_told_of_its_source(
    blur: str, tmp_path: Path
) -> None:
    """The frames before it are there."""
    target = tmp_path / "a.mjpeg"

    found = refused(
        *(blur, "--stdin", "mjpeg", "--every-frame", "--output", target),
        stdin=mjpeg(10) + jpeg.encode(frame(20, 2, 9)),
        sigma="auto",
    )

    assert (
        "stdin: picture: 9×2 pixels are too few to judge the noise, expected at least"
        " 3×3; give --sigma a number" == found
    )
    assert 1 == len(list(jpeg.JpegSplitter("file").feed(target.read_bytes())))


def test_an_empty_stream_is_told(blur: str, tmp_path: Path) -> None:
    """And leaves no file."""
    target = tmp_path / "a.mjpeg"

    assert "stdin: holds no frame" == refused(
        blur, "--stdin", "mjpeg", "--output", target
    )
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["--stdin", "raw"],
            "--stdin raw: give --size, such as --size 640x480",
        ),
        (
            ["--stdin", "raw", "--size", "0x4"],
            "argument --size: found '0x4', expected width and height such as 640x480,"
            " of at most 20000000 pixels; see tiedge live --help",
        ),
        (
            ["--camera", ""],
            "argument --camera: is empty, expected a number or a path; see tiedge live"
            " --help",
        ),
        (["--stdin", "mjpeg", "--loop"], "--loop: is for --video"),
        (
            ["--camera", "0", "--every-frame"],
            "--every-frame: a camera does not wait; give --video or --stdin",
        ),
        (
            ["--stdin", "mjpeg", "--stdout", "raw", "--json"],
            "--json: stdout carries the pictures; leave out one",
        ),
        (["--stdin", "mjpeg", "--port", "80"], "--host, --port: are for --serve"),
        (
            ["--stdin", "mjpeg", "--output", "a.gif"],
            "a.gif: unknown ending '.gif', expected one of .avi .mkv .mp4 .mjpeg",
        ),
        (["--video", "/no/such.mp4"], "/no/such.mp4: no such file"),
        (["--video", "/"], "/: is a folder, expected a video"),
        (
            ["--stdin", "mjpeg", "--output", "/dev/null.mjpeg/a.mjpeg", "--fps", "0"],
            "argument --fps: found 0, expected 0.1 to 240.0, frames a second; see"
            " tiedge live --help",
        ),
        (["--stdin", "mjpeg", "--depth", "3"], "blur: depth is 3, expected one of 1 2"),
    ],
)
def test_a_wrong_option_is_one_line(blur: str, words: list[str], expected: str) -> None:
    """With the way out."""
    assert expected == refused(blur, *words, stdin=mjpeg(1))


def test_a_video_is_not_overwritten_by_itself(blur: str, tmp_path: Path) -> None:
    """Under another name neither."""
    path, link = tmp_path / "a.avi", tmp_path / "b.avi"
    path.write_bytes(b"video")
    link.symlink_to(path)

    assert f"{link}: is the input itself, expected another file" == refused(
        blur, "--video", path, "--output", link
    )


class TestWithOpenCv:
    """What needs the live extra."""

    @pytest.fixture(autouse=True)
    def _opencv(self) -> None:
        pytest.importorskip(
            "cv2", reason="the live extra is not installed", exc_type=ImportError
        )

    @pytest.fixture
    def video(self, tmp_path: Path) -> Path:
        """Two seconds at 25 frames a second."""
        from edge_runtime.live.opencv import VideoEncoder

        path = tmp_path / "in.avi"
        encoder = VideoEncoder(path, 25.0, (64, 48))
        for number in range(50):
            encoder.write(frame(4 * number))
        encoder.close()
        return path

    def test_a_video_is_played_at_its_pace(self, blur: str, video: Path) -> None:
        """Two seconds of video take two seconds, and keep their length in the file."""
        from edge_runtime.live.opencv import VideoFile

        target = video.with_name("out.avi")

        done = call(blur, "--video", video, "--output", target, "--json", "--fps", "5")

        result = json.loads(done.stdout)
        assert 1.9 <= result["seconds"]
        assert 5.0 == result["fps"]
        assert 50 == result["n_captured"]
        recorded = VideoFile(target)
        n_recorded = 0
        while recorded.read() is not None:
            n_recorded += 1
        assert (50, 25.0) == (n_recorded, recorded.fps)

    def test_a_video_is_filtered_wholly(self, blur: str, video: Path) -> None:
        """Every frame, at the deepest depth, in whatever time."""
        done = call(
            *(blur, "--video", video, "--every-frame", "--json"),
            *("--output", video.with_name("out.mp4")),
        )

        result = json.loads(done.stdout)
        assert (2, 50, 50, 0) == (
            result["depth"],
            result["n_captured"],
            result["n_shown"],
            result["n_dropped"],
        )

    def test_why_nothing_was_recorded_is_told(self, blur: str, tmp_path: Path) -> None:
        """No video has frames of one pixel: that came before the lack of frames."""
        assert ".mp4: OpenCV cannot write 1×1 at 30 fps so; name a .mjpeg" == refused(
            *(blur, "--stdin", "raw", "--size", "1x1", "--every-frame"),
            *("--output", tmp_path / "a.mp4"),
            stdin=bytes(15),
        )
        assert [] == list(tmp_path.iterdir())

    def test_it_ends_after_its_seconds(self, blur: str, video: Path) -> None:
        """A video that is played again and again goes on until then."""
        done = call(
            *(blur, "--video", video, "--loop", "--seconds", "3", "--json"),
            *("--output", video.with_name("out.mjpeg")),
        )

        assert 3 <= json.loads(done.stdout)["seconds"]

    def test_a_missing_camera_is_one_line(self, blur: str) -> None:
        """It lists those that there are."""
        assert re.fullmatch(
            "/dev/video97: no such camera, found .*",
            refused(blur, "--camera", "97", "--serve", "--port", "0"),
        )

    def test_a_name_longer_than_names_can_be_is_one_line(self, blur: str) -> None:
        """What the system says of it."""
        name = f"pi{5000 * '1'}"

        assert f"{name}: cannot be opened: File name too long" == refused(
            blur, "--camera", name
        )


def test_without_opencv_the_extra_is_named(blur: str, tmp_path: Path) -> None:
    """In one line."""
    (tmp_path / "a.mp4").touch()
    code = (
        "import sys, tiedge; sys.modules['cv2'] = None;"
        "sys.exit(tiedge.main(sys.argv[1:]))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, *command(blur, "--video", tmp_path / "a.mp4")[3:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert f"tiedge live: {missing_package('cv2', 'live')}\n" == done.stderr
    assert 1 == done.returncode


def test_without_picamera2_debians_package_is_named(blur: str) -> None:
    """Where there is no Raspberry Pi, there is none."""
    if os.path.exists("/usr/lib/python3/dist-packages/picamera2"):  # noqa: PTH110
        pytest.skip("picamera2 is installed")

    assert (
        "picamera2 is not installed; on a Raspberry Pi run: sudo apt install"
        " python3-picamera2, and make the environment by python3 -m venv"
        " --system-site-packages" == refused(blur, "--camera", "pi")
    )
