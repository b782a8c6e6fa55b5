"""From logits to text, by the bundle's alphabet and, where it has one, vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_runtime.ctc import GreedyDecoder
from edge_runtime.vocabulary import VocabularyDecoder

Decoder = GreedyDecoder | VocabularyDecoder


def make_decoder(
    alphabet: Sequence[str], blank: int, vocabulary: Sequence[str]
) -> Decoder:
    """Return a greedy decoder, or one of known words alone where they are given."""
    if vocabulary:
        return VocabularyDecoder(alphabet, blank, vocabulary)
    return GreedyDecoder(alphabet, blank)


def whole_text(
    logits: NDArray[np.float32],
    alphabet: Sequence[str],
    blank: int,
    vocabulary: Sequence[str] = (),
) -> str:
    """Return the text of all logits, (T, V), of an utterance."""
    decoder = make_decoder(alphabet, blank, vocabulary)
    decoder.feed(logits)
    return decoder.finish()
