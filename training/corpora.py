"""Corpora of speech as they are published: clips, their texts and their speakers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from edge_runtime.errors import DataError
from training.speech import TABLE_FILE, Utterance, normalize_text, read_table
from training.table import TABLE_ENDING, read_lines, read_rows

SPLITS = TRAIN, DEV, TEST = "train", "dev", "test"
HELD_OUT_ONE_IN = 20
"""Where a corpus does not say what is `dev`, one speaker, or clip, in so many is."""
CHOSEN = "chosen"
"""The column that is there where a clip's split is not the corpus's own."""

LIBRISPEECH_ENDING = ".trans.txt"
COMMON_VOICE_TABLES = {"train.tsv": TRAIN, "dev.tsv": DEV, "test.tsv": TEST}
LJSPEECH_TABLE = "metadata.csv"


def read_corpora(path: Path) -> list[Utterance]:
    """Return the clips of a corpus, or of all corpora that lie in a folder.

    A corpus is a folder of LibriSpeech (`*/*/*.trans.txt`), of Common Voice
    (`train.tsv` and `clips`), of LJSpeech (`metadata.csv` and `wavs`), or one with a
    `transcripts.tsv`, or such a table. Each clip's columns have `text` as it stands
    there and `split`, one of train, dev and test: the corpus's own, or else one speaker
    in HELD_OUT_ONE_IN is `dev`, and one clip where there are fewer speakers. So are
    clips of train where none are `dev`. Texts are normalized; clips without words, and
    clips flagged as unintelligible, are left out.

    Raises DataError where there is no corpus, or one cannot be read.
    """
    read = _reader_of(path)
    if read is not None:
        found = read(path)
    elif path.is_dir():
        readers = [(inner, _reader_of(inner)) for inner in _folders(path)]
        found = [u for inner, reader in readers if reader for u in reader(inner)]
    else:
        what = "is no folder" if path.exists() else "no such folder"
        raise DataError(f"{path}: {what}, expected a corpus of speech")
    if not found:
        raise DataError(
            f"{path}: no corpus of speech, expected {TABLE_FILE}, {LJSPEECH_TABLE},"
            f" {' '.join(COMMON_VOICE_TABLES)} or */*/*{LIBRISPEECH_ENDING}, here or in"
            " the folders in it, with texts"
        )
    return _with_dev(found)


def _folders(path: Path) -> list[Path]:
    try:
        return [inner for inner in sorted(path.iterdir()) if inner.is_dir()]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _reader_of(folder: Path) -> Callable[[Path], list[Utterance]] | None:
    """Return what reads the corpus in a folder; None where there is none."""
    if (folder / TABLE_FILE).exists() or _is_table(folder):
        return _read_table
    if (folder / "clips").is_dir() and (folder / "train.tsv").exists():
        return _read_common_voice
    if (folder / LJSPEECH_TABLE).exists():
        return _read_ljspeech
    if any(folder.glob(f"*/*/*{LIBRISPEECH_ENDING}")):
        return _read_librispeech
    return None


def _is_table(path: Path) -> bool:
    return path.suffix == TABLE_ENDING and not path.is_dir() and path.exists()


def _read_table(path: Path) -> list[Utterance]:
    utterances = read_table(path).utterances
    if "split" not in utterances[0].columns:
        return _split(_spoken(utterances))
    for utterance in utterances:
        split = utterance.columns["split"]
        if split not in SPLITS:
            raise DataError(
                f"{utterance.place}: split is {split!r}, expected one of"
                f" {' '.join(SPLITS)}"
            )
    return _spoken(utterances)


def _read_librispeech(folder: Path) -> list[Utterance]:
    """Read a part of LibriSpeech, such as train-clean-100; its name tells its split."""
    name = folder.resolve().name
    split = next((s for s in SPLITS if name.startswith(s)), "")
    found = []
    for table in sorted(folder.glob(f"*/*/*{LIBRISPEECH_ENDING}")):
        for number, line in read_lines(table, "texts of clips"):
            place = f"{table}, line {number}"
            name, _, text = line.partition(" ")
            if not name or not text.strip():
                raise DataError(
                    f"{place}: found {line[:60]!r}, expected a clip's name and its text"
                )
            columns = {
                "speaker": table.parent.parent.name,
                "split": split,
                "text": text,
            }
            path = table.parent / f"{name}.flac"
            found.append(Utterance(path, normalize_text(text), columns, place))
    return _spoken(found) if split else _split(_spoken(found))


def _read_common_voice(folder: Path) -> list[Utterance]:
    found = []
    for name, split in COMMON_VOICE_TABLES.items():
        if not (folder / name).exists():
            continue
        for row in read_rows(folder / name, ("client_id", "path", "sentence"), ()):
            text = row.values["sentence"]
            columns = {"speaker": row.values["client_id"], "split": split, "text": text}
            path = folder / "clips" / row.values["path"]
            found.append(Utterance(path, normalize_text(text), columns, row.place))
    return _spoken(found)


def _read_ljspeech(folder: Path) -> list[Utterance]:
    """Read LJSpeech: name, text and spoken text, with bars between and no quoting."""
    table = folder / LJSPEECH_TABLE
    found = []
    for number, line in read_lines(table, "names and texts of clips"):
        place = f"{table}, line {number}"
        values = line.split("|")
        if len(values) not in (2, 3) or not values[0]:
            raise DataError(
                f"{place}: found {line[:60]!r}, expected a clip's name, its text and"
                " the text as it is spoken, with | between"
            )
        path = folder / "wavs" / f"{values[0]}.wav"
        columns = {"speaker": "", "text": values[-1]}
        found.append(Utterance(path, normalize_text(values[-1]), columns, place))
    return _split(_spoken(found))


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
        columns = {**utterance.columns, "split": split, CHOSEN: "1"}
        found.append(replace(utterance, columns=columns))
    return found


def _with_dev(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Return the clips; where none are `dev`, some of `train` become so."""
    if any(utterance.columns["split"] == DEV for utterance in utterances):
        return list(utterances)
    train = _split([u for u in utterances if u.columns["split"] == TRAIN])
    return train + [u for u in utterances if u.columns["split"] != TRAIN]
