"""Subtitles, as players read them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.speech.transcript import Segment, as_srt, as_text, as_vtt
from edge_runtime.transcriber import TimedWord

CUE = re.compile(r"(\d+):(\d\d):(\d\d)[.,](\d{3}) --> (\d+):(\d\d):(\d\d)[.,](\d{3})")


def said(start_s: float, end_s: float, *texts: str) -> Segment:
    """Return an utterance whose words all stand at one time."""
    words = tuple(TimedWord(text, start_s, end_s, 1.0, "") for text in texts)
    return Segment(start_s, end_s, " ".join(texts), words)


def times_ms(text: str) -> list[tuple[int, int]]:
    found = []
    for hit in CUE.findall(text):
        h, m, s, ms, h_, m_, s_, ms_ = map(int, hit)
        found.append((((h * 60 + m) * 60 + s) * 1000 + ms,
                      ((h_ * 60 + m_) * 60 + s_) * 1000 + ms_))  # fmt: skip
    return found


@given(
    st.lists(
        st.tuples(st.floats(-1.0, 20.0), st.floats(-1.0, 20.0)), min_size=1, max_size=20
    ),
    st.floats(0.1, 20.0),
)
def test_cues_follow_each_other_within_the_recording(
    spans: list[tuple[float, float]], audio_s: float
) -> None:
    """Whatever the times of words: none negative, none over another, none empty."""
    segments = [said(start_s, end_s, "a") for start_s, end_s in spans]

    for form in (as_srt, as_vtt):
        cues = times_ms(form(segments, audio_s))
        flat = [time for cue in cues for time in cue]

        assert len(spans) == len(cues)
        assert sorted(flat) == flat
        assert all(start < end for start, end in cues)
        assert flat[0] >= 0
        assert flat[-1] <= audio_s * 1000


def test_a_short_cue_stays_a_while() -> None:
    """Where the next one and the end let it."""
    segments = [said(0.0, 0.1, "a"), said(0.5, 0.6, "b"), said(1.5, 1.6, "c")]

    assert [(0, 500), (500, 1300), (1500, 2000)] == times_ms(as_srt(segments, 2.0))


@pytest.mark.parametrize(
    ("word", "vtt", "srt"),
    [
        ("a-->b", "a--&gt;b", "a->b"),
        ("<i>&", "&lt;i&gt;&amp;", "<i>&"),
        ("a\n\nb", "a b", "a b"),
        ("a\r\n \x85\u2028b ", "a b", "a b"),
    ],
)
def test_no_text_ends_a_cue(word: str, vtt: str, srt: str) -> None:
    """Arrows, markup and blank lines have a meaning of their own in subtitles."""
    segments = [said(0.0, 1.0, word)]

    clock = "00:00:00{0}000 --> 00:00:01{0}000"
    assert f"WEBVTT\n\n{clock.format('.')}\n{vtt}\n" == as_vtt(segments, 9.0)
    assert f"1\n{clock.format(',')}\n{srt}\n" == as_srt(segments, 9.0)
    assert 1 == as_text(segments, 9.0).count("\n")


def test_blank_words_have_no_cue() -> None:
    """A cue without text would be none; nor has silence any."""
    assert "" == as_srt([], 9.0)
    assert "WEBVTT\n" == as_vtt([said(0.0, 1.0, " \n")], 9.0)
