from __future__ import annotations

import wave
from pathlib import Path

import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.decoder import decoder_maker
from edge_runtime.engines import open_engine
from edge_runtime.errors import AudioError, DataError
from edge_runtime.front_end import FrontEnd
from tests.demo_app.hand_made_bundles import spoken_tones, tones_bundle
from training.evaluation_speech import (
    Reading,
    bundle_reader,
    evaluate_intents,
    evaluate_speech,
    labels_of,
)
from training.network_reader import network_reader
from training.speech import ALPHABET
from training.transcriber import TranscriberNetwork

RATE_HZ = 8000


def write_table(folder: Path, rows: list[tuple[str, str, str]]) -> Path:
    lines = ["path\ttext\tsplit", *("\t".join(row) for row in rows)]
    path = folder / "transcripts.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    path = tmp_path / "spoken.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((spoken_tones(RATE_HZ) * 32767).astype("<i2").tobytes())
    return path


def test_errors_are_fractions_of_what_was_said(tmp_path: Path) -> None:
    """Rates are errors over all words or letters, not means over clips."""
    said = [("a", "one two three", "dev"), ("b", "four", "dev"), ("c", "six", "test")]
    heard = {"a": "One too three", "b": "", "c": "never asked"}
    table = write_table(tmp_path, said)

    def read(path: Path) -> Reading:
        return Reading(heard[path.name], audio_s=2.0, compute_s=0.1)

    found = evaluate_speech(read, table, [("split", "dev")])

    rows = found.pop("rows")
    assert [1, 1] == [row["n_errors"] for row in rows]
    assert {
        "path": "a",
        "expected": "one two three",
        "found": "one too three",
        "n_errors": 1,
    } == rows[0]
    assert {
        "n_utterances": 2,
        "n_left_out": 0,
        "n_words": 4,
        "n_errors": 2,
        "wer": 0.5,
        "cer": 5 / 17,
        "rtf": 0.05,
        "n_understood": 0,
    } == found


def test_a_bundle_reads_as_the_device_does(spoken: Path, tmp_path: Path) -> None:
    """The reader streams each file through the engine, one utterance apiece."""
    bundle = Bundle.open(tones_bundle(tmp_path / "bundles"))
    table = write_table(tmp_path, [("spoken.wav", "ab", "dev")] * 2)

    with open_engine("litert", bundle.models[0]) as engine:
        found = evaluate_speech(bundle_reader(bundle, engine), table)

    assert (2, 0.0, 0.0) == (found["n_utterances"], found["wer"], found["cer"])


def test_a_network_reads_a_whole_file(spoken: Path) -> None:
    """An untrained network gives some text over its alphabet, the same each time."""
    front_end = FrontEnd()
    network = TranscriberNetwork(front_end.n_mels, 8, 2, len(ALPHABET)).eval()
    read = network_reader(network, front_end, decoder_maker(ALPHABET, 0))

    assert read(spoken).text == read(spoken).text
    assert set(read(spoken).text) <= set(ALPHABET)
    assert 2.7 == read(spoken).audio_s


def test_a_missing_clip_is_named(tmp_path: Path) -> None:
    """A row whose file is not there stops the evaluation with the file's name."""
    front_end = FrontEnd()
    network = TranscriberNetwork(front_end.n_mels, 8, 2, len(ALPHABET)).eval()
    table = write_table(tmp_path, [("none.wav", "one", "dev")])

    with pytest.raises(AudioError, match=r"none\.wav: no such audio file"):
        evaluate_speech(
            network_reader(network, front_end, decoder_maker(ALPHABET, 0)), table
        )


def test_texts_that_no_network_writes_are_left_out(tmp_path: Path) -> None:
    """They would count as errors; a table of them alone is refused."""
    table = write_table(tmp_path, [("a", "zwölf", "dev"), ("b", "two", "test")])

    found = evaluate_speech(lambda path: Reading("two", 1.0, 0.0), table)

    assert (1, 1, 0.0) == (found["n_utterances"], found["n_left_out"], found["wer"])
    with pytest.raises(DataError) as caught:
        evaluate_speech(lambda path: Reading("", 1.0, 0.0), table, [("split", "dev")])
    assert (
        f"{table}: nothing to score: 1 clips left out, whose text has symbols other"
        f" than a-z, such as ö of {table}, line 2"
    ) == str(caught.value)


def test_nothing_said_and_nothing_heard_is_right(tmp_path: Path) -> None:
    """An empty text against an empty transcript is no error."""
    table = write_table(tmp_path, [("a", "…", "dev"), ("b", "two", "dev")])

    found = evaluate_speech(
        lambda path: Reading("two" if path.name == "b" else "", 1.0, 0.0), table
    )

    assert (1, 0, 0.0, 0.0) == (
        found["n_words"],
        found["n_errors"],
        found["wer"],
        found["cer"],
    )


def write_labels(folder: Path, rows: list[tuple[str, str, str]]) -> Path:
    lines = ["path\tintent\tslots_json", *("\t".join(row) for row in rows)]
    path = folder / "labels.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_intents_are_right_with_all_their_slots(tmp_path: Path) -> None:
    """Spaces around values and empty slots do not count; one that is wrong does."""
    order = {"drink": "latte", "size": "large"}
    heard = {
        "right": [{"name": "order", "slots": order}],
        "wrong": [{"name": "order", "slots": order | {"size": "small"}}],
        "twice": [{"name": "order", "slots": order}] * 2,
        "none": [],
    }
    slots = '{"drink": " latte", "size": "large ", "milk": ""}'
    labels = write_labels(tmp_path, [(name, "order", slots) for name in heard])

    found = evaluate_intents(lambda p: Reading("x", 1.0, 0.5, heard[p.name]), labels)

    assert (4, 1, 0.25) == (found["n_utterances"], found["n_right"], found["accuracy"])
    assert (1, 0.5) == (found["n_rejected"], found["rtf"])
    assert "order(drink: latte, size: large)" == found["rows"][0]["expected"]
    assert "order(drink: latte, size: small)" == found["rows"][1]["found"]


def test_intents_are_picked_by_column(tmp_path: Path) -> None:
    """As texts are."""
    labels = write_labels(tmp_path, [("a", "go", "{}"), ("b", "stop", "{}")])

    def read(path: Path) -> Reading:
        return Reading("", 1.0, 0.0, [{"name": "stop", "slots": {}}])

    found = evaluate_intents(read, labels, [("intent", "stop")])

    assert (1, 1) == (found["n_utterances"], found["n_right"])


def test_slots_that_are_no_object_are_told(tmp_path: Path) -> None:
    """With table and line."""
    labels = write_labels(tmp_path, [("a", "order", "{}"), ("b", "order", "latte")])

    with pytest.raises(DataError) as caught:
        evaluate_intents(lambda path: Reading("", 1.0, 0.0), labels)

    assert f"{labels}, line 3: slots_json is 'latte', expected an object" in str(
        caught.value
    )


def test_a_folder_of_intents_is_known_by_its_table(tmp_path: Path) -> None:
    """A table of texts beside it comes first."""
    labels = write_labels(tmp_path, [("a", "order", "{}")])

    assert labels == labels_of(tmp_path) == labels_of(labels)
    write_table(tmp_path, [("a", "one", "dev")])
    assert labels_of(tmp_path) is None
