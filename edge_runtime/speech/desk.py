"""One recording after another, transcribed into files or to be printed."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_runtime.bundle import Bundle
from edge_runtime.decoder import Decoding
from edge_runtime.engine import Engine
from edge_runtime.errors import AudioError, SettingError, TiedgeError
from edge_runtime.files import check_regular, write_text
from edge_runtime.model_choice import choose_model
from edge_runtime.speech.choice import DecodingChoice, decisive
from edge_runtime.speech.listing import Recording
from edge_runtime.speech.record import Record, open_record
from edge_runtime.speech.recording import Heard, Transcript, transcribe_file
from edge_runtime.speech.transcript import FORMATS
from edge_runtime.transcriber import open_speech, require_speech

BEGINNING_BYTES = 1 << 16
"""Of a recording; with length and time, they tell whether it is the same."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Order:
    """What is asked for; one of these fits all recordings of a run."""

    bundle: str
    engine: str
    precision: str
    threads: int
    decoding: DecodingChoice
    output: Path | None
    """Folder of the texts; None where they are printed."""
    formats: tuple[str, ...]
    """Endings of the texts."""

    @contextmanager
    def open(self) -> Iterator[Desk]:
        """Yield what does it; raises what `open_speech` and `decoding.open` do."""
        bundle, engine = open_speech(
            self.bundle, self.engine, self.precision, self.threads
        )
        speech = require_speech(bundle)
        opening = self.decoding.open(
            speech.alphabet, speech.vocabulary, self.engine, self.threads
        )
        with engine, opening as decoding:
            yield Desk(self, bundle, engine, decoding)

    @contextmanager
    def open_rows(self) -> Iterator[Callable[[Recording], Row]]:
        """Yield `Desk.row`, for a process of its own."""
        with self.open() as desk:
            yield desk.row


class Desk:
    """A bundle, its engine and decoding, open for one recording after another."""

    def __init__(
        self, order: Order, bundle: Bundle, engine: Engine, decoding: Decoding
    ) -> None:
        self._order = order
        self.bundle = bundle
        self._engine = engine
        self._decoding = decoding

    def transcribe(self, recording: Recording, heard: Heard | None = None) -> Row:
        """Return what was said in a recording.

        Raises AudioError as the reader does, SettingError for what cannot be written.
        """
        output = self._order.output
        if output is None:
            transcript = transcribe_file(
                self.bundle, self._engine, recording.source, self._decoding, None, heard
            )
            return self._row(recording, transcript)
        targets = {
            ending: output / f"{recording.name}.{ending}"
            for ending in self._order.formats
        }
        for target in targets.values():
            check_regular(target, "a file to write", SettingError)
        with open_record(
            output, recording.name, self._setting(recording.source)
        ) as record:
            row = self._recorded(recording, record, targets, heard)
        remarks = [record.remark, row.get("remark")]
        if any(remarks):
            row["remark"] = "; ".join(filter(None, remarks))
        return row | {"targets": [str(target) for target in targets.values()]}

    def row(self, recording: Recording) -> Row:
        """Return what `transcribe` does, or a row with an error."""
        source = recording.source
        try:
            return self.transcribe(recording)
        except TiedgeError as error:  # unreadable, or unwritable
            return {"file": str(source), "error": str(error)}
        except MemoryError:
            why = f"{source}: not enough free memory; end other programs"
            return {"file": str(source), "error": why}

    def _recorded(
        self,
        recording: Recording,
        record: Record,
        targets: dict[str, Path],
        heard: Heard | None,
    ) -> Row:
        """Do what the record does not have, and write it to the targets."""
        is_done = record.audio_s is not None
        missing = {
            ending: target
            for ending, target in targets.items()
            if ending not in record.written or not os.path.exists(target)  # noqa: PTH110
        }
        if is_done and not missing:
            return {"file": str(recording.source), "done_before": True}
        if record.is_new:
            _check_not_ours(recording.source, missing)
        if record.audio_s is None:
            transcript = transcribe_file(
                self.bundle,
                self._engine,
                recording.source,
                self._decoding,
                record,
                heard,
            )
        else:
            transcript = Transcript(tuple(record.segments), record.audio_s, 0.0)
        for ending, target in (missing if is_done else targets).items():
            text = FORMATS[ending](transcript.segments, transcript.audio_s)
            write_text(target, text)
            record.add_written(ending)
        return self._row(recording, transcript)

    def _row(self, recording: Recording, transcript: Transcript) -> Row:
        row: Row = {
            "file": str(recording.source),
            "text": transcript.text,
            "segments": [asdict(segment) for segment in transcript.segments],
            "audio_s": round(transcript.audio_s, 3),
            "compute_ms": round(transcript.compute_ms, 3),
        }
        if transcript.remark is not None:
            row["remark"] = transcript.remark
        return row

    def _setting(self, source: Path) -> dict[str, Any]:
        """Return all that a text depends on."""
        check_regular(source, "an audio file", AudioError)
        try:
            status = source.stat()
            with source.open("rb") as file:
                beginning_crc32 = zlib.crc32(file.read(BEGINNING_BYTES))
        except OSError as error:
            raise AudioError(f"{source}: {error.strerror}") from error
        order = self._order
        model = choose_model(self.bundle, order.engine, order.precision)
        return {
            "source": str(source.resolve()),
            "bytes": status.st_size,
            "changed_ns": status.st_mtime_ns,
            "beginning_crc32": beginning_crc32,
            "model_sha256": model.sha256,
            "engine": order.engine,
            **decisive(order.decoding, self._decoding),
        }


def _check_not_ours(source: Path, targets: dict[str, Path]) -> None:
    """Refuse to replace what lies beside a recording and no run has written."""
    for target in targets.values():
        if os.path.lexists(target) and _folder(target) == _folder(source):
            raise SettingError(
                f"{target}: is there, and not by tiedge transcribe; name another"
                " --output, or move it away"
            )


def _folder(path: Path) -> Path:
    return path.parent.resolve()
