"""What a demo server is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.bundle import BUNDLES

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Settings:
    """Everything that differs from one demo server to the next."""

    port: int
    """The port that browsers reach us at; 1–65535."""

    allowed_hosts: tuple[str, ...] = ()
    """Names beside the loopback ones that may stand in Host, as NAME or NAME:PORT."""

    bundles: tuple[Path, ...] = field(default_factory=lambda: ready_made(BUNDLES))
    """Folders of the bundles on offer."""

    threads: int = 1
    """Threads of each engine."""

    max_engines: int = 4
    """Engines kept loaded at a time."""

    max_computations: int = 1
    """Pictures and latency measurements computed at a time.

    One has the machine to itself, so its time is its own; and its memory: 2 GB for the
    largest picture with noise.
    """

    max_waiting: int = 8
    """Requests that wait for such a computation; more are refused."""

    max_body_bytes: int = 32 * MEBIBYTE
    """Bytes of the largest request."""

    max_message_bytes: int = MEBIBYTE
    """Bytes of the largest websocket message."""

    max_picture_px: int = 24_000_000
    """Pixels of the largest picture; the runtime's own limit is higher."""

    max_silence_s: float = 60.0
    """Seconds without a websocket message after which a transcription ends."""

    bench_s: float = 0.3
    """Seconds spent on each row of the latency table."""


def ready_made(folder: Path) -> tuple[Path, ...]:
    """Return the bundles that lie in `folder`, by name."""
    return tuple(sorted(path.parent for path in folder.glob("*/bundle.json")))
