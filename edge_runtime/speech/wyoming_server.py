"""Speech to text for Home Assistant: a server of the Wyoming protocol."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

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
from edge_runtime.errors import AudioError, SettingError, TiedgeError, one_line
from edge_runtime.speech.wyoming_events import read_event, told, whole
from edge_runtime.transcriber import Transcriber

LANGUAGE = "en"
MOST_AUDIO_S = 600.0
"""Of one request; a client that never ends would take memory for its text."""
MOST_CHANNELS = 32
MOST_WIDTH_BYTES = 4
MOST_RATE_HZ = 1_000_000
"""That is a number at all; which are heard, the transcriber says."""
MOST_CLIENTS = 16
"""At once; each may have one event in memory."""
PATIENCE_S = 300.0
"""How long a client may send nothing, or take nothing."""
LAST_PATIENCE_S = 1.0
"""How long a client that is let go may go on sending, so that it reads why."""


@dataclass
class Room:
    """What clients share."""

    one_at_a_time: asyncio.Lock
    """Held while the engine runs."""
    n_clients: int = 0


class Handler(AsyncEventHandler):
    """One client: sound comes, and its text goes back."""

    def __init__(
        self,
        info: Info,
        make: Callable[[int], Transcriber],
        room: Room,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        super().__init__(reader, writer)
        self._info = info
        self._make = make
        self._room = room
        self._transcriber: Transcriber | None = None
        self._texts: list[str] = []
        self._n_samples = 0

    async def run(self) -> None:
        """Answer events until the client leaves, is silent, or sends what is none."""
        self._room.n_clients += 1
        try:
            if self._room.n_clients > MOST_CLIENTS:
                raise AudioError(f"more than {MOST_CLIENTS} clients at once; try later")
            while (event := await self._next()) is not None:
                await self.handle_event(event)
            self._say_left()
        except TimeoutError:
            _say(f"let go: nothing came, or was taken, for {PATIENCE_S:g} s")
        except AudioError as error:
            _say(f"let go: {error}")
            with suppress(OSError):
                await self._let_go(error)
        except asyncio.IncompleteReadError:
            _say("left within an event")
        except OSError:  # one that has its transcript need not wait for what follows
            self._say_left()
        finally:
            self._room.n_clients -= 1
            self.writer.close()

    def _say_left(self) -> None:
        if self._transcriber is not None:
            _say("left before audio-stop")

    async def handle_event(self, event: Event) -> bool:
        """Answer one event; a mistake of the client's is told, and ends its turn."""
        try:
            await self._answer(event)
        except TiedgeError as error:
            self._transcriber = None
            _say(str(error))
            await self.write_event(Error(str(error), "bad-request").event())
        return True

    async def write_event(self, event: Event) -> None:
        """Send an event; raises TimeoutError where the client takes nothing."""
        async with asyncio.timeout(PATIENCE_S):
            await super().write_event(event)

    async def _next(self) -> Event | None:
        async with asyncio.timeout(PATIENCE_S):
            message = await read_event(self.reader)
        return None if message is None else Event(*message)

    async def _let_go(self, error: AudioError) -> None:
        """Say why; closed at once, what is still on its way would take that back."""
        await self.write_event(Error(str(error), "bad-request").event())
        self.writer.write_eof()
        async with asyncio.timeout(LAST_PATIENCE_S):
            while await self.reader.read(1 << 16):
                pass

    async def _answer(self, event: Event) -> None:
        if Describe.is_type(event.type):
            await self.write_event(self._info.event())
        elif Transcribe.is_type(event.type):
            language = event.data.get("language")
            if language is not None and str(language).partition("-")[0] != LANGUAGE:
                raise SettingError(f"language {told(language)}: expected {LANGUAGE}")
        elif AudioStart.is_type(event.type):
            rate_hz, _, _ = _form(event)
            self._transcriber = self._make(rate_hz)
            self._texts, self._n_samples = [], 0
            await self.write_event(TranscriptStart(language=LANGUAGE).event())
        elif AudioChunk.is_type(event.type):
            await self._hear(event)
        elif AudioStop.is_type(event.type):
            await self._finish()

    async def _hear(self, event: Event) -> None:
        transcriber = self._transcriber
        if transcriber is None:
            raise AudioError("audio-chunk: came before audio-start")
        rate_hz, width, n_channels = _form(event)
        if rate_hz != transcriber.sample_rate_hz:
            raise AudioError(
                f"audio-chunk: is at {rate_hz} Hz, expected"
                f" {transcriber.sample_rate_hz} Hz as audio-start has it"
            )
        data = event.payload or b""
        if len(data) % (width * n_channels):
            raise AudioError("audio-chunk: ends within a sample")
        samples = pcm_to_float(data, width).reshape(-1, n_channels)  # (S, C)
        self._n_samples += len(samples)
        if self._n_samples > MOST_AUDIO_S * rate_hz:
            raise AudioError(f"audio: longer than {MOST_AUDIO_S:g} s; send it in parts")
        mono = np.asarray(samples.mean(axis=1), np.float32)
        for first in range(0, len(mono), rate_hz):  # others have their turn between
            part = mono[first : first + rate_hz]
            async with self._room.one_at_a_time:
                events = await asyncio.to_thread(transcriber.feed, part)
            for heard in events:
                if heard.kind == "final" and heard.text:
                    await self._tell(heard.text)

    async def _finish(self) -> None:
        transcriber, self._transcriber = self._transcriber, None
        if transcriber is None:
            raise AudioError("audio-stop: came before audio-start")
        async with self._room.one_at_a_time:
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


def _form(event: Event) -> tuple[int, int, int]:
    """Return rate in Hz, bytes of a sample, and channels; raises AudioError."""
    return (
        whole(event.type, event.data, "rate", MOST_RATE_HZ),
        whole(event.type, event.data, "width", MOST_WIDTH_BYTES),
        whole(event.type, event.data, "channels", MOST_CHANNELS),
    )


def _say(what: str) -> None:
    with suppress(OSError):  # nobody reads stderr; clients are served nevertheless
        line = one_line(f"tiedge listen: client: {what}")
        print(line, file=sys.stderr, flush=True)


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
    handler = partial(Handler, _info(bundle), make, Room(asyncio.Lock()))
    try:
        await server.start(handler)
    except (OSError, UnicodeError) as error:  # the last: a host that can be no name
        reason = getattr(error, "strerror", None) or error
        raise SettingError(
            f"--wyoming {host}:{port}: cannot be taken: {reason}; name another"
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
