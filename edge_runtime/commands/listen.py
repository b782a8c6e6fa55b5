"""`tiedge listen`: speech to text while it is spoken."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial

from edge_runtime.bundle import Bundle
from edge_runtime.engines import FORMAT_OF_ENGINE
from edge_runtime.errors import SettingError, missing_package
from edge_runtime.options import Parser, add_engine_options, bounded
from edge_runtime.speech.options import (
    add_bundle_option,
    add_decoding_options,
    decoding_choice,
)
from edge_runtime.speech.sources import (
    RATE_HZ,
    Block,
    Waiting,
    open_microphone,
    standard_input,
)
from edge_runtime.transcriber import Event, Transcriber, open_speech, require_speech

WYOMING = "127.0.0.1:10300"
"""Home Assistant's usual port of speech to text."""
ADDRESS = re.compile(r"(?P<host>[^:\s\[\]]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")


def run(arguments: Sequence[str]) -> int:
    """Listen as the arguments say, until the sound ends or Ctrl-C."""
    options = _parser().parse_args(arguments)
    address = _address(options)
    choice = decoding_choice(options)
    bundle, engine = open_speech(
        options.bundle, options.engine, options.precision, options.threads
    )
    speech = require_speech(bundle)
    opening = choice.open(
        speech.alphabet, speech.vocabulary, options.engine, options.threads
    )
    with engine, opening as decoding:
        make = partial(Transcriber, bundle, engine, decoding=decoding)
        if address is not None:
            return _serve(*address, bundle, make)
        with _sound(options) as (rate_hz, blocks):
            _write(make(rate_hz), blocks, options.seconds, as_json=options.json)
    return 0


def _address(options: argparse.Namespace) -> tuple[str, int] | None:
    """Return where clients are served, if they are.

    Raises SettingError for an address that is none, and options that exclude others.
    """
    if options.device is not None and options.stdin:
        raise SettingError("--stdin: is heard instead of a microphone; leave --device")
    if options.device == "":
        raise SettingError("--device: is empty, expected a name or number")
    address = options.wyoming
    if address is None:
        return None
    others = ("device", "rate", "seconds", "stdin", "json")
    asked = [f"--{o}" for o in others if getattr(options, o) not in (None, False)]
    if asked:
        raise SettingError(
            f"--wyoming: clients send the sound, and get the text; leave out"
            f" {' and '.join(asked)}"
        )
    found = ADDRESS.fullmatch(address)
    if found is None or not 0 < int(found["port"]) < 2**16:
        raise SettingError(f"--wyoming {address}: expected HOST:PORT, as {WYOMING}")
    return found["host"].strip("[]"), int(found["port"])


def _serve(host: str, port: int, bundle: Bundle, make: partial[Transcriber]) -> int:
    try:
        from edge_runtime.speech.wyoming_server import serve
    except ImportError as error:
        raise missing_package("wyoming", "listen") from error

    def ready() -> None:
        print(
            f"{bundle.name}: serves Wyoming clients at tcp://{host}:{port}; Ctrl-C"
            " ends",
            file=sys.stderr,
            flush=True,
        )

    serve(bundle, make, host, port, ready)
    return 0


@contextmanager
def _sound(options: argparse.Namespace) -> Iterator[tuple[int, Iterable[Block]]]:
    if options.stdin:
        yield standard_input(options.rate)
        return
    rate_hz = RATE_HZ if options.rate is None else options.rate
    with open_microphone(options.device, rate_hz) as waiting:
        print("listening; Ctrl-C ends", file=sys.stderr, flush=True)
        yield rate_hz, waiting


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
        _tell(transcriber.finish(), as_json=as_json)
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
        line = f"{event.text}{intent}\n" if event.text else ""
        print(f"{clear}{line}", end="", flush=True)
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
    add_bundle_option(parser)
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
        help="hear standard input instead: 16-bit little-endian mono PCM, or WAV",
    )
    parser.add_argument(
        "--rate",
        type=bounded(int, 8_000, 192_000, "the rates in Hz that can be heard"),
        help="samples a second of the microphone, or of PCM from standard input;"
        f" default {RATE_HZ}",
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
