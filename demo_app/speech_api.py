"""Websocket /transcribe: sound in small pieces in, the runtime's events out.

The client sends a greeting as JSON text, sound as binary messages, and the text "end".
The server sends {"kind": "ready"}, then each event of the transcriber: "kind", which is
"partial" or "final", "text" of the utterance, "start_s" where it begins, "audio_s" of
sound that was heard, "compute_ms", and of a final one its "words" and, where a grammar
was asked for, its "intent". It closes after the final one that answers "end". Whatever
goes wrong is {"kind": "error", "message"}, then a close with 1008.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

import numpy as np
from fastapi import APIRouter
from numpy.typing import NDArray
from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from demo_app.decoding import Expected, open_decoding
from demo_app.engine_cache import EngineCache, EngineKey, Lease
from demo_app.guard import POLICY_VIOLATION
from demo_app.questions import first_mistake
from demo_app.settings import Settings
from demo_app.workers import Workers
from edge_runtime.audio import pcm_to_float
from edge_runtime.errors import AudioError, SettingError, TiedgeError
from edge_runtime.speech.choice import fits_english
from edge_runtime.speech.options import BUNDLE
from edge_runtime.transcriber import Event, Transcriber, require_speech

END = "end"
PCM_BYTES = 2
"""Bytes of a 16-bit sample."""

FLOAT_BYTES = 4
"""Bytes of a float32 sample."""

LOUDEST = 8.0
"""Float samples lie in ±1; decoders overshoot a little, bytes of a photo a lot."""


class Greeting(Expected):
    """The first message of a client."""

    sample_rate_hz: int
    bundle: str = BUNDLE
    engine: str = "litert"
    precision: str = "int8"
    samples: Literal["float32", "int16"] = "float32"
    """What binary messages hold, little-endian, one channel."""


def speech_routes(
    cache: EngineCache, workers: Workers, settings: Settings
) -> APIRouter:
    """Return the websocket route /transcribe."""
    routes = APIRouter()

    @routes.websocket("/transcribe")
    async def transcribe(socket: WebSocket) -> None:
        await socket.accept()
        # A client that leaves needs no answer.
        with contextlib.suppress(WebSocketDisconnect):
            try:
                await _serve(socket, cache, workers, settings)
            except TiedgeError as error:
                await socket.send_json(
                    {"kind": "error", "message": cache.public(error)}
                )
                await socket.close(POLICY_VIOLATION)

    return routes


async def _serve(
    socket: WebSocket, cache: EngineCache, workers: Workers, settings: Settings
) -> None:
    greeting = read_greeting(await _next_message(socket, settings))
    key = EngineKey(greeting.bundle, greeting.engine, greeting.precision)
    lease = await workers.at_once(functools.partial(cache.lease, key))
    with contextlib.ExitStack() as leases:
        leases.enter_context(lease)
        speech = require_speech(lease.bundle)
        opening = functools.partial(
            open_decoding,
            *(cache, greeting, greeting.engine),
            fits_english=fits_english(speech.alphabet, speech.vocabulary),
        )
        decoding, language = await workers.at_once(opening)
        if language is not None:
            leases.enter_context(language)
        transcriber = Transcriber(
            lease.bundle, lease.engine, greeting.sample_rate_hz, decoding=decoding
        )
        await socket.send_json({"kind": "ready"})
        engines = [one for one in (lease, language) if one is not None]
        await _converse(socket, greeting, transcriber, engines, workers, settings)
    await socket.close()


async def _converse(
    socket: WebSocket,
    greeting: Greeting,
    transcriber: Transcriber,
    leases: Sequence[Lease],
    workers: Workers,
    settings: Settings,
) -> None:
    """Answer sound with events until the client says that it ended."""

    def running() -> contextlib.ExitStack:
        """Keep others from the engines, always in this order."""
        held = contextlib.ExitStack()
        for lease in leases:
            held.enter_context(lease.running())
        return held

    def feed(samples: NDArray[np.float32]) -> tuple[Event, ...]:
        with running():
            return transcriber.feed(samples)

    def finish() -> Event:
        with running():
            return transcriber.finish()

    n_samples = 0
    while (message := await _next_message(socket, settings)) != END:
        samples = read_samples(message, greeting.samples)
        n_samples += samples.size
        for event in await workers.at_once(functools.partial(feed, samples)):
            await socket.send_json(asdict(event))
    if n_samples == 0:
        raise AudioError("recording: no samples, expected some sound; record again")
    await socket.send_json(asdict(await workers.at_once(finish)))


async def _next_message(socket: WebSocket, settings: Settings) -> str | bytes:
    """Return the client's next message.

    Raises SettingError if it is too long or too late, WebSocketDisconnect if none will
    come.
    """
    try:
        event = await asyncio.wait_for(socket.receive(), settings.max_silence_s)
    except TimeoutError as error:
        raise SettingError(
            f"transcribe: no message for {settings.max_silence_s:g} s, expected sound"
            f' or "{END}"; connect again'
        ) from error
    if event["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(event.get("code", 1005))
    message: str | bytes = event.get("text") or event.get("bytes") or b""
    if len(message) > settings.max_message_bytes:
        raise SettingError(
            f"transcribe: a message of {len(message)} bytes, expected at most"
            f" {settings.max_message_bytes}; send smaller pieces"
        )
    return message


def read_greeting(message: str | bytes) -> Greeting:
    """Return the client's first message; raises SettingError saying what is wrong."""
    if isinstance(message, bytes):
        raise SettingError(
            "greeting: found binary data, expected JSON text such as"
            ' {"sample_rate_hz": 16000}'
        )
    try:
        return Greeting.model_validate_json(message)
    except ValidationError as error:
        raise SettingError(f"greeting: {first_mistake(error.errors())}") from error


def read_samples(
    message: str | bytes, kind: Literal["float32", "int16"]
) -> NDArray[np.float32]:
    """Return a message's samples (S,) in ±1; raises AudioError for anything else."""
    if isinstance(message, str):
        raise AudioError(
            f"recording: found the text {message[:20]!r}, expected {kind} samples or"
            f' "{END}"'
        )
    sample_bytes = PCM_BYTES if kind == "int16" else FLOAT_BYTES
    if len(message) % sample_bytes:
        raise AudioError(
            f"recording: a message of {len(message)} bytes is no whole number of"
            f" {kind} samples"
        )
    if kind == "int16":
        return pcm_to_float(message, PCM_BYTES)
    samples = np.frombuffer(message, dtype="<f4").astype(np.float32)
    if not np.all(np.abs(samples) <= LOUDEST):
        raise AudioError(
            "recording: these bytes are no float32 sound: found samples beyond"
            f" ±{LOUDEST:g}, expected ±1"
        )
    return samples
