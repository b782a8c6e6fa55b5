"""What was said in a recording, and the files that tell it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edge_runtime.transcriber import Event, TimedWord

LONGEST_CUE_S = 6.0
"""Of a subtitle; longer utterances are several."""
LONGEST_CUE_LETTERS = 80
SHORTEST_CUE_S = 0.8
"""A subtitle stays so long, where the next one lets it."""


@dataclass(frozen=True)
class Segment:
    """An utterance: what stands between two pauses."""

    start_s: float
    end_s: float
    text: str
    words: tuple[TimedWord, ...]
    intent: Mapping[str, Any] | None = None
    """Its name and slots, where a grammar tells them."""

    @classmethod
    def of(cls, event: Event) -> Segment:
        """Return a final event as what it tells of the recording."""
        words = event.words
        return cls(
            words[0].start_s if words else event.start_s,
            words[-1].end_s if words else event.audio_s,
            event.text,
            words,
            None if event.intent is None else asdict(event.intent),
        )

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Segment:
        """Return the segment that `asdict` made the fields of."""
        words = tuple(TimedWord(**word) for word in fields["words"])
        return cls(**{**fields, "words": words})


def as_text(segments: Sequence[Segment]) -> str:
    """Return a line for each utterance."""
    return "".join(f"{segment.text}\n" for segment in segments)


def as_json(segments: Sequence[Segment]) -> str:
    """Return a JSON object with the utterances, their words and times."""
    rows = [asdict(segment) for segment in segments]
    return json.dumps({"segments": rows}, indent=1) + "\n"


def as_srt(segments: Sequence[Segment]) -> str:
    """Return SubRip subtitles."""
    cues = _cues(segments)
    return "\n".join(
        f"{number}\n{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n"
        f"{cue.text}\n"
        for number, cue in enumerate(cues, start=1)
    )


def as_vtt(segments: Sequence[Segment]) -> str:
    """Return WebVTT subtitles (W3C)."""
    cues = [
        f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n{cue.text}\n"
        for cue in _cues(segments)
    ]
    return "\n".join(["WEBVTT\n", *cues])


FORMATS: dict[str, Callable[[Sequence[Segment]], str]] = {
    "txt": as_text,
    "json": as_json,
    "srt": as_srt,
    "vtt": as_vtt,
}
"""Ending of a file to what it holds."""


def _cues(segments: Sequence[Segment]) -> list[Segment]:
    """Return the segments as subtitles: short, and none before the last one's end."""
    parts = [part for segment in segments for part in _parts(segment)]
    cues = []
    for number, part in enumerate(parts):
        following_s = parts[number + 1].start_s if number + 1 < len(parts) else None
        end_s = max(part.end_s, part.start_s + SHORTEST_CUE_S)
        if following_s is not None:
            end_s = max(min(end_s, following_s), part.start_s)
        cues.append(Segment(part.start_s, end_s, part.text, part.words))
    return cues


def _parts(segment: Segment) -> Iterator[Segment]:
    first = 0
    words = segment.words
    for place, word in enumerate(words):
        n_letters = sum(len(w.text) + 1 for w in words[first : place + 1])
        is_long = word.end_s - words[first].start_s > LONGEST_CUE_S
        if place > first and (is_long or n_letters > LONGEST_CUE_LETTERS):
            yield _of_words(words[first:place])
            first = place
    if words[first:]:
        yield _of_words(words[first:])


def _of_words(words: tuple[TimedWord, ...]) -> Segment:
    text = " ".join(word.text for word in words)
    return Segment(words[0].start_s, words[-1].end_s, text, words)


def _clock(seconds: float, point: str) -> str:
    """Return a time as subtitles write it.

    >>> _clock(3725.5, ",")
    '01:02:05,500'
    """
    ms = round(seconds * 1000)
    minutes, ms = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{ms // 1000:02}{point}{ms % 1000:03}"
