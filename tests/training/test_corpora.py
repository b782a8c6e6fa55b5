"""Corpora in the forms in which they are published."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.errors import DataError
from training.corpora import CHOSEN, HELD_OUT_ONE_IN, read_corpora
from training.speech import Utterance


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def told(found: list[Utterance], folder: Path) -> list[tuple[str, str, str, str]]:
    return [
        (
            str(u.path.relative_to(folder)),
            u.text,
            u.columns["speaker"],
            u.columns["split"],
        )
        for u in found
    ]


def test_librispeech_is_read(tmp_path: Path) -> None:
    """Clips lie by speaker and chapter; a part's name tells its split."""
    for part in ("train-clean-5", "dev-clean"):
        table = tmp_path / part / "84" / "121123" / "84-121123.trans.txt"
        write(table, "84-121123-0000 GO\n84-121123-0001 TWENTY 2 DON'T\n")

    found = told(read_corpora(tmp_path), tmp_path)

    clip = "84/121123/84-121123-000"
    assert [
        (f"dev-clean/{clip}0.flac", "go", "84", "dev"),
        (f"dev-clean/{clip}1.flac", "twenty two don't", "84", "dev"),
        (f"train-clean-5/{clip}0.flac", "go", "84", "train"),
        (f"train-clean-5/{clip}1.flac", "twenty two don't", "84", "train"),
    ] == found


def test_common_voice_is_read(tmp_path: Path) -> None:
    """Its tables are its splits; clips without a word are left out."""
    head = "client_id\tpath\tsentence\tup_votes\n"
    (tmp_path / "clips").mkdir()
    write(tmp_path / "train.tsv", f"{head}s1\ta.mp3\tHello, you!\t2\ns1\tb.mp3\t…\t2\n")
    write(tmp_path / "dev.tsv", f"{head}s2\tc.mp3\tBye.\t2\n")

    found = told(read_corpora(tmp_path), tmp_path)

    assert [
        ("clips/a.mp3", "hello you", "s1", "train"),
        ("clips/c.mp3", "bye", "s2", "dev"),
    ] == found


def test_ljspeech_is_read(tmp_path: Path) -> None:
    """One speaker: every so many clips are held out; the spoken form is the text."""
    lines = [f'LJ{n:03}|Dr. "{n}|Doctor {n}\n' for n in range(HELD_OUT_ONE_IN + 1)]
    write(tmp_path / "metadata.csv", "".join(lines))

    found = told(read_corpora(tmp_path), tmp_path)

    assert ("wavs/LJ001.wav", "doctor one", "", "train") == found[1]
    assert [0, HELD_OUT_ONE_IN] == [
        n for n, (_, _, _, split) in enumerate(found) if split == "dev"
    ]


def test_a_table_keeps_its_split_or_gets_one_by_speaker(tmp_path: Path) -> None:
    """Without a column split, whole speakers are held out."""
    own = "path\ttext\tspeaker\tsplit\na.wav\tone\tx\ttest\n"
    write(tmp_path / "own" / "transcripts.tsv", own)
    rows = [
        f"{s}_{n}.wav\tone\tspeaker{s}"
        for s in range(HELD_OUT_ONE_IN)
        for n in range(2)
    ]
    other = "\n".join(["path\ttext\tspeaker", *rows])
    write(tmp_path / "split" / "transcripts.tsv", other)

    assert "test" == read_corpora(tmp_path / "own")[0].columns["split"]
    found = told(read_corpora(tmp_path / "split"), tmp_path / "split")
    held_out = {speaker for _, _, speaker, split in found if split == "dev"}
    assert {"speaker0"} == held_out
    assert found == told(
        read_corpora(tmp_path / "split" / "transcripts.tsv"), tmp_path / "split"
    )


def test_some_of_train_is_held_out_where_nothing_is(tmp_path: Path) -> None:
    """By speaker; what is test stays so, and clips tell that it was chosen."""
    rows = [f"{n}.wav\tone\ts{n}\ttrain" for n in range(HELD_OUT_ONE_IN + 1)]
    rows += ["t.wav\tone\tt\ttest"]
    table = "\n".join(["path\ttext\tspeaker\tsplit", *rows])
    write(tmp_path / "transcripts.tsv", table)

    found = read_corpora(tmp_path)

    splits = ["dev", *["train"] * (HELD_OUT_ONE_IN - 1), "dev", "test"]
    assert splits == [u.columns["split"] for u in found]
    assert [True] * (HELD_OUT_ONE_IN + 1) + [False] == [
        CHOSEN in u.columns for u in found
    ]
    write(tmp_path / "transcripts.tsv", table.replace("\ttest", "\tdev"))
    assert not any(CHOSEN in u.columns for u in read_corpora(tmp_path))


def test_a_clip_knows_its_table_and_line(tmp_path: Path) -> None:
    """In every form: blank lines, any end of line, a byte order mark."""
    tables = {
        "train-a/1/2/1-2.trans.txt": "\n1-2-0 GO\n",
        "common/train.tsv": "\ufeffclient_id\tpath\tsentence\n\ns\ta.mp3\tGo.\n",
        "lj/metadata.csv": "\ufeffLJ1|Go.|Go.\r\nLJ2|No\u2028way.|No way.\r\n",
        "own/transcripts.tsv": "path\ttext\ra.wav\tgo\r",
    }
    for name, text in tables.items():
        write(tmp_path / name, text)
    (tmp_path / "common" / "clips").mkdir()

    found = [u.place.removeprefix(f"{tmp_path}/") for u in read_corpora(tmp_path)]

    assert [
        "common/train.tsv, line 3",
        "lj/metadata.csv, line 1",
        "lj/metadata.csv, line 2",
        "own/transcripts.tsv, line 2",
        "train-a/1/2/1-2.trans.txt, line 2",
    ] == sorted(found)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("metadata.csv", "LJ1\n", "line 1: found 'LJ1', expected a clip's name, its"),
        ("metadata.csv", "\na|b|c|d\n", "line 2: found 'a|b|c|d', expected a clip's"),
        ("metadata.csv", "", "no corpus of speech, expected transcripts.tsv"),
        ("1/2/1-2.trans.txt", "a GO\0\n", "line 1: holds a zero byte, expected text"),
        ("transcripts.tsv/a", "", "transcripts.tsv: is a folder, expected a table"),
        ("metadata.csv/a", "", "is a folder, expected names and texts of clips"),
        (
            "transcripts.tsv",
            "path\ttext\tsplit\na\tgo\tdev\nb\tgo\tvalid\n",
            "line 3: split is 'valid', expected one of train dev test",
        ),
        ("1/2/1-2.trans.txt", "1-2-0\n", "line 1: found '1-2-0', expected a clip's"),
        ("notes.md", "no corpus", "no corpus of speech, expected transcripts.tsv"),
    ],
)
def test_what_is_no_corpus_is_told(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    """One line, with the file and its line."""
    write(tmp_path / name, text)

    with pytest.raises(DataError) as caught:
        read_corpora(tmp_path)

    assert message in str(caught.value)


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    """Its name is in the line."""
    with pytest.raises(DataError, match="none: no such folder, expected a corpus"):
        read_corpora(tmp_path / "none")
