"""What was said in a recording, and the files that tell it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from edge_runtime.transcriber import Event, TimedWord

MS_PER_S = 1000
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
    """None of what a grammar rejected."""
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


def as_text(segments: Sequence[Segment], audio_s: float) -> str:
    """Return a line for each utterance."""
    lines = [_line(segment.text) for segment in segments]
    return "".join(f"{line}\n" for line in lines if line)


def as_json(segments: Sequence[Segment], audio_s: float) -> str:
    """Return a JSON object with the utterances, their words and times."""
    rows = [asdict(segment) for segment in segments]
    return json.dumps({"segments": rows}, indent=1) + "\n"


def as_srt(segments: Sequence[Segment], audio_s: float) -> str:
    """Return SubRip subtitles of a recording of that length."""
    return "\n".join(
        f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n"
        f"{cue.text.replace('-->', '->')}\n"  # which it has no way to write
        for number, cue in enumerate(_cues(segments, audio_s), start=1)
    )


def as_vtt(segments: Sequence[Segment], audio_s: float) -> str:
    """Return WebVTT subtitles (W3C) of a recording of that length."""
    cues = [
        f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n"
        f"{escape(cue.text, quote=False)}\n"
        for cue in _cues(segments, audio_s)
    ]
    return "\n".join(["WEBVTT\n", *cues])


FORMATS: dict[str, Callable[[Sequence[Segment], float], str]] = {
    "txt": as_text,
    "json": as_json,
    "srt": as_srt,
    "vtt": as_vtt,
}
"""Ending of a file to what makes its text of utterances and a length in seconds."""


@dataclass(frozen=True)
class _Cue:
    """A subtitle: `text` is one line."""

    start_ms: int
    end_ms: int
    text: str


def _cues(segments: Sequence[Segment], audio_s: float) -> list[_Cue]:
    """Return the segments as subtitles, short ones.

    None begins before the last one's end, is empty, or ends behind the recording.
    """
    parts = [
        part for segment in segments for part in _parts(segment) if _line(part.text)
    ]
    audio_ms = max(int(audio_s * MS_PER_S), len(parts))
    starts_ms = _rising([part.start_s for part in parts], audio_ms)
    limits_ms = [*starts_ms, audio_ms][1:]
    cues = []
    for part, start_ms, limit_ms in zip(parts, starts_ms, limits_ms, strict=True):
        end_s = max(part.end_s, part.start_s + SHORTEST_CUE_S)
        end_ms = min(max(round(end_s * MS_PER_S), start_ms + 1), limit_ms)
        cues.append(_Cue(start_ms, end_ms, _line(part.text)))
    return cues


def _rising(times_s: Sequence[float], audio_ms: int) -> list[int]:
    """Return times in milliseconds, each later than the one before, below a limit."""
    times_ms: list[int] = []
    n_left = len(times_s)
    for time_s in times_s:
        earliest_ms = times_ms[-1] + 1 if times_ms else 0
        latest_ms = audio_ms - n_left  # each of those left has a millisecond
        times_ms.append(min(max(round(time_s * MS_PER_S), earliest_ms), latest_ms))
        n_left -= 1
    return times_ms


def _line(text: str) -> str:
    """Return a text on one line; a blank line would end a subtitle."""
    return " ".join(text.split())


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


def _clock(ms: int, point: str) -> str:
    """Return a time in milliseconds as subtitles write it.

    >>> _clock(3_725_500, ",")
    '01:02:05,500'
    """
    seconds, ms = divmod(ms, MS_PER_S)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{ms:03}"
