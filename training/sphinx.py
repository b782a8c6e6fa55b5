"""PocketSphinx, which anybody can install: what transcripts are held against."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edge_runtime.errors import SettingError, missing_package
from edge_runtime.speech.grammar import Grammar, read_grammar, understand
from training.evaluation_speech import Reader, Reading
from training.sound_augmentation import to_16_bits
from training.speech import read_clip

PACKAGE = "pocketsphinx"
RATE_HZ = 16_000
"""Of its own model of American English; slower clips are brought there."""
HEADER = "#JSGF V1.0;\ngrammar words;\n"


def require() -> str:
    """Return its version; raises SettingError if it is not installed."""
    try:
        import pocketsphinx  # noqa: F401
    except ImportError as error:
        raise missing_package(PACKAGE, "evaluate") from error
    return version(PACKAGE)


def sphinx_reader(words: Sequence[str] = (), grammar: Path | None = None) -> Reader:
    """Return the reader that runs PocketSphinx with its own model and settings.

    With words it may write these alone, with a grammar sentences of it alone: it reads
    the same JSGF file.
    """
    decoder = _decoder(words, grammar)
    known = None if grammar is None else read_grammar(grammar)

    def read(path: Path) -> Reading:
        samples = to_16_bits(read_clip(path, RATE_HZ))
        began = time.perf_counter()
        decoder.start_utt()
        decoder.process_raw(samples.tobytes(), full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        text = "" if found is None else found.hypstr
        spent_s = time.perf_counter() - began
        return Reading(text, len(samples) / RATE_HZ, spent_s, _intents(known, text))

    return read


def _decoder(words: Sequence[str], grammar: Path | None) -> Any:
    from pocketsphinx import Decoder

    make: Callable[..., Any] = Decoder
    if grammar is None and not words:
        return make(samprate=RATE_HZ, loglevel="FATAL")
    decoder = make(samprate=RATE_HZ, loglevel="FATAL", lm=None)
    rule = f"{HEADER}public <word> = ({' | '.join(words)})+;"
    asked = rule if grammar is None else grammar.read_text(encoding="utf-8")
    try:
        decoder.add_jsgf_string("asked", asked)
    except RuntimeError as error:
        raise SettingError(
            "--beside: PocketSphinx refuses these words, expected words of its"
            " dictionary, in small letters"
        ) from error
    decoder.activate_search("asked")
    return decoder


def _intents(grammar: Grammar | None, text: str) -> list[dict[str, Any]]:
    intent = None if grammar is None else understand(grammar, text.split())
    return [] if intent is None else [{"name": intent.name, "slots": intent.slots}]
