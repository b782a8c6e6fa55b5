"""`tiedge listen`: speech to text while it is spoken."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial

from edge_runtime.bundle import Bundle
from edge_runtime.engines import FORMAT_OF_ENGINE
from edge_runtime.errors import SettingError, missing_package
from edge_runtime.options import Parser, add_engine_options, bounded, name_or_path
from edge_runtime.speech.options import DecodingChoice, add_decoding_options
from edge_runtime.speech.sources import Block, Waiting, open_microphone, standard_input
from edge_runtime.transcriber import Event, Transcriber, open_speech, require_speech

RATE_HZ = 16_000
WYOMING = "127.0.0.1:10300"
"""Home Assistant's usual port of speech to text."""


def run(arguments: Sequence[str]) -> int:
    """Listen as the arguments say, until the sound ends or Ctrl-C."""
    options = _parser().parse_args(arguments)
    if options.wyoming is not None and (options.stdin or options.device is not None):
        raise SettingError("--wyoming: clients send the sound; leave out the others")
    choice = DecodingChoice.of(options)
    bundle, engine = open_speech(
        options.bundle, options.engine, options.precision, options.threads
    )
    speech = require_speech(bundle)
    opening = choice.open(
        speech.alphabet, speech.vocabulary, options.engine, options.threads
    )
    with engine, opening as decoding:
        make = partial(Transcriber, bundle, engine, decoding=decoding)
        if options.wyoming is not None:
            return _serve(options.wyoming, bundle, make)
        with _sound(options) as blocks:
            _write(make(options.rate), blocks, options.seconds, as_json=options.json)
    return 0


def _serve(address: str, bundle: Bundle, make: partial[Transcriber]) -> int:
    try:
        from edge_runtime.speech.wyoming_server import serve
    except ImportError as error:
        raise missing_package("wyoming", "listen") from error
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise SettingError(f"--wyoming {address}: expected HOST:PORT, {WYOMING}")

    def ready() -> None:
        print(
            f"{bundle.name}: serves Wyoming clients at tcp://{address}; Ctrl-C ends",
            file=sys.stderr,
            flush=True,
        )

    serve(bundle, make, host, int(port), ready)
    return 0


@contextmanager
def _sound(options: argparse.Namespace) -> Iterator[Iterable[Block]]:
    if options.stdin:
        yield standard_input(options.rate)
        return
    with open_microphone(options.device, options.rate) as waiting:
        print("listening; Ctrl-C ends", file=sys.stderr, flush=True)
        yield waiting


def _write(
    transcriber: Transcriber,
    blocks: Iterable[Block],
    seconds: float | None,
    *,
    as_json: bool,
) -> None:
    """Write what is said, and what was lost, until the sound ends."""
    heard_s, told_s = 0.0, 0.0
    try:
        for block in blocks:
            for event in transcriber.feed(block):
                _tell(event, as_json=as_json)
            heard_s += len(block) / transcriber.sample_rate_hz
            if isinstance(blocks, Waiting) and blocks.lost_s >= told_s + 1.0:
                told_s = blocks.lost_s
                _say_lost(told_s)
            if seconds is not None and heard_s >= seconds:
                break
    finally:  # Ctrl-C ends what is being said, too
        last = transcriber.finish()
        if last.text or as_json:
            _tell(last, as_json=as_json)
        if isinstance(blocks, Waiting) and blocks.lost_s > told_s:
            _say_lost(blocks.lost_s)


def _tell(event: Event, *, as_json: bool) -> None:
    """Write a final line on stdout; a partial one on a terminal, to be replaced."""
    if as_json:
        print(json.dumps(asdict(event)), flush=True)
        return
    on_terminal = sys.stdout.isatty()
    if event.kind == "final":
        intent = "" if event.intent is None else f"\t{json.dumps(asdict(event.intent))}"
        clear = "\r\x1b[K" if on_terminal else ""
        print(f"{clear}{event.text}{intent}", flush=True)
    elif on_terminal:
        print(f"\r\x1b[K{event.text} …", end="", flush=True)


def _say_lost(lost_s: float) -> None:
    print(
        f"tiedge listen: {lost_s:.1f} s of sound were lost so far: this machine is too"
        " slow, or busy; try --language-model none",
        file=sys.stderr,
        flush=True,
    )


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="tiedge listen",
        description="Write down what is said while it is said: a line for each"
        " utterance that a pause ends.",
    )
    parser.add_argument(
        "--bundle",
        type=name_or_path,
        default="digits",
        metavar="NAME",
        help="a ready-made bundle, or the path of one; default digits",
    )
    add_decoding_options(parser)
    add_engine_options(parser, FORMAT_OF_ENGINE, depth=False, seed=False)
    parser.add_argument(
        "--device",
        metavar="NAME",
        help="the microphone, by name or number; default the system's",
    )
    parser.add_argument(
        "--stdin",
        action="store_true",
        help="hear 16-bit little-endian mono PCM from standard input instead",
    )
    parser.add_argument(
        "--rate",
        type=bounded(int, 8_000, 192_000, "the rates in Hz that can be heard"),
        default=RATE_HZ,
        help=f"samples a second of either; default {RATE_HZ}",
    )
    parser.add_argument(
        "--seconds",
        type=bounded(float, 0.0, 1e9, "seconds"),
        help="end after so much sound",
    )
    parser.add_argument(
        "--wyoming",
        nargs="?",
        const=WYOMING,
        metavar="HOST:PORT",
        help="serve speech to text to Home Assistant and others that speak Wyoming;"
        f" default {WYOMING}",
    )
    parser.add_argument(
        "--json", action="store_true", help="print each event as a line of JSON"
    )
    return parser
