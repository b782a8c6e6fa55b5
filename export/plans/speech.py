"""Speech networks: one entry point, one chunk of features with explicit state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edge_runtime.bundle import Bundle
from edge_runtime.bundle_parts import TensorSpec
from edge_runtime.decoder import decoder_maker
from edge_runtime.engine import Engine
from edge_runtime.front_end import FrontEnd
from edge_runtime.speech.endpoint import NEVER
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
from training.transcriber import TranscriberStep

N_CLIPS = 6
"""Clips of one split that chunks are taken from."""
N_CALIBRATION = 2
"""Chunks; a dynamic scheme takes no ranges from them."""


@dataclass(frozen=True)
class SpeechFacts:
    """What only the recipe knows."""

    name: str
    summary: str
    corpus: str
    """Folder of the clips, below `speech` in the data."""
    heard: tuple[tuple[str, str], ...]
    """Which of its rows training has heard, as columns and their values."""
    unseen: tuple[tuple[str, str], ...]
    unseen_name: str
    conditions: str
    licence: Mapping[str, Any]
    training_data: Sequence[str]
    card: str


def speech_plan(
    trained: TrainedTranscriber, record: Mapping[str, Any], facts: SpeechFacts
) -> Plan:
    """Return the plan of a checkpoint that writes speech down."""
    recipe, network = trained.recipe, trained.network
    front_end = recipe.front_end
    table = data_folder() / "speech" / facts.corpus
    step = TranscriberStep(network, recipe.chunk_frames).eval()
    source = source_weights(network)
    features = (1, step.chunk_frames, step.n_mels)
    phones = trained.phones
    n_logits = len(ALPHABET) + (0 if phones is None else len(phones.symbols))
    logits = (1, step.logits_per_chunk, n_logits)
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
        held_out=_chunks(step, front_end, table, facts.unseen),
        calibration=_chunks(step, front_end, table, facts.heard)[:N_CALIBRATION],
    )
    return Plan(
        name=facts.name,
        task="speech",
        summary=facts.summary,
        entry_points=(entry_point,),
        source=source,
        quantization="dynamic",
        int8_snr_floor_db=20.0,
        int8_metric_loss=0.01,
        measure=_Measure(trained, front_end, table, facts),
        facts={
            "depths": [],
            "states": [{**asdict(s), "dtype": "float32"} for s in step.state_tensors()],
            "picture": None,
            "speech": {
                "alphabet": list(ALPHABET),
                "blank": BLANK,
                "phones": None
                if phones is None
                else {
                    "symbols": list(phones.symbols),
                    "words": {w: " ".join(said) for w, said in phones.words.items()},
                },
                "vocabulary": list(trained.vocabulary),
                **asdict(front_end),
                "chunk_frames": step.chunk_frames,
                "logits_per_chunk": step.logits_per_chunk,
            },
            "source": source_facts(record, source),
            "licence": dict(facts.licence),
            "training_data": list(facts.training_data),
        },
        card=facts.card,
    )


def _state(name: str, shape: tuple[int, ...]) -> TensorSpec:
    layout = {2: "BH", 3: "BTH"}[len(shape)]
    return TensorSpec(name, "float32", shape, layout, None, None, None)


@torch.no_grad()
def _chunks(
    step: TranscriberStep,
    front_end: FrontEnd,
    corpus: Path,
    where: Sequence[tuple[str, str]],
) -> tuple[Arrays, ...]:
    """Return chunks of a corpus's clips with the states in which they are met."""
    table = read_table(corpus, where)
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
    """Word error rate on unseen speakers, file streamed beside module whole.

    Pauses end no utterance: what they change is no loss of the export.
    """

    def __init__(
        self,
        trained: TrainedTranscriber,
        front_end: FrontEnd,
        table: Path,
        facts: SpeechFacts,
    ) -> None:
        new_decoder = decoder_maker(ALPHABET, BLANK, trained.vocabulary, trained.phones)
        self._reader = network_reader(trained.network, front_end, new_decoder)
        self._table = table
        self._facts = facts
        self._reference: float | None = None

    def __call__(self, bundle: Bundle, engine: Engine) -> TaskMetric:
        where = self._facts.unseen
        reader = bundle_reader(bundle, engine, endpoints=NEVER)
        scored = evaluate_speech(reader, self._table, where)
        if self._reference is None:
            whole = evaluate_speech(self._reader, self._table, where)
            self._reference = float(whole["wer"])
        return TaskMetric(
            name="wer",
            value=scored["wer"],
            reference_value=self._reference,
            loss=scored["wer"] - self._reference,
            n=scored["n_utterances"],
            data=f"{self._facts.corpus}, {self._facts.unseen_name}",
            conditions=self._facts.conditions,
        )
