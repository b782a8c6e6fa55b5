"""CTC beam search over the words of a lexicon, with a language model.

Prefix beam search (Hannun et al., arXiv:1408.2873) whose prefixes are spelled by a tree
of the words, with shallow fusion of a language model at each word's end; until then the
most frequent word that still fits stands for it (Ortmanns et al., 1996).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle_parts import PhonesSpec
from edge_runtime.errors import SettingError
from edge_runtime.speech.language_model import Context, LanguageModel
from edge_runtime.speech.lexicon import Node, make_tree
from edge_runtime.speech.pronunciation import silent
from edge_runtime.speech.script import script_of
from edge_runtime.speech.words import Word, symbol_places, wrong_letters

NEVER = -math.inf
STRANGE = -8.0
"""Log probability of a word that the language model does not know."""


@dataclass(frozen=True)
class BeamSettings:
    """Chosen on held-out speakers."""

    width: int = 64
    """Hypotheses that are kept."""
    margin: float = 14.0
    """Worse ones than the best by more nats are dropped."""
    symbol_margin: float = 8.0
    """Symbols of a step that are worse than its best by more nats are not tried."""
    weight: float = 0.9
    """Of the language model's log probabilities."""
    bonus: float = 1.5
    """Nats for each word, since a language model makes long texts unlikely."""
    hot_words: tuple[str, ...] = ()
    """Words that are expected; the language model need not know them."""
    hot_bonus: float = 4.0
    """Nats for each of them."""


@dataclass(eq=False)
class _Text:
    """A text so far: its last word and what stood before it."""

    before: _Text | None
    word: int
    context: Context | None = None
    following: WeakValueDictionary[int, _Text] = field(
        default_factory=WeakValueDictionary
    )
    """Weak, so that what no path says any more is let go, context and all."""


@dataclass(frozen=True)
class _Said:
    """A word of a path, and those before it."""

    before: _Said | None
    word: Word


@dataclass(slots=True)
class _Path:
    """The best way, and the sum of all ways, to a beginning of a word behind a text."""

    blank: float = NEVER
    """Log probability of ways that end in a blank."""
    symbol: float = NEVER
    """Of ways that end in the last symbol."""
    language: float = 0.0
    """What the language model adds, the look-ahead included."""
    best: float = NEVER
    """Of the best way, which the rest tells of."""
    said: _Said | None = None
    start: int = 0
    """Step of the first letter of the word that is being said."""
    end: int = 0
    """Step behind the last one so far."""
    spelled: float = 0.0
    """Sum of the log probabilities of its letters."""
    n_letters: int = 0

    @property
    def score(self) -> float:
        return _add(self.blank, self.symbol) + self.language


class Lexicon:
    """The words of a language model, spelled in a network's letters or phones.

    Raises SettingError for hot words that it cannot spell, where it has no space, and
    as `script_of` does.
    """

    def __init__(
        self,
        alphabet: Sequence[str],
        blank: int,
        model: LanguageModel,
        settings: BeamSettings,
        phones: PhonesSpec | None = None,
    ) -> None:
        self.model = model
        self.settings = settings
        known = {word: place for place, word in enumerate(model.words)}
        hot_words = tuple(dict.fromkeys(settings.hot_words))
        for word in hot_words:
            known.setdefault(word, len(known))
        self.words = tuple(known)
        self.first = model.start()
        letters = {*symbol_places(alphabet)} - {"", " "}
        if " " not in alphabet:
            raise SettingError(
                "--language-model: the network writes no spaces, so no words; expected"
                " --language-model none"
            )
        self._bonus = np.full(len(self.words), settings.bonus)
        for word in hot_words:
            wrong = wrong_letters(word, letters)
            if wrong is not None:
                raise SettingError(f"hot {wrong}")
            self._bonus[known[word]] += settings.hot_bonus
        writable = {word for word in self.words if word and {*word} <= letters}
        self.script = script_of(writable, alphabet, blank, phones)
        spell = self.script.spell
        for word in hot_words:
            if not spell(word):
                raise SettingError(f"hot {silent(word)}")
        self.root = make_tree(
            self.script.symbols,
            [spell(word) if word in writable else "" for word in self.words],
            [self.gain(self.first, word) for word in range(len(self.words))],
        )
        self.space = self.root.symbol

    def gain(self, context: Context, word: int) -> float:
        """Return what a word behind a text adds to a path's score."""
        n_known = len(context.log_probabilities)
        known = float(context.log_probabilities[word]) if word < n_known else STRANGE
        return self.settings.weight * known + float(self._bonus[word])

    def extend(self, texts: Sequence[tuple[Context, int]]) -> list[Context]:
        """Return the context of each text with one word more."""
        n_known = len(self.model.words)
        unknown = self.model.unknown
        return self.model.extend(
            [(c, word if word < n_known else unknown) for c, word in texts]
        )


class BeamDecoder:
    """Grows a text of a lexicon's words from logits that arrive in blocks."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._blank = lexicon.script.blank
        self._settings = lexicon.settings
        self._root = lexicon.root
        self._space = lexicon.space
        self._n_steps = 0
        text = _Text(None, -1, context=lexicon.first)
        self._paths = {(text, id(self._root)): (text, self._root, _Path(blank=0.0))}

    def feed(self, logits: NDArray[np.float32]) -> None:
        """Take the logits, (T, V), of the next steps.

        Raises EngineError for logits that are not finite.
        """
        for row in self._lexicon.script.log_probabilities(logits):
            self._step(row)
            self._n_steps += 1

    def _step(self, row: NDArray[np.float64]) -> None:
        how = self._settings
        least = row.max() - how.symbol_margin
        likely = [int(s) for s in np.flatnonzero(row >= least) if s != self._blank]
        log_probability = row.tolist()
        blank = log_probability[self._blank]
        found: dict[tuple[_Text, int], tuple[_Text, Node, _Path]] = {}

        def path_to(text: _Text, node: Node, language: float) -> _Path:
            key = (text, id(node))
            entry = found.get(key)
            if entry is None:
                entry = found[key] = (text, node, _Path(language=language))
            return entry[2]

        for text, node, path in self._paths.values():
            total = _add(path.blank, path.symbol)
            same = path_to(text, node, path.language)
            same.blank = _add(same.blank, total + blank)
            again = path.symbol + log_probability[node.symbol]
            same.symbol = _add(same.symbol, again)
            if max(total + blank, again) > same.best:
                _keep(same, path, max(total + blank, again))
            for symbol in likely:
                said = log_probability[symbol]
                # A symbol twice in a row needs a blank in between.
                came = path.blank if symbol == node.symbol else total
                if came == NEVER:
                    continue
                following = node.following.get(symbol)
                if following is not None:
                    language = path.language + following.ahead - node.ahead
                    new = path_to(text, following, language)
                    new.symbol = _add(new.symbol, came + said)
                    if came + said > new.best:
                        _keep(new, path, came + said)
                        if node is self._root:
                            new.start, new.spelled, new.n_letters = (
                                self._n_steps,
                                0.0,
                                0,
                            )
                        new.end = self._n_steps + 1
                        new.spelled += said
                        new.n_letters += 1
                elif symbol == self._space and node.words:
                    for word in node.words:
                        longer, gain = self._ended(text, node, word)
                        new = path_to(longer, self._root, path.language + gain)
                        new.symbol = _add(new.symbol, came + said)
                        if came + said > new.best:
                            _keep(new, path, came + said)
                            new.said = self._with_word(word, path)
                elif symbol == self._space and node is self._root:
                    new = path_to(text, node, path.language)
                    new.symbol = _add(new.symbol, came + said)
                    if came + said > new.best:
                        _keep(new, path, came + said)
        self._prune(found)

    def _ended(self, text: _Text, node: Node, word: int) -> tuple[_Text, float]:
        """Return the text with a word more, and what that adds to its language part."""
        assert text.context is not None
        longer = text.following.get(word)
        if longer is None:
            longer = text.following[word] = _Text(text, word)
        gain = self._lexicon.gain(text.context, word)
        return longer, gain - node.ahead + self._root.ahead

    def _with_word(self, word: int, path: _Path) -> _Said:
        confidence = math.exp(path.spelled / path.n_letters)
        text = self._lexicon.words[word]
        return _Said(path.said, Word(text, path.start, path.end, confidence))

    def _prune(self, found: dict[tuple[_Text, int], tuple[_Text, Node, _Path]]) -> None:
        how = self._settings
        scored = [(entry[2].score, key) for key, entry in found.items()]
        best = max(score for score, _ in scored)
        kept = sorted(
            (item for item in scored if item[0] >= best - how.margin),
            key=lambda item: -item[0],
        )[: how.width]
        self._paths = {}
        for _, key in kept:
            text, node, path = found[key]
            path.blank -= best
            path.symbol -= best
            path.best -= best
            self._paths[key] = (text, node, path)
        waiting = {t for t, _, _ in self._paths.values() if t.context is None}
        if waiting:
            ordered = list(waiting)
            asked = [(t.before.context, t.word) for t in ordered]  # type: ignore[union-attr]
            for t, context in zip(ordered, self._lexicon.extend(asked), strict=True):  # type: ignore[arg-type]
                t.context = context

    @property
    def text(self) -> str:
        """The words of the best path so far; later steps may change them."""
        return " ".join(word.text for word in self.words(whole=False))

    def words(self, *, whole: bool) -> list[Word]:
        """Return the words of the best path; `whole` asks for one that ends a word."""
        best, found = NEVER, None
        for text, node, path in self._paths.values():
            score, said = path.score, path.said
            if node.words:
                gains = [self._ended(text, node, word)[1] for word in node.words]
                likeliest = int(np.argmax(gains))
                said = self._with_word(node.words[likeliest], path)
                score += gains[likeliest] * whole
            elif whole and node is not self._root:
                continue
            if score > best:
                best, found = score, said
        words = []
        while found is not None:
            words.append(found.word)
            found = found.before
        return words[::-1]

    def finish(self) -> str:
        """Return the text of the whole recording."""
        return " ".join(word.text for word in self.words(whole=True))


def _keep(path: _Path, of: _Path, best: float) -> None:
    path.best, path.said = best, of.said
    path.start, path.end = of.start, of.end
    path.spelled, path.n_letters = of.spelled, of.n_letters


def _add(one: float, other: float) -> float:
    """Return log(e^one + e^other)."""
    if one < other:
        one, other = other, one
    if other == NEVER or one - other > 30.0:
        return one
    return one + math.log1p(math.exp(other - one))
