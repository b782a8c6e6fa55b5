"""What of speech is written down right: rows of results/speech.json.

Each set of recordings that no training saw, by each way of decoding that it is meant
for, in fp32 and int8, given whole and in pieces of 10 ms; PocketSphinx beside it on the
same clips. Rows are kept as soon as they are measured (`runs/speech-*.jsonl`), so that
what is interrupted goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.decoder import Decoding
from edge_runtime.engine import Engine
from edge_runtime.engines import FORMAT_OF_ENGINE
from edge_runtime.errors import SettingError
from edge_runtime.speech.choice import GRAMMARS
from edge_runtime.speech.grammar import read_grammar, word_loop
from edge_runtime.speech.language_model import open_language_model
from edge_runtime.transcriber import Transcriber, open_speech, require_speech
from training import sphinx
from training.data import data_folder
from training.evaluation_speech import (
    LABELS_FILE,
    Reader,
    Reading,
    evaluate_intents,
    evaluate_speech,
)
from training.result_rows import ENGINE, PRECISION, THREADS, Row, precisions_of
from training.result_sources import ROOT, sources_sha256
from training.speech import read_clip, read_table
from training.speech_tables import (
    CUTS,
    GRAMMAR,
    GREEDY,
    PIECES,
    SEARCH,
    SENTENCES,
    UNSEEN,
    WHOLE,
    WORDS,
)
from training.subject import committed_checkpoint

if TYPE_CHECKING:
    from training.results import Setup

PRECISIONS = ("fp32", PRECISION)
PIECE_S = 0.01
N_DRAWS = 1000
"""Of clips, with replacement, for an interval."""
INTERVAL = (2.5, 97.5)
"""Percentiles of what the draws give."""
COFFEE = GRAMMARS / "coffee.gram"
KEY = ("data", "decoding", "engine", "precision", "cut")
"""What tells rows apart."""
PEER = "PocketSphinx"


@dataclass(frozen=True)
class Test:
    """Recordings, and the ways to decode them."""

    name: str
    bundle: str
    """The field of `Setup` that names it; the next one likewise."""
    data: str
    where: tuple[tuple[str, str], ...]
    decodings: tuple[str, ...]


TESTS = (
    Test(
        UNSEEN,
        "digits",
        "speech",
        (("split_speaker_disjoint", "dev"),),
        (WORDS,),
    ),
    Test(SENTENCES, "transcribe", "strings", (("split", "test"),), (GREEDY, SEARCH)),
    Test(
        "wuw-corpus-ii test, sentences",
        "transcribe",
        "keywords",
        (("split", "test"), ("kind", "sentence")),
        (GREEDY, SEARCH),
    ),
    Test(
        "wuw-corpus-ii test, keywords",
        "transcribe",
        "keywords",
        (("split", "test"), ("kind", "keyword")),
        (WORDS,),
    ),
    Test("speech-to-intent", "transcribe", "orders", (), (GRAMMAR,)),
    Test(
        "speechocean762 test, to be rejected",
        "transcribe",
        "strings",
        (("split", "test"),),
        (GRAMMAR,),
    ),
)


@dataclass(frozen=True)
class Case:
    """One measurement."""

    test: Test
    decoding: str
    precision: str | None
    """Of a bundle's file; None is the peer."""
    cut: str = WHOLE

    @property
    def key(self) -> tuple[str | None, ...]:
        """Return the values of KEY."""
        engine = PEER if self.precision is None else ENGINE
        return (self.test.name, self.decoding, engine, self.precision, self.cut)


def speech_rows(setup: Setup) -> Iterator[Row]:
    """Yield a row for each test, decoding, precision and cutting, and for the peer.

    Raises SettingError where PocketSphinx is not installed.
    """
    sphinx.require()
    digest = sources_sha256("speech", setup)
    kept = setup.root / "runs" / f"speech-{digest[:12]}.jsonl"
    known = _known(kept)
    cases = list(_cases(setup))
    with tempfile.TemporaryDirectory() as scratch:

        @cache
        def exported(name: str) -> str:
            return _exported(name, setup, Path(scratch) / name)

        for number, case in enumerate(cases, start=1):
            said = ", ".join(str(part) for part in case.key if part)
            print(f"{number}/{len(cases)}: {said}", file=sys.stderr, flush=True)
            if case.key not in known:
                known[case.key] = _measured(case, setup, exported)
                _append(kept, known[case.key])
            yield known[case.key]


def export_fp32(checkpoint: Path, bundle: Path) -> None:
    """Export a checkpoint for ENGINE in fp32."""
    given = ["export", str(checkpoint), "--output", str(bundle)]
    given += ["--formats", FORMAT_OF_ENGINE[ENGINE], "--precisions", "fp32"]
    done = subprocess.run(
        [sys.executable, "-m", "tiedge", *given],
        cwd=ROOT,
        stdout=sys.stderr,
        check=False,
    )
    if done.returncode:
        raise SettingError(f"tiedge {' '.join(given)}: failed, see above")


def _cases(setup: Setup) -> Iterator[Case]:
    for test in TESTS:
        name = getattr(setup, test.bundle)
        offered = precisions_of(name)
        if setup.export_fp32 and committed_checkpoint(name):
            offered.append("fp32")
        for decoding in test.decodings:
            for precision in PRECISIONS:
                for cut in CUTS if precision in offered else ():
                    yield Case(test, decoding, precision, cut)
            if decoding != GREEDY:
                yield Case(test, decoding, None)


def _exported(name: str, setup: Setup, folder: Path) -> str:
    """Return the bundle that holds a bundle's network in fp32, if need be a new one."""
    if "fp32" in precisions_of(name):
        return name
    checkpoint = committed_checkpoint(name)
    assert setup.export_fp32 is not None and checkpoint is not None
    setup.export_fp32(checkpoint, folder)
    return str(folder)


def _known(path: Path) -> dict[tuple[str | None, ...], Row]:
    """Return the rows that an earlier run has measured; a line cut short is none."""
    known: dict[tuple[str | None, ...], Row] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else ()
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        known[tuple(row[name] for name in KEY)] = row
    return known


def _append(path: Path, row: Row) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        # On a line of its own, too where the one before was cut short.
        file.write(f"\n{json.dumps(row, ensure_ascii=False)}")


def _measured(case: Case, setup: Setup, exported: Callable[[str], str]) -> Row:
    test = case.test
    folder = data_folder() / getattr(setup, test.data)
    row: Row = dict(zip(KEY, case.key, strict=True))
    if case.precision is None:
        reader = sphinx.sphinx_reader(*_peer_task(test, case.decoding, folder))
        row["engine_version"] = sphinx.require()
        return row | _scored(folder, test.where, reader)
    name = getattr(setup, test.bundle)
    what = exported(name) if case.precision == "fp32" else name
    bundle, engine = open_speech(what, ENGINE, case.precision, THREADS)
    piece_s = PIECE_S if case.cut == PIECES else None
    row |= {"bundle": bundle.name, "engine_version": engine.version}
    with engine:
        if case.decoding != SEARCH:
            decoding = _decoding(case, folder)
            reader = _reader(bundle, engine, decoding, piece_s)
            return row | _scored(folder, test.where, reader)
        model = open_language_model(setup.lm, ENGINE, PRECISION, THREADS)
        with model.engine:
            reader = _reader(bundle, engine, Decoding(language_model=model), piece_s)
            return row | _scored(folder, test.where, reader)


def _decoding(case: Case, folder: Path) -> Decoding:
    """Return how a bundle's logits become words; `digits` knows its own."""
    if case.decoding == WORDS and case.test.bundle != "digits":
        return Decoding(word_loop(_words(case.test, folder)))
    if case.decoding == GRAMMAR:
        return Decoding(read_grammar(COFFEE))
    return Decoding()


def _peer_task(
    test: Test, decoding: str, folder: Path
) -> tuple[Sequence[str], Path | None]:
    """Return the words or the grammar that PocketSphinx gets."""
    return (_words(test, folder) if decoding == WORDS else ()), (
        COFFEE if decoding == GRAMMAR else None
    )


def _words(test: Test, folder: Path) -> list[str]:
    """Return the words of a test, its list of keywords."""
    clips = read_table(folder, test.where).utterances
    return sorted({word for clip in clips for word in clip.text.split()})


def _scored(folder: Path, where: Sequence[tuple[str, str]], reader: Reader) -> Row:
    """Return a test's figures by a reader."""
    if (folder / LABELS_FILE).exists():
        found = evaluate_intents(reader, folder / LABELS_FILE)
        right = [(1 - row["n_errors"], 1) for row in found["rows"]]
        return {
            **_some(found, "n_utterances", "n_right", "accuracy", "n_rejected", "rtf"),
            "accuracy_interval": interval(right),
        }
    found = evaluate_speech(reader, folder, where)
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
    rate_hz = require_speech(bundle).sample_rate_hz
    transcriber = Transcriber(bundle, engine, rate_hz, decoding=decoding)

    def read(path: Path) -> Reading:
        samples = read_clip(path, rate_hz)
        n_piece = len(samples) if piece_s is None else round(piece_s * rate_hz)
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
            len(samples) / rate_hz,
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
