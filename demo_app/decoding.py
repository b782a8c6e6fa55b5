"""How the sound of a client becomes words, from what its greeting asks for."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from demo_app.engine_cache import EngineCache, EngineKey, Lease
from edge_runtime.decoder import Decoding
from edge_runtime.errors import SettingError
from edge_runtime.speech.choice import GRAMMARS, LANGUAGE_MODEL, NONE
from edge_runtime.speech.grammar import (
    Grammar,
    parse_grammar,
    read_grammar,
    word_loop,
)
from edge_runtime.speech.language_model import LanguageModel
from edge_runtime.speech.words import fold

LONGEST_GRAMMAR = 20_000
"""Letters."""
MOST_WORDS = 1000


class Expected(BaseModel):
    """What a client says about the words to come; nothing leaves it to the bundle."""

    model_config = ConfigDict(extra="forbid", strict=True)

    words: list[str] = Field(default=[], max_length=MOST_WORDS)
    """The only ones that are written."""
    grammar: str = Field(default="", max_length=LONGEST_GRAMMAR)
    """Name of a ready-made grammar, or one in JSGF."""
    language_model: str | None = None
    """Name of a bundle that is served, or "none"."""


def ready_made_grammars() -> dict[str, Path]:
    """Return the grammars that come with tiedge, by name."""
    return {path.stem: path for path in sorted(GRAMMARS.glob("*.gram"))}


def open_decoding(
    cache: EngineCache, expected: Expected, engine: str, *, fits_english: bool
) -> tuple[Decoding, Lease | None]:
    """Return how a bundle's sound becomes words, and a hold on the language model.

    `fits_english` says that the ready-made language model suits the bundle. Raises
    SettingError for what excludes each other or is not served, GrammarError for a
    grammar that is none, BundleError for a bundle that is no language model.
    """
    asked = [bool(value) for value in (expected.words, expected.grammar)]
    if sum(asked) + (expected.language_model is not None) > 1:
        raise SettingError(
            "greeting: words, grammar and language_model exclude each other, expected"
            " one of them at most"
        )
    if any(asked):
        return Decoding(_grammar(expected)), None
    name = expected.language_model
    if name is None:
        is_served = LANGUAGE_MODEL in cache.bundles and fits_english
        name = LANGUAGE_MODEL if is_served else NONE
    if name == NONE:
        return Decoding(), None
    lease = cache.lease(EngineKey(name, engine, "int8"))
    try:
        with lease.running():
            model = LanguageModel(lease.bundle, lease.engine)
    except BaseException:
        lease.release()
        raise
    return Decoding(language_model=model), lease


def _grammar(expected: Expected) -> Grammar:
    if expected.words:
        words = [word for text in expected.words for word in fold(text).split()]
        if not words:
            raise SettingError("greeting: words hold no word")
        return word_loop(words, "greeting: words")
    path = ready_made_grammars().get(expected.grammar)
    return parse_grammar(expected.grammar) if path is None else read_grammar(path)
