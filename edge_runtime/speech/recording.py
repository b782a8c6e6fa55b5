"""Whole recordings: read and transcribed block by block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.audio import open_audio
from edge_runtime.bundle import Bundle
from edge_runtime.decoder import Decoding
from edge_runtime.engine import Engine
from edge_runtime.errors import AudioError
from edge_runtime.speech.endpoint import EndpointSettings
from edge_runtime.speech.loudness import Loudness
from edge_runtime.speech.record import Record
from edge_runtime.speech.transcript import Segment
from edge_runtime.transcriber import Event, Transcriber

Heard = Callable[[float, float | None], None]
"""Is told how many seconds were heard, and of how many, if that is known."""


@dataclass(frozen=True)
class Transcript:
    """What was said in a recording."""

    segments: tuple[Segment, ...]
    audio_s: float
    """Length of the recording."""
    compute_ms: float
    """Milliseconds spent on it: features, engine and decoding."""
    remark: str | None = None
    """Why there may be no text, or a wrong one, if the sound itself tells."""

    @property
    def text(self) -> str:
        """All of it, on one line."""
        return " ".join(s.text for s in self.segments if s.text)


def transcribe_file(
    bundle: Bundle,
    engine: Engine,
    path: Path,
    decoding: Decoding | None = None,
    record: Record | None = None,
    heard: Heard | None = None,
    endpoints: EndpointSettings | None = None,
) -> Transcript:
    """Return what is said in an audio file, read and transcribed block by block.

    With a record, what stands in it is not computed again, and what is new is written
    to it. Memory is constant but for the text. Raises AudioError for a file that holds
    no audio, or none that can be transcribed.
    """
    segments = list(record.segments) if record else []

    def take(event: Event) -> None:
        if event.kind == "final" and (event.text or event.rejected):
            segments.append(Segment.of(event))
            if record is not None:
                record.add(segments[-1], event.n_chunks)

    with open_audio(path) as audio:
        try:
            transcriber = Transcriber(
                bundle,
                engine,
                audio.sample_rate_hz,
                decoding=decoding,
                endpoints=endpoints,
                first_chunk=record.n_chunks if record else 0,
            )
        except AudioError as error:
            raise AudioError(f"{path}: {error}") from error
        n_samples = 0
        loudness = Loudness()
        for block in audio.blocks:
            for event in transcriber.feed(block):
                take(event)
            n_samples += len(block)
            loudness.feed(block)
            if heard is not None:
                heard(n_samples / audio.sample_rate_hz, audio.duration_s)
    last = transcriber.finish()
    take(last)
    if record is not None:
        record.end(last.audio_s)
    loud = loudness.remark(audio.sample_rate_hz, has_words=bool(segments))
    n_rejected = sum(not segment.text for segment in segments)
    strange = None
    if n_rejected:
        of_all = f"{n_rejected} of {len(segments)} utterances"
        strange = f"{of_all} fit no sentence of the grammar"
    remark = "; ".join(filter(None, [audio.remark, loud, strange])) or None
    return Transcript(tuple(segments), last.audio_s, last.compute_ms, remark)
