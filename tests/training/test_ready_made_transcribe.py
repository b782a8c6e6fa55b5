"""The ready-made bundle `transcribe` on recordings of speakers that it never heard."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.audio import read_audio
from edge_runtime.bundle import Bundle
from edge_runtime.decoder import Decoding
from edge_runtime.engine import Engine
from edge_runtime.speech.choice import GRAMMARS, DecodingChoice
from edge_runtime.speech.grammar import Intent, read_grammar, word_loop
from edge_runtime.speech.language_model import open_language_model
from edge_runtime.transcriber import Event, Transcriber, open_speech, open_transcriber
from training.evaluation_speech import INTENT_COLUMNS, LABELS_FILE
from training.metrics import word_errors
from training.speech import read_table
from training.table import read_rows

DATA = Path(os.environ.get("TIEDGE_DATA", "../shared/data")) / "speech"
N_CLIPS = 20
"""Checked by every test run."""
KEYWORDS = ("operator", "thinkengine", "voyager", "onword", "wildfire")
COFFEE = GRAMMARS / "coffee.gram"
PIECE_S = 0.05


@pytest.fixture(scope="module")
def opened() -> Iterator[tuple[Bundle, Engine]]:
    bundle, engine = open_speech("transcribe", "litert", "int8", threads=1)
    with engine:
        yield bundle, engine


def clips(folder: str, **where: str) -> list[tuple[str, Path]]:
    """Return text and path of some clips of a corpus, spread over it."""
    pytest.importorskip("soundfile", reason="soundfile is not installed")
    if not (DATA / folder).exists():
        pytest.skip(f"{folder} is not there; set TIEDGE_DATA")
    found = read_table(DATA / folder, tuple(where.items())).utterances
    return [(u.text, u.path) for u in found[:: len(found) // N_CLIPS]]


def heard(
    opened: tuple[Bundle, Engine],
    decoding: Decoding,
    samples: NDArray[np.float32],
    rate_hz: int,
    piece_s: float = 60.0,
) -> list[Event]:
    """Return what is final of samples that come in pieces."""
    transcriber = Transcriber(*opened, rate_hz, decoding=decoding)
    n_piece = round(piece_s * rate_hz)
    events = [
        event
        for first in range(0, len(samples), n_piece)
        for event in transcriber.feed(samples[first : first + n_piece])
    ]
    return [e for e in (*events, transcriber.finish()) if e.kind == "final" and e.text]


def test_sentences_are_written_down_however_they_come(
    opened: tuple[Bundle, Engine],
) -> None:
    """Two words in five and more, in one piece and in many alike."""
    n_words = n_wrong = 0
    model = open_language_model("lm")
    with model.engine:
        decoding = Decoding(language_model=model)
        for text, path in clips("speechocean762", split="test"):
            samples, rate_hz = read_audio(path)
            whole = heard(opened, decoding, samples, rate_hz)
            pieces = heard(opened, decoding, samples, rate_hz, PIECE_S)
            assert [e.text for e in whole] == [e.text for e in pieces], path
            n_words += len(text.split())
            n_wrong += word_errors(text, " ".join(event.text for event in whole))

    assert n_wrong <= 0.6 * n_words


def test_a_program_gets_what_the_command_writes(
    opened: tuple[Bundle, Engine],
) -> None:
    """By the language model, if it asks for nothing else."""
    (_, path), *_ = clips("speechocean762", split="test")
    samples, rate_hz = read_audio(path)
    model = open_language_model("lm")
    with model.engine:
        expected = heard(opened, Decoding(language_model=model), samples, rate_hz)

    found = {}
    for name, choice in (
        ("default", None),
        ("words", DecodingChoice(words=("yes",))),
        ("letters", DecodingChoice(language_model="none")),
    ):
        with open_transcriber("transcribe", rate_hz, choice=choice) as transcriber:
            events = [*transcriber.feed(samples), transcriber.finish()]
        finals = [event.text for event in events if event.kind == "final"]
        found[name] = " ".join(filter(None, finals))

    assert " ".join(event.text for event in expected) == found["default"]
    assert {"yes"} == {*found["words"].split()}
    assert found["letters"] != found["default"]


def test_words_of_a_list_are_told_apart(opened: tuple[Bundle, Engine]) -> None:
    """Nineteen in twenty."""
    decoding = Decoding(word_loop(KEYWORDS))
    right = 0
    found = clips("wuw-corpus-ii", split="test", kind="keyword")
    chosen = [(text, path) for text, path in found if text in KEYWORDS]
    for text, path in chosen:
        said = heard(opened, decoding, *read_audio(path))
        right += text == " ".join(event.text for event in said)

    assert right >= 0.95 * len(chosen)


def test_commands_are_understood(opened: tuple[Bundle, Engine]) -> None:
    """With all that belongs to them, three in five and more."""
    labels = DATA / "picovoice-speech-to-intent" / LABELS_FILE
    if not labels.exists():
        pytest.skip(f"{labels} is not there; set TIEDGE_DATA")
    decoding = Decoding(read_grammar(COFFEE))
    rows = read_rows(labels, INTENT_COLUMNS, ())
    chosen = rows[:: len(rows) // N_CLIPS]
    right = 0
    for row in chosen:
        slots = json.loads(row.values["slots_json"]).items()
        expected = Intent(row.values["intent"], {k: v.strip() for k, v in slots})
        said = heard(opened, decoding, *read_audio(labels.parent / row.values["path"]))
        right += [expected] == [event.intent for event in said]

    assert right >= 0.6 * len(chosen)


def test_other_speech_is_no_command(opened: tuple[Bundle, Engine]) -> None:
    """One sentence in twenty may be taken for one."""
    decoding = Decoding(read_grammar(COFFEE))
    intents = [
        event.intent
        for _, path in clips("speechocean762", split="test")
        for event in heard(opened, decoding, *read_audio(path))
        if event.intent is not None
    ]

    assert len(intents) <= 1


def test_silence_says_nothing(opened: tuple[Bundle, Engine]) -> None:
    """Three seconds of zeros give no text, with a language model or a grammar."""
    silence = np.zeros(48_000, np.float32)
    model = open_language_model("lm")
    with model.engine:
        for decoding in (
            Decoding(),
            Decoding(language_model=model),
            Decoding(read_grammar(COFFEE)),
        ):
            assert [] == heard(opened, decoding, silence, 16_000)
