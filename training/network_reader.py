"""A speech network in torch, run on whole files."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from edge_runtime.decoder import Decoder
from edge_runtime.front_end import MILLISECONDS_PER_SECOND, FrontEnd
from edge_runtime.speech.viterbi import GrammarDecoder
from edge_runtime.transcriber import FLUSH_MS
from training.evaluation_speech import Reader, Reading
from training.speech import STRIDE_FRAMES, read_clip
from training.transcriber import TranscriberNetwork

NewDecoder = Callable[[], Decoder]


def network_reader(
    network: TranscriberNetwork, front_end: FrontEnd, new_decoder: NewDecoder
) -> Reader:
    """Return the reader that runs a network on a whole file at once.

    It takes the file for one utterance: no pause ends it.
    """

    def read(path: Path) -> Reading:
        samples = read_clip(path, front_end.sample_rate_hz)
        began = time.perf_counter()
        n_zeros = FLUSH_MS * front_end.sample_rate_hz // MILLISECONDS_PER_SECOND
        features = front_end.features(np.pad(samples, (0, n_zeros)))  # (T, M)
        whole = len(features) // STRIDE_FRAMES * STRIDE_FRAMES
        with torch.no_grad():
            logits = network(torch.from_numpy(features[None, :whole]))[0]
        decoder = new_decoder()
        decoder.feed(logits.numpy())
        text = decoder.finish()
        intent = decoder.intent() if isinstance(decoder, GrammarDecoder) else None
        return Reading(
            text,
            len(samples) / front_end.sample_rate_hz,
            time.perf_counter() - began,
            [] if intent is None else [{"name": intent.name, "slots": intent.slots}],
        )

    return read
