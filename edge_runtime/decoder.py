"""From logits to words: greedily, by a closed vocabulary, a grammar, or a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle_parts import PhonesSpec
from edge_runtime.ctc import GreedyDecoder
from edge_runtime.speech.beam import BeamDecoder, BeamSettings, Lexicon
from edge_runtime.speech.grammar import Grammar, word_loop
from edge_runtime.speech.language_model import LanguageModel
from edge_runtime.speech.pronunciation import with_lexicon
from edge_runtime.speech.spelling import SpelledGrammar
from edge_runtime.speech.viterbi import GrammarDecoder
from edge_runtime.speech.words import Word


class Decoder(Protocol):
    """Grows the text of an utterance from logits that arrive in blocks."""

    def feed(self, logits: NDArray[np.float32]) -> None:
        """Take the logits, (T, V), of the next steps."""
        ...

    @property
    def text(self) -> str:
        """The text so far; later steps may change it."""
        ...

    def words(self, *, whole: bool) -> list[Word]:
        """Return the words so far; `whole` says that no more will come."""
        ...

    def finish(self) -> str:
        """Return the text of the whole utterance."""
        ...


@dataclass(frozen=True)
class Decoding:
    """How logits become words: without these, greedily or by the bundle's words."""

    grammar: Grammar | None = None
    """Sentences that are expected; a final event has its intent."""
    language_model: LanguageModel | None = None
    """What a search over its words asks."""
    beam: BeamSettings = field(default_factory=BeamSettings)
    lexicon: Path | None = None
    """File with words and how they are said, beside those that the bundle knows."""

    def maker(
        self,
        alphabet: Sequence[str],
        blank: int,
        vocabulary: Sequence[str],
        phones: PhonesSpec | None = None,
    ) -> Callable[[], Decoder]:
        """Return what makes a decoder for each utterance of a network.

        Raises GrammarError for words that its alphabet cannot spell, SettingError for
        those of which nobody knows how they are said, and as `read_lexicon` does.
        """
        if self.lexicon is not None:
            phones = with_lexicon(phones, self.lexicon)
        if self.grammar is not None:
            graph = SpelledGrammar(alphabet, blank, self.grammar, phones)
            return lambda: GrammarDecoder(graph)
        if self.language_model is not None:
            lexicon = Lexicon(alphabet, blank, self.language_model, self.beam, phones)
            return lambda: BeamDecoder(lexicon)
        return decoder_maker(alphabet, blank, vocabulary, phones)


def decoder_maker(
    alphabet: Sequence[str],
    blank: int,
    vocabulary: Sequence[str] = (),
    phones: PhonesSpec | None = None,
) -> Callable[[], GreedyDecoder | GrammarDecoder]:
    """Return what makes greedy decoders, or those of known words where there are."""
    if vocabulary:
        graph = SpelledGrammar(alphabet, blank, word_loop(vocabulary), phones)
        return lambda: GrammarDecoder(graph)
    return lambda: GreedyDecoder(alphabet, blank, phones)


def whole_text(
    logits: NDArray[np.float32],
    alphabet: Sequence[str],
    blank: int,
    vocabulary: Sequence[str] = (),
) -> str:
    """Return the text of all logits, (T, V), of an utterance."""
    decoder = decoder_maker(alphabet, blank, vocabulary)()
    decoder.feed(logits)
    return decoder.finish()
