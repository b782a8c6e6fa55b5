"""How soon words are written down: rows of results/speech_latency.json.

Recorded keywords, of which it is known when they end, come in pieces of 10 ms, as from
a microphone; an event counts from the moment when its sound was there and computed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bench import percentile
from edge_runtime.decoder import Decoding
from edge_runtime.errors import DataError
from edge_runtime.speech.endpoint import EndpointSettings
from edge_runtime.speech.grammar import word_loop
from edge_runtime.speech.language_model import open_language_model
from edge_runtime.transcriber import Transcriber, open_speech
from training.data import data_folder
from training.result_rows import ENGINE, PRECISION, THREADS, Row
from training.speech import read_clip, read_table
from training.speech_tables import GREEDY, SEARCH, WORDS

if TYPE_CHECKING:
    from training.results import Setup

RATE_HZ = 16_000
PIECE_S = 0.01
BEFORE_S, BEHIND_S = 0.5, 2.0
"""Of silence around a clip; noise of the line goes on behind the word in the clip."""
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


@dataclass(frozen=True)
class Spoken:
    """A clip with one word."""

    samples: NDArray[np.float32]
    """At RATE_HZ, (S,), silence around it."""
    word: str
    end_s: float
    """When the word ends."""


@dataclass(frozen=True)
class Delays:
    """What came of one clip, in milliseconds."""

    first_partial: float | None
    """From the word's end to the first text; None where there was none."""
    final: float | None
    """From the word's end to the text that no longer changes."""
    chunks: tuple[float, ...]
    """Computing time of each step."""


def latency_rows(setup: Setup) -> Iterator[Row]:
    """Yield a row for each way of decoding."""
    spoken = list(read_keywords(data_folder() / setup.keywords))
    words = sorted({clip.word for clip in spoken})
    model = open_language_model(setup.lm, ENGINE, PRECISION, THREADS)
    with model.engine:
        for name, decoding in (
            (GREEDY, Decoding()),
            (SEARCH, Decoding(language_model=model)),
            (WORDS, Decoding(word_loop(words))),
        ):
            bundle, engine = open_speech(setup.transcribe, ENGINE, PRECISION, THREADS)
            with Transcriber(bundle, engine, RATE_HZ, decoding=decoding) as transcriber:
                found = [measure(transcriber, clip) for clip in spoken]
            yield {
                "bundle": bundle.name,
                "engine": ENGINE,
                "engine_version": engine.version,
                "precision": PRECISION,
                "threads": THREADS,
                "decoding": name,
                "n_clips": len(found),
                "pause_ms": EndpointSettings().pause_s * 1000,
                **_summary("first_partial", [delays.first_partial for delays in found]),
                **_summary("final", [delays.final for delays in found]),
                **_summary("chunk", [ms for delays in found for ms in delays.chunks]),
            }


def read_keywords(folder: Path) -> Iterator[Spoken]:
    """Yield the test clips that hold one keyword, and when it ends.

    Raises DataError for a table that does not tell.
    """
    before, behind = round(BEFORE_S * RATE_HZ), round(BEHIND_S * RATE_HZ)
    for clip in read_table(folder, [("split", "test"), ("kind", "keyword")]).utterances:
        try:
            end_s = float(clip.columns["kw_end"])
        except (KeyError, ValueError) as error:
            raise DataError(
                f"{folder}: {clip.path.name}: no number in column kw_end"
            ) from error
        samples = np.pad(read_clip(clip.path, RATE_HZ), (before, behind))
        yield Spoken(samples, clip.text, BEFORE_S + end_s)


def measure(transcriber: Transcriber, spoken: Spoken) -> Delays:
    """Stream one clip, and return when its word was written down."""
    transcriber.reset()
    n_piece = round(PIECE_S * RATE_HZ)
    partial_s = final_s = None
    chunks: list[float] = []
    for first in range(0, len(spoken.samples), n_piece):
        began = time.perf_counter()
        events = transcriber.feed(spoken.samples[first : first + n_piece])
        spent_s = time.perf_counter() - began
        now_s = (first + n_piece) / RATE_HZ + spent_s
        if transcriber.n_chunks > len(chunks):  # at most one step in such a piece
            chunks.append(spent_s * 1000)
        for event in events:
            if partial_s is None and event.text:
                partial_s = now_s
            if final_s is None and event.kind == "final":
                final_s = now_s
    return Delays(
        _behind(partial_s, spoken.end_s), _behind(final_s, spoken.end_s), tuple(chunks)
    )


def _summary(name: str, values: Sequence[float | None]) -> Row:
    """Return how many there are, and quantiles in milliseconds, None without any."""
    known = sorted(value for value in values if value is not None)
    shares = {
        f"{name}_{share}_ms": percentile(known, q) if known else None
        for share, q in SHARES.items()
    }
    return {f"n_{name}": len(known), **shares}


def _behind(event_s: float | None, end_s: float) -> float | None:
    return None if event_s is None else (event_s - end_s) * 1000
