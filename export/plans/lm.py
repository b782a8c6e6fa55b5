"""`lm`: one entry point, which takes several texts a word further."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edge_runtime.bundle import Bundle
from edge_runtime.bundle_parts import TensorSpec
from edge_runtime.engine import Engine
from edge_runtime.errors import SettingError
from edge_runtime.speech.language_model import LanguageModel
from export.plan import (
    Arrays,
    EntryPoint,
    Plan,
    TaskMetric,
    source_facts,
    source_weights,
)
from training.data import data_folder
from training.evaluation_language import perplexity
from training.language import LanguageStep
from training.tasks.lm import HELD_OUT
from training.texts import (
    END_PLACE,
    TRAINING_TEXTS,
    UNKNOWN_PLACE,
    numbered,
    read_sentences,
)
from training.trained import TrainedLanguage

N_HISTORIES = 8
"""Texts that one step takes a word further."""
N_STEPS = 6
"""Words along which tensors for parity are taken."""
N_CALIBRATION = 2
N_SCORED = 60
"""Sentences that perplexity is measured on."""


def lm_plan(trained: TrainedLanguage, record: Mapping[str, Any]) -> Plan:
    """Return the plan of an `lm` checkpoint.

    Raises SettingError for one whose words stand in two tables.
    """
    recipe, network, words = trained.recipe, trained.network, trained.words
    if not recipe.tied:
        raise SettingError(
            "tied=false: is there to compare with, and is not exported; train with"
            " tied=true"
        )
    step = LanguageStep(network, N_HISTORIES).eval()
    source = source_weights(network)
    states = step.state_tensors()
    entry_point = EntryPoint(
        "step",
        None,
        step,
        (
            TensorSpec("words", "int32", (N_HISTORIES,), "B", None, None, None),
            *(_state(s.input, s.shape) for s in states),
        ),
        (
            TensorSpec(
                "log_probabilities",
                "float32",
                (N_HISTORIES, len(words)),
                "BV",
                None,
                None,
                None,
            ),
            *(_state(s.output, s.shape) for s in states),
        ),
        held_out=_steps(step, words, HELD_OUT["ljspeech"]),
        calibration=_steps(step, words, TRAINING_TEXTS[0])[:N_CALIBRATION],
    )
    return Plan(
        name="lm",
        task="language",
        summary="Tells which English word comes next, for transcripts and texts",
        entry_points=(entry_point,),
        source=source,
        quantization="dynamic",
        int8_snr_floor_db=20.0,
        int8_metric_loss=0.05,
        measure=_Measure(trained),
        facts={
            "depths": [],
            "states": [{**asdict(s), "dtype": "float32"} for s in states],
            "picture": None,
            "speech": None,
            "language": {
                "words": list(words),
                "end": END_PLACE,
                "unknown": UNKNOWN_PLACE,
                "n_histories": N_HISTORIES,
            },
            "source": source_facts(record, source),
            "licence": {
                "code": "Apache-2.0",
                "weights": "CC BY-SA 4.0 (terms of the transcripts)",
                "data": [
                    "LJ Speech sentences: public domain",
                    "The Adventures of Sherlock Holmes: public domain",
                    "LibriSpeech transcripts: CC BY 4.0",
                    "coffee commands of speech-to-intent-benchmark: Apache-2.0",
                    "speechocean762: free for commercial and non-commercial use",
                    "wuw-corpus-ii: CC BY-SA 4.0",
                ],
            },
            "training_data": [
                "LJ Speech, 12,164 sentences",
                "The Adventures of Sherlock Holmes, 82 thousand words",
                "LibriSpeech dev-clean, transcripts",
                "commands for a coffee machine, 432 sentences",
                "speechocean762 and wuw-corpus-ii, transcripts of the training parts",
            ],
        },
        card=CARD.format(n_words=len(words)),
    )


def _state(name: str, shape: tuple[int, ...]) -> TensorSpec:
    return TensorSpec(name, "float32", shape, "BH", None, None, None)


@torch.no_grad()
def _steps(step: LanguageStep, words: Sequence[str], text: str) -> tuple[Arrays, ...]:
    """Return what the step is given along some sentences of a text."""
    sentences = read_sentences(data_folder() / "text" / text)
    long_enough = [s for s in numbered(sentences, words) if len(s) >= N_STEPS]
    chosen = long_enough[:: len(long_enough) // N_HISTORIES][:N_HISTORIES]
    names = ["words", *(state.input for state in step.state_tensors())]
    states: Sequence[Tensor] = step.example_inputs()[1:]
    found: list[Arrays] = []
    for place in range(N_STEPS):
        last = [s[place - 1] if place else END_PLACE for s in chosen]
        values = (torch.tensor(last, dtype=torch.int32), *states)
        found.append(
            {
                name: np.ascontiguousarray(value.numpy())
                for name, value in zip(names, values, strict=True)
            }
        )
        _, *states = step(*values)
    return tuple(found)


class _Measure:
    """Perplexity of held-out sentences, file beside module."""

    def __init__(self, trained: TrainedLanguage) -> None:
        text = data_folder() / "text" / HELD_OUT["ljspeech"]
        self._sentences = numbered(read_sentences(text), trained.words)[:N_SCORED]
        self._trained = trained
        self._reference: float | None = None

    def __call__(self, bundle: Bundle, engine: Engine) -> TaskMetric:
        value = perplexity(LanguageModel(bundle, engine), self._sentences)
        if self._reference is None:
            self._reference = self._trained.perplexity(self._sentences)
        return TaskMetric(
            name="perplexity",
            value=value,
            reference_value=self._reference,
            loss=value / self._reference - 1.0,
            n=len(self._sentences),
            data=f"text/{HELD_OUT['ljspeech']}, first sentences",
            conditions="ends of sentences counted, unknown words not",
        )


CARD = """\
# lm

Tells which of {n_words} English words comes next. A table of words is read, one GRU
cell is run in every layer and at every word with the same weights, and the same table
of words gives the probabilities.

## Input and output

The last word of each of eight texts, and states; out come the natural logarithms of the
next word's probabilities, and the states for the word after it.

## Training data and licence

Sentences of LJ Speech, The Adventures of Sherlock Holmes, transcripts of LibriSpeech
(dev-clean), commands for a coffee machine, and the transcripts of speechocean762 and
wuw-corpus-ii (training parts). wuw-corpus-ii is CC BY-SA 4.0 and so are these weights.
The code is Apache-2.0.

## Limits

Half a million words are little: it knows the phrases of old books and short sentences,
and writes nonsense when it is left to itself. It knows no word beyond its table.
"""
