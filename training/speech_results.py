"""What of speech is written down right: rows of results/speech.json.

Each set of recordings that no training saw, by each way of decoding that it is meant
for, in fp32 and int8, given whole and in pieces of 10 ms; PocketSphinx beside it on the
same clips.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.decoder import Decoding
from edge_runtime.engine import Engine
from edge_runtime.speech.grammar import read_grammar, word_loop
from edge_runtime.speech.language_model import open_language_model
from edge_runtime.speech.options import GRAMMARS
from edge_runtime.transcriber import Transcriber, open_speech
from training import sphinx
from training.data import data_folder
from training.evaluation_speech import (
    LABELS_FILE,
    Reader,
    Reading,
    evaluate_intents,
    evaluate_speech,
)
from training.result_rows import ENGINE, PRECISION, THREADS, Row
from training.speech import read_clip, read_table

GREEDY, SEARCH, WORDS, GRAMMAR = "greedy", "beam, language model", "words", "grammar"
PRECISIONS = ("fp32", PRECISION)
RATE_HZ = 16_000
PIECE_S = 0.01
N_DRAWS = 1000
"""Of clips, with replacement, for an interval."""
INTERVAL = (2.5, 97.5)
"""Percentiles of what the draws give."""
COFFEE = GRAMMARS / "coffee.gram"


@dataclass(frozen=True)
class Test:
    """Recordings, and the ways to decode them."""

    name: str
    folder: str
    where: tuple[tuple[str, str], ...]
    decodings: tuple[str, ...]


TESTS = (
    Test(
        "speechocean762 test",
        "speech/speechocean762",
        (("split", "test"),),
        (GREEDY, SEARCH),
    ),
    Test(
        "wuw-corpus-ii test, sentences",
        "speech/wuw-corpus-ii",
        (("split", "test"), ("kind", "sentence")),
        (GREEDY, SEARCH),
    ),
    Test(
        "wuw-corpus-ii test, keywords",
        "speech/wuw-corpus-ii",
        (("split", "test"), ("kind", "keyword")),
        (WORDS,),
    ),
    Test(
        "speechocean762 test, to be rejected",
        "speech/speechocean762",
        (("split", "test"),),
        (GRAMMAR,),
    ),
    Test("speech-to-intent", "speech/picovoice-speech-to-intent", (), (GRAMMAR,)),
)


def speech_rows(
    transcribe: str, lm: str, say: Callable[[str], None] = print
) -> Iterator[Row]:
    """Yield a row for each test, decoding, precision and cutting, and for the peer."""
    version = sphinx.require()
    for test in TESTS:
        for name in test.decodings:
            for precision in PRECISIONS:
                yield from _own_rows(test, name, precision, transcribe, lm, say)
            if name != GREEDY:
                peer = sphinx.sphinx_reader(*_peer_task(test, name))
                row = _scored(test, peer)
                yield {
                    "data": test.name,
                    "decoding": name,
                    "engine": "PocketSphinx",
                    "engine_version": version,
                    "precision": None,
                    "cut": "whole",
                    **row,
                }
                say(f"{test.name}, {name}, PocketSphinx: {row}")


def _own_rows(
    test: Test,
    name: str,
    precision: str,
    transcribe: str,
    lm: str,
    say: Callable[[str], None],
) -> Iterator[Row]:
    bundle, engine = open_speech(transcribe, ENGINE, precision, THREADS)
    with engine:
        for cut, piece_s in (("whole", None), ("pieces of 10 ms", PIECE_S)):
            if name == SEARCH:
                model = open_language_model(lm, ENGINE, PRECISION, THREADS)
                with model.engine:
                    decoding = Decoding(language_model=model)
                    row = _scored(test, _reader(bundle, engine, decoding, piece_s))
            else:
                decoding = _decoding(test, name)
                row = _scored(test, _reader(bundle, engine, decoding, piece_s))
            say(f"{test.name}, {name}, {precision}, {cut}: {row}")
            yield {
                "data": test.name,
                "decoding": name,
                "bundle": bundle.name,
                "engine": ENGINE,
                "engine_version": engine.version,
                "precision": precision,
                "threads": THREADS,
                "cut": cut,
                **row,
            }


def _decoding(test: Test, name: str) -> Decoding:
    if name == WORDS:
        return Decoding(word_loop(_words(test)))
    if name == GRAMMAR:
        return Decoding(read_grammar(COFFEE))
    return Decoding()


def _peer_task(test: Test, name: str) -> tuple[Sequence[str], Path | None]:
    """Return the words or the grammar that PocketSphinx gets."""
    return (_words(test) if name == WORDS else ()), (
        COFFEE if name == GRAMMAR else None
    )


def _words(test: Test) -> list[str]:
    """Return the words of a test, its list of keywords."""
    clips = read_table(data_folder() / test.folder, test.where).utterances
    return sorted({word for clip in clips for word in clip.text.split()})


def _scored(test: Test, reader: Reader) -> Row:
    """Return a test's figures by a reader."""
    folder = data_folder() / test.folder
    if (folder / LABELS_FILE).exists():
        found = evaluate_intents(reader, folder / LABELS_FILE)
        return {
            **_some(found, "n_utterances", "n_right", "accuracy", "n_rejected", "rtf"),
            "accuracy_interval": interval(
                [(1 - row["n_errors"], 1) for row in found["rows"]]
            ),
        }
    found = evaluate_speech(reader, folder, test.where)
    counts = [(row["n_errors"], len(row["expected"].split())) for row in found["rows"]]
    kept = _some(found, "n_utterances", "n_words", "n_errors", "wer", "cer", "rtf")
    return {
        **kept,
        "wer_interval": interval(counts),
        "n_understood": found["n_understood"],
    }


def interval(counts: Sequence[tuple[int, int]]) -> list[float]:
    """Return the 95 % interval of a quotient of sums, by drawing clips (bootstrap).

    `counts` are a clip's errors and words, say. Efron, "Bootstrap methods: another look
    at the jackknife", 1979.
    """
    rng = np.random.default_rng(0)
    table = np.array(counts, np.float64)
    drawn = rng.integers(len(table), size=(N_DRAWS, len(table)))
    sums = table[drawn].sum(axis=1)
    return [float(v) for v in np.percentile(sums[:, 0] / sums[:, 1], INTERVAL)]


def _reader(
    bundle: Bundle, engine: Engine, decoding: Decoding, piece_s: float | None
) -> Reader:
    """Return the reader that gives a clip whole, or in pieces of so many seconds."""
    transcriber = Transcriber(bundle, engine, RATE_HZ, decoding=decoding)

    def read(path: Path) -> Reading:
        samples = read_clip(path, RATE_HZ)
        n_piece = len(samples) if piece_s is None else round(piece_s * RATE_HZ)
        transcriber.reset()
        began = time.perf_counter()
        events = [
            event
            for first in range(0, len(samples), n_piece)
            for event in transcriber.feed(samples[first : first + n_piece])
        ]
        events.append(transcriber.finish())
        spent_s = time.perf_counter() - began
        finals = [event for event in events if event.kind == "final" and event.text]
        return Reading(
            " ".join(event.text for event in finals),
            len(samples) / RATE_HZ,
            spent_s,
            [
                {"name": event.intent.name, "slots": event.intent.slots}
                for event in finals
                if event.intent is not None
            ],
        )

    return read


def _some(found: Mapping[str, Any], *keys: str) -> Row:
    return {key: found[key] for key in keys}
