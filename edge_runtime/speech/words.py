"""Words of a transcript, with their times."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """A word of a transcript."""

    text: str
    start: int
    """Step of the network in which its first letter was written."""
    end: int
    """Step behind that of its last letter."""
    confidence: float
    """How well its letters held against all others, 0–1."""
    tag: str = ""
    """What a grammar calls it."""
    intent: int = -1
    """Which of a grammar's sentences it is part of."""
