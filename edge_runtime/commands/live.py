"""`tiedge live`: a camera, a video or a stream through the filter, as it happens."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from edge_runtime.commands.live_options import (
    STDIN,
    STDOUT,
    check_options,
    live_parser,
)
from edge_runtime.errors import PictureError, SettingError, VideoError
from edge_runtime.image_filter import ImageFilter, open_filter
from edge_runtime.live.cameras import PI, device_of
from edge_runtime.live.mjpeg_server import MjpegServer
from edge_runtime.live.recording import Encoder, JpegFile, recording
from edge_runtime.live.restorer import Restorer
from edge_runtime.live.run import Run
from edge_runtime.live.sink import Sink
from edge_runtime.live.source import Paced, Reconnecting, Shot, Source
from edge_runtime.live.streams import JpegStream, RawStream, StreamSink
from edge_runtime.options import print_json

FPS = 30.0
"""Of a source that does not tell its rate."""
JPEG_ENDING = ".mjpeg"


def run(arguments: Sequence[str]) -> int:
    """Run as the arguments say, until something ends it."""
    options = live_parser().parse_args(arguments)
    check_options(options)
    live = Run()
    with (
        open_filter(
            options.bundle, options.engine, options.precision, options.threads
        ) as image_filter,
        closing(_source(options, live)) as source,
    ):
        result = _go(options, live, image_filter, source)
    if options.json:
        print_json(result)
    else:
        live.say(_summary(result))
    return 0


def _go(
    options: argparse.Namespace, live: Run, image_filter: ImageFilter, source: Source
) -> dict[str, Any]:
    """Return the run's result; raises what ended it, once what went out is safe."""
    fps = options.fps or source.fps or FPS
    depth = options.depth
    if options.every_frame:
        depth = image_filter.checked_depth(depth)
    restorer = Restorer(
        image_filter,
        fps,
        depth,
        options.sigma,
        strength=options.strength,
        look=options.look,
    )
    first = _first(source)
    try:
        restorer.prepare(first.pixels)
    except PictureError as error:
        raise _not_judged(source, error) from error
    with _sink(options, live, source.fps or fps) as sink:
        height, width, _ = first.pixels.shape
        live.say(
            f"{image_filter.bundle.name}: {source.name}, {width}×{height} at {fps:g}"
            f" fps, to {sink.name}; Ctrl-C ends it"
        )
        failure = live.go(
            source,
            restorer,
            sink,
            first,
            options.seconds,
            keep_all=options.every_frame,
        )
        figures = live.figures()
        if isinstance(failure, PictureError):
            failure = _not_judged(source, failure)
        if failure is not None and not figures["n_shown"]:
            raise failure  # inside: there is nothing to keep
    if failure is not None:
        raise failure
    if sink.complaint is not None:
        raise VideoError(sink.complaint)
    if options.every_frame:  # frames wait as long as it takes
        figures |= {"age_bound_ms": None, "n_over_bound": None}
    return {
        "bundle": image_filter.bundle.name,
        "engine": options.engine,
        "precision": options.precision,
        "depth": depth,
        "threads": options.threads,
        "source": source.name,
        "sink": sink.name,
        "width_px": width,
        "height_px": height,
        "fps": fps,
        **figures,
        # Those that were on their way when it ended went nowhere, too.
        "n_dropped": figures["n_captured"] - figures["n_shown"],
        "n_returns": source.n_returns if isinstance(source, Reconnecting) else 0,
    }


def _not_judged(source: Source, error: PictureError) -> VideoError:
    return VideoError(f"{source.name}: {error}; give --sigma a number")


def _first(source: Source) -> Shot:
    first = source.read()
    if first is None:
        raise VideoError(f"{source.name}: holds no frame")
    return first


def _source(options: argparse.Namespace, live: Run) -> Source:
    """Return the source that the options name, open."""
    if options.stdin == "raw":
        return RawStream(STDIN, "stdin", options.size, live.stop)
    if options.stdin == "mjpeg":
        return JpegStream(STDIN, "stdin", live.stop)
    if options.video is not None:
        video = _opencv().VideoFile(options.video, is_loop=options.loop)
        if options.every_frame:
            return video  # type: ignore[no-any-return]
        return Paced(video, video.fps or FPS, live.stop)
    return Reconnecting(partial(_camera, options), live.say, live.stop)


def _camera(options: argparse.Namespace) -> Source:
    at_port = re.fullmatch(rf"{PI}(\d{{0,2}})", options.camera)
    source: Source
    if at_port is not None:
        from edge_runtime.live.picamera import PiCamera

        source = PiCamera(int(at_port[1] or 0), options.size, options.fps)
    else:
        device = device_of(options.camera)
        source = _opencv().Camera(device, options.size, options.fps)
    return source


def _sink(
    options: argparse.Namespace, live: Run, fps: float
) -> AbstractContextManager[Sink]:
    """Return the sink that the options name, to be used in a `with`.

    `fps` is the rate at which frames come, and at which a recording is played.
    """
    if options.output is not None:
        return recording(options.output, partial(_encoder, fps))
    if options.stdout is not None:
        return closing(StreamSink(STDOUT, "stdout", options.stdout, live.stop))
    if options.serve:
        return closing(MjpegServer(options.host, options.port, live.page_figures))
    return closing(_opencv().Window())


def _encoder(fps: float, path: Path, size: tuple[int, int]) -> Encoder:
    if path.suffix.lower() == JPEG_ENDING:
        return JpegFile(path)
    encoder: Encoder = _opencv().VideoEncoder(path, fps, size)
    return encoder


def _opencv() -> ModuleType:
    """Return our adapter for OpenCV; what it lacks on a bare system is told."""
    try:
        from edge_runtime.live import opencv
    except ModuleNotFoundError:
        raise
    except ImportError as error:
        raise SettingError(
            f"OpenCV cannot be loaded: {error}; on Debian: sudo apt install libgl1"
            " libglib2.0-0"
        ) from error
    return opencv


def _summary(result: dict[str, Any]) -> str:
    age, depths = result["age_ms"], result["frames_by_depth"]
    shares = ", ".join(
        f"{depth} ({n / sum(depths.values()):.0%})" for depth, n in depths.items()
    )
    return (
        f"{result['seconds']:.1f} s: {result['n_captured']} frames in,"
        f" {result['n_shown']} shown, {result['n_dropped']} dropped,"
        f" {result['fps_shown']:.1f} fps; depth {shares or '–'}; age of a frame p50"
        f" {_ms(age['p50'])}, p99 {_ms(age['p99'])}, longest {_ms(age['longest'])} ms"
        f"{_bound(result['age_bound_ms'])}"
    )


def _bound(bound_ms: float | None) -> str:
    if bound_ms is None:
        return ""
    return f" (bound {bound_ms:.0f} ms: twice the slowest filter and output, and 20 ms)"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"
