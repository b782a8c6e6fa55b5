"""Speech to text for Home Assistant: a server of the Wyoming protocol."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from wyoming.asr import (
    Transcribe,
    Transcript,
    TranscriptChunk,
    TranscriptStart,
    TranscriptStop,
)
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import AsrModel, AsrProgram, Attribution, Describe, Info
from wyoming.server import AsyncEventHandler, AsyncTcpServer

from edge_runtime import __version__
from edge_runtime.audio import pcm_to_float
from edge_runtime.bundle import Bundle
from edge_runtime.errors import AudioError, SettingError, TiedgeError
from edge_runtime.transcriber import Transcriber

LANGUAGE = "en"
MOST_AUDIO_S = 600.0
"""Of one request; a client that never ends would take memory for its text."""
MOST_CHANNELS = 32


class Handler(AsyncEventHandler):
    """One client: sound comes, and its text goes back."""

    def __init__(
        self,
        info: Info,
        make: Callable[[int], Transcriber],
        one_at_a_time: asyncio.Lock,
        *streams: Any,
    ) -> None:
        super().__init__(*streams)
        self._info = info
        self._make = make
        self._lock = one_at_a_time
        self._transcriber: Transcriber | None = None
        self._texts: list[str] = []
        self._n_samples = 0

    async def handle_event(self, event: Event) -> bool:
        """Answer one event; a mistake of the client's is told, and ends its turn."""
        try:
            await self._answer(event)
        except (TiedgeError, KeyError, ValueError, TypeError) as error:
            self._transcriber = None
            print(f"tiedge listen: client: {error}", file=sys.stderr, flush=True)
            await self.write_event(Error(str(error), "bad-request").event())
        return True

    async def _answer(self, event: Event) -> None:
        if Describe.is_type(event.type):
            await self.write_event(self._info.event())
        elif Transcribe.is_type(event.type):
            language = Transcribe.from_event(event).language
            if language is not None and language.partition("-")[0] != LANGUAGE:
                raise SettingError(f"language {language}: expected {LANGUAGE}")
        elif AudioStart.is_type(event.type):
            start = AudioStart.from_event(event)
            self._transcriber = self._make(start.rate)
            self._texts, self._n_samples = [], 0
            await self.write_event(TranscriptStart(language=LANGUAGE).event())
        elif AudioChunk.is_type(event.type):
            await self._hear(AudioChunk.from_event(event))
        elif AudioStop.is_type(event.type):
            await self._finish()

    async def _hear(self, chunk: AudioChunk) -> None:
        transcriber = self._transcriber
        if transcriber is None:
            raise AudioError("audio-chunk: came before audio-start")
        if chunk.rate != transcriber.sample_rate_hz:
            raise AudioError(
                f"audio-chunk: is at {chunk.rate} Hz, expected"
                f" {transcriber.sample_rate_hz} Hz as audio-start has it"
            )
        if not 1 <= chunk.channels <= MOST_CHANNELS or not 1 <= chunk.width <= 4:
            raise AudioError(
                f"audio-chunk: has {chunk.channels} channels of {chunk.width} bytes,"
                f" expected 1 to {MOST_CHANNELS} of 1 to 4"
            )
        if len(chunk.audio) % (chunk.width * chunk.channels):
            raise AudioError("audio-chunk: ends within a sample")
        samples = pcm_to_float(chunk.audio, chunk.width).reshape(-1, chunk.channels)
        self._n_samples += len(samples)
        if self._n_samples > MOST_AUDIO_S * transcriber.sample_rate_hz:
            raise AudioError(f"audio: longer than {MOST_AUDIO_S:g} s; send it in parts")
        mono = np.asarray(samples.mean(axis=1), np.float32)
        async with self._lock:
            events = await asyncio.to_thread(transcriber.feed, mono)
        for event in events:
            if event.kind == "final":
                await self._tell(event.text)

    async def _finish(self) -> None:
        transcriber, self._transcriber = self._transcriber, None
        if transcriber is None:
            raise AudioError("audio-stop: came before audio-start")
        async with self._lock:
            last = await asyncio.to_thread(transcriber.finish)
        if last.text:
            await self._tell(last.text)
        text = " ".join(self._texts)
        await self.write_event(Transcript(text, language=LANGUAGE).event())
        await self.write_event(TranscriptStop().event())

    async def _tell(self, text: str) -> None:
        space = " " if self._texts else ""
        self._texts.append(text)
        await self.write_event(TranscriptChunk(f"{space}{text}").event())


def serve(
    bundle: Bundle,
    make: Callable[[int], Transcriber],
    host: str,
    port: int,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until the process is ended; `make` gives a transcriber for a rate in Hz.

    Raises SettingError where the address cannot be taken.
    """
    asyncio.run(_serve(bundle, make, host, port, ready))


async def _serve(
    bundle: Bundle,
    make: Callable[[int], Transcriber],
    host: str,
    port: int,
    ready: Callable[[], None],
) -> None:
    server = AsyncTcpServer(host, port)
    handler = partial(Handler, _info(bundle), make, asyncio.Lock())
    try:
        await server.start(handler)
    except OSError as error:
        raise SettingError(
            f"--wyoming {host}:{port}: cannot be taken: {error.strerror or error}; name"
            " another port"
        ) from error
    ready()
    try:
        await asyncio.Event().wait()  # until Ctrl-C or SIGTERM
    finally:
        await server.stop()


def _info(bundle: Bundle) -> Info:
    by = Attribution(name="tiedge", url="")
    model = AsrModel(
        name=bundle.name,
        attribution=by,
        installed=True,
        description=bundle.summary,
        version=bundle.tiedge_version,
        languages=[LANGUAGE],
    )
    program = AsrProgram(
        name="tiedge",
        attribution=by,
        installed=True,
        description="small speech networks that share weights",
        version=__version__,
        models=[model],
        supports_transcript_streaming=True,
    )
    return Info(asr=[program])
