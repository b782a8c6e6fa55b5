"""What `tiedge live` may be asked for, and what does not go together."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from edge_runtime.engines import FORMAT_OF_ENGINE
from edge_runtime.errors import SettingError, VideoError
from edge_runtime.files import check_regular
from edge_runtime.live.jpeg import MAX_FRAME_PX
from edge_runtime.live.mjpeg_server import HOST, PORT
from edge_runtime.live.recording import VIDEO_ENDINGS
from edge_runtime.live.streams import FORMATS
from edge_runtime.options import (
    AUTO,
    Parser,
    add_engine_options,
    add_wishes,
    bounded,
    frames_a_second,
    path,
    sigma_or_auto,
)

CAMERA_SIZE = (640, 480)
"""Width and height asked of a camera, in pixels."""
STDIN, STDOUT = 0, 1
MOST_SECONDS = 1e9

EPILOG = """\
Where the filter is late, frames are dropped, never queued: one that goes out is at most
as old as twice the slowest filter and twice the slowest output, and 20 ms for handing
it over; with --every-frame it waits its turn. Ctrl-C ends a run in order. docs/live.md
has examples.
"""


def live_parser() -> argparse.ArgumentParser:
    """Return the parser of the verb's arguments."""
    parser = Parser(
        prog="tiedge live",
        description="Filter a camera, a video or a stream as it happens; the depth"
        " follows the time there is for a frame.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "bundle", metavar="NAME", help="a ready-made bundle, or the path of one"
    )
    _add_sources(parser.add_argument_group("from where (one)"))
    _add_sinks(parser.add_argument_group("to where (one)"))
    parser.add_argument(
        "--fps",
        type=frames_a_second,
        help="frames a second to hold by the depth, and to ask of a camera; default the"
        " source's own",
    )
    parser.add_argument(
        "--sigma",
        type=sigma_or_auto,
        default=None,
        help=f"strength of the noise in units of 255; default {AUTO}: judged from the"
        " first frames, then followed",
    )
    add_wishes(parser)
    parser.add_argument(
        "--seconds",
        type=bounded(float, 0.0, MOST_SECONDS, "seconds"),
        help="end after so long",
    )
    add_engine_options(parser, FORMAT_OF_ENGINE, depth=False, seed=False)
    parser.add_argument(
        "--depth",
        type=int,
        help="how often the block runs, for every frame; default the deepest that a"
        " frame has time for",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object on stdout at the end"
    )
    return parser


def _add_sources(group: argparse._ArgumentGroup) -> None:
    one = group.add_mutually_exclusive_group()
    one.add_argument(
        "--camera",
        metavar="N",
        type=_camera,
        default="0",
        help="number or path of a camera; pi, or pi1, at a Raspberry Pi's own port;"
        " default 0",
    )
    one.add_argument(
        "--video", metavar="FILE", type=path, help="a video file, played at its pace"
    )
    one.add_argument(
        "--stdin",
        choices=FORMATS,
        help="raw RGB frames of --size, or JPEG pictures one after another",
    )
    group.add_argument(
        "--size",
        metavar="WxH",
        type=_size,
        help="of raw frames, or asked of a camera; default"
        f" {'x'.join(map(str, CAMERA_SIZE))} of a camera",
    )
    group.add_argument(
        "--loop", action="store_true", help="play the video again and again"
    )
    group.add_argument(
        "--every-frame",
        action="store_true",
        help="filter a video or stdin wholly, in the time that it takes, and drop"
        " nothing; the depth is the deepest or --depth",
    )


def _add_sinks(group: argparse._ArgumentGroup) -> None:
    one = group.add_mutually_exclusive_group()
    one.add_argument(
        "--window", action="store_true", help="a window: the default; q closes it"
    )
    one.add_argument(
        "--serve",
        action="store_true",
        help="a page with the picture, and an MJPEG stream at /stream.mjpeg",
    )
    one.add_argument(
        "--output",
        metavar="FILE",
        type=path,
        help=f"a video file: {' '.join(VIDEO_ENDINGS)}",
    )
    one.add_argument(
        "--stdout",
        choices=FORMATS,
        help="raw RGB frames, or JPEG pictures one after another",
    )
    group.add_argument(
        "--host", type=address, help=f"with --serve: address; default {HOST}"
    )
    group.add_argument(
        "--port",
        type=bounded(int, 0, 65535, "port numbers, 0 for any that is free"),
        help=f"with --serve: default {PORT}",
    )


def check_options(options: argparse.Namespace) -> None:
    """Fill in defaults; raises SettingError or VideoError for what cannot be done."""
    _check_source(options)
    _check_sink(options)
    if options.every_frame:
        if options.video is None and options.stdin is None:
            raise SettingError(
                "--every-frame: a camera does not wait; give --video or --stdin"
            )
        if options.fps is not None and options.stdin is None:
            raise SettingError("--every-frame: holds no pace; leave out --fps")


def _check_source(options: argparse.Namespace) -> None:
    if options.loop and options.video is None:
        raise SettingError("--loop: is for --video")
    if options.stdin == "raw" and options.size is None:
        raise SettingError("--stdin raw: give --size, such as --size 640x480")
    if options.stdin is not None and os.isatty(STDIN):
        raise SettingError("--stdin: is a terminal, expected a pipe or a file")
    if options.video is not None:
        check_regular(options.video, "a video", VideoError)
        try:
            options.video.stat()
        except FileNotFoundError as error:
            raise VideoError(f"{options.video}: no such file") from error
        except OSError as error:
            raise VideoError(
                f"{options.video}: cannot be read: {error.strerror}"
            ) from error
    options.size = options.size or CAMERA_SIZE


def _check_sink(options: argparse.Namespace) -> None:
    if not options.serve and (options.host or options.port) is not None:
        raise SettingError("--host, --port: are for --serve")
    options.host = HOST if options.host is None else options.host
    options.port = PORT if options.port is None else options.port
    if options.stdout is not None:
        if options.json:
            raise SettingError("--json: stdout carries the pictures; leave out one")
        if os.isatty(STDOUT):
            raise SettingError("--stdout: is a terminal, expected a pipe or a file")
    if options.output is not None:
        _check_output(options.output, options.video)


def _check_output(path: Path, video: Path | None) -> None:
    if path.suffix.lower() not in VIDEO_ENDINGS:
        raise SettingError(
            f"{path}: unknown ending {path.suffix!r}, expected one of"
            f" {' '.join(VIDEO_ENDINGS)}"
        )
    check_regular(path, "a file to write", SettingError)
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise SettingError(f"{path}: cannot be written: {error.strerror}") from error
    if os.path.samestat(found, os.fstat(STDIN) if video is None else video.stat()):
        raise SettingError(f"{path}: is the input itself, expected another file")


def address(text: str) -> str:
    """Return the address; an empty one would be all that this machine has."""
    if not text:
        raise argparse.ArgumentTypeError("is empty, expected an address")
    return text


def _camera(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("is empty, expected a number or a path")
    return text


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text)
    size = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 0 < size[0] * size[1] <= MAX_FRAME_PX:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected width and height such as 640x480, of at most"
            f" {MAX_FRAME_PX} pixels"
        )
    return size
