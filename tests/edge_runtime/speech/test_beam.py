"""The beam search, against an enumeration of all paths, and what its settings do."""

from __future__ import annotations

import gc
import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.bundle import Bundle, Signature
from edge_runtime.bundle_parts import PhonesSpec
from edge_runtime.engine import Engine
from edge_runtime.errors import EngineError, SettingError
from edge_runtime.speech.beam import BeamDecoder, BeamSettings, Lexicon
from edge_runtime.speech.language_model import Context, LanguageModel
from tests.sample_bundles import language_manifest, write_bundle

ALPHABET = ("", " ", "a", "b")
WORDS = ("</s>", "<unk>", "a", "ab", "ba", "bb")
WIDE = BeamSettings(width=10_000, margin=1e9, symbol_margin=1e9, weight=0.7, bonus=0.4)


def bigrams() -> NDArray[np.float32]:
    """Return log probabilities of a word, (V,), behind each word, (V, V)."""
    chances = np.random.default_rng(3).dirichlet(np.full(len(WORDS), 0.7), len(WORDS))
    return np.log(chances).astype(np.float32)


class BigramEngine(Engine):
    """Knows how likely a word is behind the one before it; counts words as a state."""

    def __init__(self, signature: Signature) -> None:
        super().__init__("bigrams", "1", "sample.tflite", [signature], threads=1)
        self.n_calls = 0

    def _call(
        self, signature: Signature, inputs: tuple[NDArray[Any], ...]
    ) -> Sequence[NDArray[Any]]:
        words, state = inputs
        self.n_calls += 1
        return bigrams()[words], state + 1.0

    def _release(self) -> None:
        pass


@pytest.fixture
def model(tmp_path: Path) -> LanguageModel:
    folder = write_bundle(tmp_path / "sample", language_manifest(WORDS, n_histories=4))
    bundle = Bundle.open(folder)
    return LanguageModel(bundle, BigramEngine(bundle.models[0].signatures[0]))


def best_text(logits: NDArray[np.float64], settings: BeamSettings) -> str:
    """Return the best text: for each, the sum over all its paths, and its words."""
    scores = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    sums: dict[str, float] = defaultdict(lambda: -math.inf)
    for path in itertools.product(range(len(ALPHABET)), repeat=len(scores)):
        merged = [symbol for symbol, _ in itertools.groupby(path)]
        text = "".join(ALPHABET[s] for s in merged)
        words = " ".join(text.split())
        total = float(scores[range(len(scores)), path].sum())
        sums[words] = float(np.logaddexp(sums[words], total))

    def score(text: str) -> float:
        total, before = sums[text], 0
        for word in text.split():
            place = WORDS.index(word)
            total += settings.weight * float(bigrams()[before, place]) + settings.bonus
            before = place
        return total

    known = [t for t in sums if all(word in WORDS for word in t.split())]
    return max(known, key=score)


@pytest.mark.parametrize("seed", range(12))
def test_a_search_without_limits_finds_the_best_text(
    model: LanguageModel, seed: int
) -> None:
    """Sums over paths, words' probabilities and bonus, as an enumeration has them."""
    logits = np.random.default_rng(seed).normal(0.0, 2.0, (7, len(ALPHABET)))
    decoder = BeamDecoder(Lexicon(ALPHABET, 0, model, WIDE))

    decoder.feed(logits.astype(np.float32))

    assert best_text(logits, WIDE) == decoder.finish()


PHONES = PhonesSpec(
    ("", " ", "x", "y"),
    {"a": ("x",), "ab": ("x", "y"), "ba": ("y", "x"), "bb": ("x",)},
)
"""Of WORDS; "a" and "bb" sound alike."""


def best_heard(logits: NDArray[np.float64], settings: BeamSettings) -> str:
    """Return the best text by its words and by all paths of their sounds."""
    scores = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    sums: dict[str, float] = defaultdict(lambda: -math.inf)
    for path in itertools.product(range(len(PHONES.symbols)), repeat=len(scores)):
        merged = [symbol for symbol, _ in itertools.groupby(path)]
        heard = " ".join("".join(PHONES.symbols[s] for s in merged).split())
        total = float(scores[range(len(scores)), path].sum())
        sums[heard] = float(np.logaddexp(sums[heard], total))
    best, found = -math.inf, ""
    for heard, total in sums.items():
        alike = [
            [word for word, said in PHONES.words.items() if "".join(said) == sound]
            for sound in heard.split()
        ]
        for words in itertools.product(*alike):
            score, before = total, 0
            for word in words:
                place = WORDS.index(word)
                score += settings.weight * float(bigrams()[before, place])
                score += settings.bonus
                before = place
            if score > best:
                best, found = score, " ".join(words)
    return found


@pytest.mark.parametrize("seed", range(12))
def test_words_are_found_by_their_phones(model: LanguageModel, seed: int) -> None:
    """Where all are known; the language model tells those apart that sound alike."""
    logits = np.random.default_rng(seed).normal(0.0, 2.0, (6, 8))
    decoder = BeamDecoder(Lexicon(ALPHABET, 0, model, WIDE, PHONES))

    decoder.feed(logits.astype(np.float32))

    assert best_heard(logits[:, 4:], WIDE) == decoder.finish()


def test_a_hot_word_without_a_sound_is_told(model: LanguageModel) -> None:
    """It could never be found; a word of the language model just never is."""
    said = {**PHONES.words, "aa": (), "a": ()}
    phones = PhonesSpec(PHONES.symbols, said)
    Lexicon(ALPHABET, 0, model, WIDE, phones)

    with pytest.raises(SettingError, match="hot word 'aa': has no sound that"):
        Lexicon(ALPHABET, 0, model, BeamSettings(hot_words=("aa",)), phones)


def test_cuts_do_not_show(model: LanguageModel) -> None:
    """Logits that come one by one give the text of logits that come at once."""
    logits = np.random.default_rng(5).normal(0.0, 2.0, (40, len(ALPHABET)))
    lexicon = Lexicon(ALPHABET, 0, model, BeamSettings(width=4))
    whole, fine = BeamDecoder(lexicon), BeamDecoder(lexicon)

    whole.feed(logits.astype(np.float32))
    for row in logits.astype(np.float32):
        fine.feed(row[None])

    assert whole.words(whole=True) == fine.words(whole=True)


def test_texts_that_nobody_says_any_more_are_let_go(model: LanguageModel) -> None:
    """Those alive are the few that are kept, and what stood before them."""
    logits = np.random.default_rng(0).normal(0.0, 2.0, (400, len(ALPHABET)))
    settings = BeamSettings(width=8)
    decoder = BeamDecoder(Lexicon(ALPHABET, 0, model, settings))

    decoder.feed(logits.astype(np.float32))

    gc.collect()
    alive = sum(type(one) is Context for one in gc.get_objects())
    assert settings.width < alive < len(decoder.finish().split()) + 8 * settings.width


def spoken(text: str, sure: float = 12.0) -> NDArray[np.float32]:
    path = [s for letter in text for s in (ALPHABET.index(letter), 0)]
    return np.eye(len(ALPHABET), dtype=np.float32)[path] * sure


def test_words_have_times_and_confidence(model: LanguageModel) -> None:
    """A word lasts from its first letter to its last."""
    decoder = BeamDecoder(Lexicon(ALPHABET, 0, model, WIDE))
    decoder.feed(spoken("ab ba"))

    assert "ab ba" == decoder.text
    first, second = decoder.words(whole=True)

    assert ("ab", 0, 3) == (first.text, first.start, first.end)
    assert ("ba", 6, 9) == (second.text, second.start, second.end)
    assert min(first.confidence, second.confidence) > 0.99


def test_a_hot_word_is_written_though_the_model_does_not_know_it(
    model: LanguageModel,
) -> None:
    """Without it, the nearest known words are; it must be spelled in the alphabet."""
    plain = BeamDecoder(Lexicon(ALPHABET, 0, model, BeamSettings()))
    hot = BeamDecoder(Lexicon(ALPHABET, 0, model, BeamSettings(hot_words=("abba",))))
    for decoder in (plain, hot):
        decoder.feed(spoken("abba", sure=5.0))

    assert "abba" != plain.finish()
    assert "abba" == hot.finish()


@pytest.mark.parametrize(
    ("alphabet", "word", "message"),
    [
        (ALPHABET, "anna", "hot word 'anna': found 'n', expected letters of 'ab'"),
        (ALPHABET, "a b", "hot word 'a b': found ' ', expected letters of 'ab'; put"),
        (ALPHABET, "", "hot word '': is empty, expected letters of 'ab'"),
        (("", "a", "b"), "ab", "--language-model: the network writes no spaces, so"),
    ],
)
def test_words_that_cannot_be_spelled_are_named(
    model: LanguageModel, alphabet: tuple[str, ...], word: str, message: str
) -> None:
    """One line: the word, the letter that is strange, and those that are known."""
    with pytest.raises(SettingError) as caught:
        Lexicon(alphabet, 0, model, BeamSettings(hot_words=(word,)))

    assert message in str(caught.value)


def test_a_hot_word_that_is_named_twice_counts_once(model: LanguageModel) -> None:
    """It has its bonus, whether the language model knows it or not."""
    once = Lexicon(ALPHABET, 0, model, BeamSettings(hot_words=("ab", "abba")))
    twice = Lexicon(ALPHABET, 0, model, BeamSettings(hot_words=("ab", "abba") * 2))

    assert once.words == twice.words
    assert [once.gain(once.first, word) for word in range(len(once.words))] == [
        twice.gain(twice.first, word) for word in range(len(twice.words))
    ]


def test_logits_that_are_no_numbers_are_refused(model: LanguageModel) -> None:
    """A damaged model is told of, where no text could be true."""
    decoder = BeamDecoder(Lexicon(ALPHABET, 0, model, BeamSettings()))

    with pytest.raises(EngineError, match="logits: found nan, expected finite"):
        decoder.feed(np.full((2, len(ALPHABET)), np.nan, np.float32))


def test_capital_letters_of_a_network_are_written_small(model: LanguageModel) -> None:
    """The words are the language model's."""
    decoder = BeamDecoder(Lexicon(("", " ", "A", "B"), 0, model, WIDE))
    decoder.feed(spoken("ab ba"))

    assert "ab ba" == decoder.finish()


def test_histories_are_asked_for_several_at_a_time(model: LanguageModel) -> None:
    """Each text's states are its own, whatever shares its call."""
    engine = model.engine
    assert isinstance(engine, BigramEngine)
    before = engine.n_calls

    found = model.extend([(model.start(), word) for word in (2, 3, 4, 5, 2)])
    (further,) = model.extend([(found[1], 4)])

    assert 3 == engine.n_calls - before
    assert np.array_equal(bigrams()[3], found[1].log_probabilities)
    assert [2.0] * 5 == [float(context.states[0][0]) for context in found]
    assert 3.0 == float(further.states[0][0])
