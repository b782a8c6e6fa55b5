"""Loaded engines: opened once, used by one caller at a time, few at a time."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Self, final

from edge_runtime.bundle import Bundle
from edge_runtime.engine import Engine
from edge_runtime.engines import open_engine
from edge_runtime.errors import EngineError, SettingError, TiedgeError
from edge_runtime.model_choice import choose_model


def open_bundles(folders: Iterable[Path]) -> dict[str, Bundle]:
    """Return the bundles by name; raises SettingError where two share one."""
    bundles: dict[str, Bundle] = {}
    for folder in folders:
        bundle = Bundle.open(folder)
        if bundle.name in bundles:
            raise SettingError(
                f'{folder}: a bundle named "{bundle.name}" is served already, from'
                f" {bundles[bundle.name].folder}; leave one out"
            )
        bundles[bundle.name] = bundle
    return bundles


@dataclass(frozen=True)
class EngineKey:
    """What an engine is loaded for."""

    bundle: str
    engine: str
    precision: str


@dataclass
class _Slot:
    lock: Lock = field(default_factory=Lock)
    """Held while the engine loads or runs."""

    engine: Engine | None = None
    load_ms: float = 0.0
    n_leases: int = 0


@final
class Lease:
    """A hold on a loaded engine, which stays loaded until release()."""

    def __init__(self, cache: EngineCache, key: EngineKey, slot: _Slot) -> None:
        assert slot.engine is not None
        self.bundle = cache.bundle(key.bundle)
        self.engine = slot.engine
        self.load_ms = slot.load_ms
        """Milliseconds that loading took, whoever caused it."""

        self._cache = cache
        self._key = key
        self._slot = slot

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep everybody else from running this engine."""
        with self._slot.lock:
            yield

    def release(self) -> None:
        """Let the engine go; exactly once."""
        self._cache.release(self._key, self._slot)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@final
class EngineCache:
    """Engines for the bundles on offer; at most `limit` are loaded at a time."""

    def __init__(self, bundles: Mapping[str, Bundle], threads: int, limit: int) -> None:
        self.bundles = dict(bundles)
        self.threads = threads
        self._limit = limit
        self._lock = Lock()
        self._slots: OrderedDict[EngineKey, _Slot] = OrderedDict()

    def bundle(self, name: str) -> Bundle:
        """Return the bundle `name`; raises SettingError naming those on offer."""
        if name not in self.bundles:
            raise SettingError(
                f'no bundle "{name}" is served, expected one of'
                f" {' '.join(self.bundles) or '(none)'}"
            )
        return self.bundles[name]

    def public(self, error: TiedgeError) -> str:
        """Return an error's text with bundles' names in place of their folders."""
        text = str(error)
        for name, bundle in self.bundles.items():
            text = text.replace(str(bundle.folder), name)
        return text

    def lease(self, key: EngineKey) -> Lease:
        """Return a hold on the engine for `key`, loading it if need be.

        Raises SettingError for what is not on offer, EngineError if the engine is
        missing or all that may be loaded are in use.
        """
        slot = self._hold(key)
        try:
            with slot.lock:
                if slot.engine is None:
                    slot.engine, slot.load_ms = self._load(key)
        except BaseException:
            self.release(key, slot)
            raise
        return Lease(self, key, slot)

    def release(self, key: EngineKey, slot: _Slot) -> None:
        """Give a hold back; an engine that never loaded is forgotten."""
        with self._lock:
            slot.n_leases -= 1
            if slot.n_leases == 0 and slot.engine is None:
                del self._slots[key]

    def close(self) -> None:
        """Close every engine; nobody may hold one any more."""
        with self._lock:
            while self._slots:
                _, slot = self._slots.popitem()
                if slot.engine is not None:
                    slot.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hold(self, key: EngineKey) -> _Slot:
        with self._lock:
            if key not in self._slots:
                self._make_room()
                self._slots[key] = _Slot()
            self._slots.move_to_end(key)
            self._slots[key].n_leases += 1
            return self._slots[key]

    def _make_room(self) -> None:
        """Close the engine that was idle longest, if there are too many."""
        if len(self._slots) < self._limit:
            return
        for key, slot in self._slots.items():
            if slot.n_leases == 0:
                del self._slots[key]
                if slot.engine is not None:
                    slot.engine.close()
                return
        raise EngineError(
            f"all {self._limit} engines that may be loaded are in use; try again when"
            " a picture or a recording is finished"
        )

    def _load(self, key: EngineKey) -> tuple[Engine, float]:
        model = choose_model(self.bundle(key.bundle), key.engine, key.precision)
        start = time.perf_counter()
        engine = open_engine(key.engine, model, threads=self.threads)
        return engine, (time.perf_counter() - start) * 1e3
