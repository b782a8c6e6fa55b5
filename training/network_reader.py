"""A speech network in torch, run on whole files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from edge_runtime.decoder import whole_text
from edge_runtime.front_end import MILLISECONDS_PER_SECOND, FrontEnd
from edge_runtime.transcriber import FLUSH_MS
from training.evaluation_speech import Reader
from training.speech import ALPHABET, BLANK, STRIDE_FRAMES, read_clip
from training.transcriber import TranscriberNetwork


def network_reader(
    network: TranscriberNetwork, front_end: FrontEnd, vocabulary: Sequence[str]
) -> Reader:
    """Return the reader that runs a network on a whole file at once."""

    def read(path: Path) -> str:
        samples = read_clip(path, front_end.sample_rate_hz)
        n_zeros = FLUSH_MS * front_end.sample_rate_hz // MILLISECONDS_PER_SECOND
        features = front_end.features(np.pad(samples, (0, n_zeros)))  # (T, M)
        whole = len(features) // STRIDE_FRAMES * STRIDE_FRAMES
        with torch.no_grad():
            logits = network(torch.from_numpy(features[None, :whole]))[0]
        return whole_text(logits.numpy(), ALPHABET, BLANK, vocabulary)

    return read
