"""Perplexity of a language model as a device runs it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edge_runtime.speech.language_model import LanguageModel


def perplexity(model: LanguageModel, sentences: Sequence[Sequence[int]]) -> float:
    """Return the perplexity of sentences, each begun anew.

    A sentence's end counts as a word; words that are not known do not count.
    """
    total, n = 0.0, 0
    contexts = [model.start() for _ in sentences]
    for place in range(max(map(len, sentences)) + 1):
        going = [k for k, sentence in enumerate(sentences) if place <= len(sentence)]
        wanted = {k: (*sentences[k], model.end)[place] for k in going}
        for k, word in wanted.items():
            if word != model.unknown:
                total -= float(contexts[k].log_probabilities[word])
                n += 1
        further = [k for k in going if place < len(sentences[k])]
        extended = model.extend([(contexts[k], wanted[k]) for k in further])
        for k, context in zip(further, extended, strict=True):
            contexts[k] = context
    return math.exp(total / n)
