"""The language model of a bundle: which word comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle import Bundle, find_bundle
from edge_runtime.bundle_parts import LanguageSpec
from edge_runtime.engine import Engine
from edge_runtime.engines import open_engine
from edge_runtime.errors import BundleError
from edge_runtime.model_choice import choose_model
from edge_runtime.weight_cache import usual_folder

SIGNATURE = "step"


@dataclass(frozen=True)
class Context:
    """What a language model makes of a text so far."""

    log_probabilities: NDArray[np.float32]
    """Of each word being the next, natural logarithm, (V,)."""
    states: tuple[NDArray[np.float32], ...]
    """A row of each state."""


class LanguageModel:
    """Contexts of texts, several at a time, on one engine."""

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        self.bundle = bundle
        self.engine = engine
        self._spec = require_language(bundle)
        self.words = self._spec.words
        first = tuple(
            np.full(state.shape[1:], state.reset, np.float32) for state in bundle.states
        )
        (self._first,) = self._run([(first, self._spec.end)])

    @property
    def end(self) -> int:
        """The word that stands before a text and behind it."""
        return self._spec.end

    @property
    def unknown(self) -> int:
        """The word that stands for all others."""
        return self._spec.unknown

    def start(self) -> Context:
        """Return the context of a text that begins."""
        return self._first

    def extend(self, texts: Sequence[tuple[Context, int]]) -> list[Context]:
        """Return the context of each text with one word more."""
        asked = [(context.states, word) for context, word in texts]
        n = self._spec.n_histories
        found: list[Context] = []
        for first in range(0, len(asked), n):
            found += self._run(asked[first : first + n])
        return found

    def _run(
        self, asked: Sequence[tuple[tuple[NDArray[np.float32], ...], int]]
    ) -> list[Context]:
        """Run one step for at most `n_histories` texts."""
        n_empty = self._spec.n_histories - len(asked)
        rows = [*asked, *[asked[0]] * n_empty]
        inputs: dict[str, NDArray[Any]] = {
            "words": np.array([word for _, word in rows], np.int32)
        }
        for place, state in enumerate(self.bundle.states):
            inputs[state.input] = np.stack([states[place] for states, _ in rows])
        outputs = self.engine.run(SIGNATURE, inputs)
        following = [outputs[state.output] for state in self.bundle.states]
        return [
            Context(
                outputs["log_probabilities"][row].copy(),
                tuple(state[row].copy() for state in following),
            )
            for row in range(len(asked))
        ]


def open_language_model(
    name_or_path: str, engine: str = "litert", precision: str = "int8", threads: int = 1
) -> LanguageModel:
    """Return the language model of a ready-made bundle, or of the one at a path.

    The caller closes its `engine`. Raises BundleError if the bundle breaks its contract
    or is no language model, SettingError and EngineError as `open_transcriber` does.
    """
    bundle = find_bundle(name_or_path)
    require_language(bundle)
    model = choose_model(bundle, engine, precision)
    opened = open_engine(engine, model, threads, usual_folder(engine))
    return LanguageModel(bundle, opened)


def require_language(bundle: Bundle) -> LanguageSpec:
    """Return the bundle's words; raises BundleError if it is no language model."""
    if bundle.language is None:
        raise BundleError(
            f'{bundle.folder}: task is "{bundle.task}", expected "language", as the'
            " ready-made lm has"
        )
    return bundle.language
