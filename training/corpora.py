"""Corpora of speech as they are published: clips, their texts and their speakers."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from edge_runtime.errors import DataError
from training.speech import TABLE_FILE, Utterance, normalize_text, read_table
from training.table import read_rows

TRAIN, DEV, TEST = "train", "dev", "test"
HELD_OUT_ONE_IN = 20
"""Where a corpus has no split of its own, one speaker, or clip, in so many is `dev`."""

LIBRISPEECH_ENDING = ".trans.txt"
COMMON_VOICE_TABLES = {"train.tsv": TRAIN, "dev.tsv": DEV, "test.tsv": TEST}
LJSPEECH_TABLE = "metadata.csv"


def read_corpora(folder: Path) -> list[Utterance]:
    """Return the clips of a corpus, or of all corpora that lie in a folder.

    A corpus is a folder of LibriSpeech (`*/*/*.trans.txt`), of Common Voice
    (`train.tsv` and `clips`), of LJSpeech (`metadata.csv` and `wavs`), or one with a
    `transcripts.tsv`. Each clip's columns have `speaker`, `text` as it stands there,
    and `split`, one of train, dev and test: the corpus's own, or else one speaker in
    HELD_OUT_ONE_IN is `dev`, and one clip where there is one speaker. Texts are
    normalized; clips without words, and clips flagged as unintelligible, are left out.

    Raises DataError where there is no corpus, or one cannot be read.
    """
    read = _reader_of(folder)
    if read is not None:
        return read(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder, expected a corpus of speech")
    inner = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    readers = [(path, _reader_of(path)) for path in inner]
    found = [u for path, reader in readers if reader for u in reader(path)]
    if not found:
        raise DataError(
            f"{folder}: no corpus of speech, expected {TABLE_FILE}, {LJSPEECH_TABLE},"
            f" {' '.join(COMMON_VOICE_TABLES)} or */*/*{LIBRISPEECH_ENDING}, here or in"
            " the folders in it"
        )
    return found


def _reader_of(folder: Path) -> Callable[[Path], list[Utterance]] | None:
    """Return what reads the corpus in a folder; None where there is none."""
    if (folder / TABLE_FILE).is_file():
        return _read_table
    if (folder / "clips").is_dir() and (folder / "train.tsv").is_file():
        return _read_common_voice
    if (folder / LJSPEECH_TABLE).is_file():
        return _read_ljspeech
    if any(folder.glob(f"*/*/*{LIBRISPEECH_ENDING}")):
        return _read_librispeech
    return None


def _read_table(folder: Path) -> list[Utterance]:
    utterances = read_table(folder).utterances
    if "split" in utterances[0].columns:
        return _spoken(utterances)
    return _split(_spoken(utterances))


def _read_librispeech(folder: Path) -> list[Utterance]:
    """Read a part of LibriSpeech, such as train-clean-100; its name tells its split."""
    split = next((s for s in (TRAIN, DEV, TEST) if folder.name.startswith(s)), "")
    found = []
    for table in sorted(folder.glob(f"*/*/*{LIBRISPEECH_ENDING}")):
        for number, line in enumerate(_lines(table), start=1):
            name, _, text = line.partition(" ")
            if not text.strip():
                raise DataError(
                    f"{table}, line {number}: found {line[:60]!r}, expected a clip's"
                    " name and its text"
                )
            columns = {
                "speaker": table.parent.parent.name,
                "split": split,
                "text": text,
            }
            path = table.parent / f"{name}.flac"
            found.append(Utterance(path, normalize_text(text), columns))
    return _spoken(found) if split else _split(_spoken(found))


def _read_common_voice(folder: Path) -> list[Utterance]:
    found = []
    for name, split in COMMON_VOICE_TABLES.items():
        if not (folder / name).is_file():
            continue
        for row in read_rows(folder / name, ("client_id", "path", "sentence"), ()):
            columns = {
                "speaker": row["client_id"],
                "split": split,
                "text": row["sentence"],
            }
            path = folder / "clips" / row["path"]
            found.append(Utterance(path, normalize_text(columns["text"]), columns))
    return _spoken(found)


def _read_ljspeech(folder: Path) -> list[Utterance]:
    """Read LJSpeech: name, text and spoken text, with bars between and no quoting."""
    table = folder / LJSPEECH_TABLE
    found = []
    reader = csv.reader(_lines(table), delimiter="|", quoting=csv.QUOTE_NONE)
    for number, row in enumerate(reader, start=1):
        if len(row) < 2:
            raise DataError(
                f"{table}, line {number}: {len(row)} value, expected a clip's name and"
                " its text with | between"
            )
        path = folder / "wavs" / f"{row[0]}.wav"
        columns = {"speaker": "", "text": row[-1]}
        found.append(Utterance(path, normalize_text(row[-1]), columns))
    return _split(_spoken(found))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    return [line for line in text.splitlines() if line.strip()]


def _spoken(utterances: Iterable[Utterance]) -> list[Utterance]:
    return [utterance for utterance in utterances if utterance.text]


def _split(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Return the clips with a split: whole speakers, or clips of a single one."""
    speakers = [utterance.columns.get("speaker", "") for utterance in utterances]
    order = {speaker: n for n, speaker in enumerate(dict.fromkeys(speakers))}
    many = len(order) >= HELD_OUT_ONE_IN
    found = []
    for number, utterance in enumerate(utterances):
        n = order[speakers[number]] if many else number
        split = TRAIN if n % HELD_OUT_ONE_IN else DEV
        columns = {**utterance.columns, "split": split}
        found.append(replace(utterance, columns=columns))
    return found
