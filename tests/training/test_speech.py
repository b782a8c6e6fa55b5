from __future__ import annotations

import os
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import AudioError, DataError
from edge_runtime.front_end import FRONT_ENDS, FrontEnd
from training.metrics import edit_distance, letter_errors, word_errors
from training.recipes.digits import DigitsRecipe
from training.sound_augmentation import (
    OVERSAMPLING,
    WARPS,
    Augmentation,
    add_noise,
    distorted_features,
    oversample,
    play,
    redistorted,
    warped,
)
from training.speech import (
    ALPHABET,
    STRIDE_FRAMES,
    encode,
    foreign_symbols,
    normalize_text,
    read_clip,
    read_table,
    speak_number,
)
from training.tasks.digits import DigitsTask

RATE_HZ = 8000
HEADER = "path\tspeaker\ttext\thas_unintelligible\n"


def write_clip(path: Path, seconds: float, rate_hz: int = RATE_HZ) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    n_samples = int(seconds * rate_hz)
    samples = np.sin(np.arange(n_samples) / 5) * 20_000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())


def write_silence(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(bytes(RATE_HZ))


def write_table(folder: Path, rows: list[str], header: str = HEADER) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "transcripts.tsv").write_text(header + "".join(f"{r}\n" for r in rows))
    return folder


@pytest.fixture
def own_speech(tmp_path: Path) -> Path:
    """Return a folder of 12 short clips of two speakers."""
    folder = tmp_path / "own"
    words = ("one", "two", "three")
    rows = []
    for index in range(12):
        write_clip(folder / f"{index}.wav", 0.3 + 0.02 * index)
        rows.append(f"{index}.wav\tspeaker{index % 2}\t{words[index % 3]}\t0")
    return write_table(folder, rows)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ZERO THREE FIVE ONE", "zero three five one"),
        ("  Don't,\tSTOP! ", "don't stop"),
        ("It\u2019s ﬁne", "it's fine"),
        ("call 911", "call nine hundred eleven"),
        ("1,234 apples", "one thousand two hundred thirty four apples"),
        ("3.14", "three point fourteen"),
        ("route 007", "route zero zero seven"),
        ("④", "four"),
        ("mp3player", "mp three player"),
        ("naïve", "na ve"),
        ("…", ""),
    ],
)
def test_text_is_scored_without_its_spelling(text: str, expected: str) -> None:
    """Case, marks, widths and numerals do not count as errors."""
    assert expected == normalize_text(text)


@given(text=st.text(max_size=40))
def test_normal_text_stays_as_it_is(text: str) -> None:
    """Normalizing twice changes nothing, and every symbol is in the alphabet."""
    once = normalize_text(text)

    assert once == normalize_text(once)
    assert set(once) <= set(ALPHABET)


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("0", "zero"),
        ("10", "ten"),
        ("20", "twenty"),
        ("99", "ninety nine"),
        ("100", "one hundred"),
        ("1000000", "one million"),
        ("2000000003", "two billion three"),
        ("999999999999", "nine hundred ninety nine billion nine hundred ninety nine"
         " million nine hundred ninety nine thousand nine hundred ninety nine"),
        ("1000000000000", "one" + 12 * " zero"),
    ],
)  # fmt: skip
def test_numbers_are_spoken_out(digits: str, words: str) -> None:
    """Whole numbers become words; very long ones are read digit by digit."""
    assert words == speak_number(digits)


def test_encoded_text_is_the_alphabet_in_order() -> None:
    """Indices lead back to the text."""
    symbols = encode("it's a go")

    assert "it's a go" == "".join(ALPHABET[index] for index in symbols)


def test_rows_are_chosen_by_column(own_speech: Path) -> None:
    """Each condition must hold; the rest of the row stays at hand."""
    where = [("speaker", "speaker1"), ("text", "two")]

    table = read_table(own_speech / "transcripts.tsv", where)

    assert ["1.wav", "7.wav"] == [u.columns["path"] for u in table.utterances]
    assert own_speech / "1.wav" == table.utterances[0].path


def test_unintelligible_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    """A flagged clip is not scored, but told."""
    folder = write_table(tmp_path, ["a.wav\ts\tone\t0", "b.wav\ts\tum\t1"])

    table = read_table(folder)

    assert (1, 1) == (len(table.utterances), table.n_left_out)


def test_quotes_are_letters(tmp_path: Path) -> None:
    """A quotation mark in a transcript does not swallow the rows behind it."""
    folder = write_table(tmp_path, ['a.wav\ts\t"one\t0', "b.wav\ts\ttwo\t0"])

    assert ["one", "two"] == [u.text for u in read_table(folder).utterances]


@pytest.mark.parametrize(
    ("rows", "where", "message"),
    [
        ([], [], ": no rows, only line 1; expected a line of column names, then rows,"
         " with tabs between values"),
        (["", "a.wav\ts"], [], ", line 3: found 2 values, expected 4 separated by"
         " tabs"),
        (["a.wav\ts\tx\t0\ty"], [], ", line 2: found 5 values, expected 4 separated by"
         " tabs"),
        (
            ["a.wav\ts\tx\t0"],
            [("split", "dev")],
            ": no column 'split', expected one of path speaker text has_unintelligible",
        ),
        (
            ["a.wav\ts\tx\t0", "b.wav\tr\tx\t0"],
            [("speaker", "t"), ("text", "x")],
            ": no row with speaker=t, expected one of 's' 'r'",
        ),
        (
            ["a.wav\ts\tx\t0", "b.wav\tr\ty\t0"],
            [("speaker", "s"), ("text", "y")],
            ": no row with speaker=s and text=y at once",
        ),
        (["a.wav\ts\tx\t1"], [], ": no row with intelligible speech"),
        (
            ["a.wav\ts\t…\t0"],
            [],
            ": no text has a word, expected some in column text",
        ),
        (
            ["a.wav\ts\tx\t0", "b\0.wav\ts\tx\t0"],
            [],
            ", line 3: holds a zero byte, expected text",
        ),
    ],
)  # fmt: skip
def test_odd_tables_are_refused(
    tmp_path: Path, rows: list[str], where: list[tuple[str, str]], message: str
) -> None:
    """A table that cannot be used says where, and what was expected."""
    folder = write_table(tmp_path, rows)

    with pytest.raises(DataError) as caught:
        read_table(folder, where)

    assert f"{folder}/transcripts.tsv{message}" == str(caught.value)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    """A folder without a table is refused."""
    with pytest.raises(DataError) as caught:
        read_table(tmp_path)

    assert (
        f"{tmp_path}/transcripts.tsv: cannot be read: No such file or directory;"
        " expected a table" == str(caught.value)
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_tables_of_any_system_are_read(tmp_path: Path, end: str) -> None:
    """With a byte order mark, blank lines, and lines counted as editors do."""
    lines = ["path\ttext", "", "a.wav\tone\u2028two", "\t", "b.wav\tthree"]
    path = tmp_path / "transcripts.tsv"
    path.write_bytes(f"\ufeff{end.join(lines)}{end}".encode())

    found = read_table(path).utterances

    assert ["one two", "three"] == [u.text for u in found]
    assert [f"{path}, line 3", f"{path}, line 5"] == [u.place for u in found]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path\ttext\na.wav\té\n".encode("latin-1"), ", line 2: byte 0xe9 is no"),
        ("\ufeffpath\ttext\n".encode() + b"\xff", ", line 2: byte 0xff is no UTF-8"),
        ("path\ttext\n".encode("utf-16"), ", line 1: byte 0xff is no UTF-8"),
        (b"x" * 200_000, ": no rows, only line 1; expected a line of column names"),
        (b"x" * 200_000 + b"\na", ": no column 'path', found " + "x" * 40 + "…"),
        (b"", ": is empty, expected a line of column names, then rows, with tabs"),
        (b"\n\n", ": is empty, expected a line of column names"),
        (b"path,text\na,b\n", ": no column 'path', found path,text; expected"),
        (b"path\ttext\ttext\n", ", line 1: column 'text' is there 2 times"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_is_named(
    tmp_path: Path, content: bytes, message: str
) -> None:
    """With the line; other encodings, no text at all, commas instead of tabs."""
    path = tmp_path / "transcripts.tsv"
    path.write_bytes(content)

    with pytest.raises(DataError) as caught:
        read_table(path)

    assert str(caught.value).startswith(f"{path}{message}")


def test_a_folder_or_a_pipe_is_no_table(tmp_path: Path) -> None:
    """A pipe would be waited for."""
    (tmp_path / "transcripts.tsv").mkdir()
    os.mkfifo(tmp_path / "a.tsv")

    with pytest.raises(DataError, match="is a folder, expected a table"):
        read_table(tmp_path)
    with pytest.raises(DataError, match="is a device or a pipe, expected a table"):
        read_table(tmp_path / "a.tsv")


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("Crème brûlée", "èûé"),
        ("one 你好", "你好"),
        ("go \x07home", "\x07"),
        ("٣ apples", "٣"),
        ("It’s 42 °C… 🎉 ﬁne\tand ４", ""),
    ],
)
def test_symbols_that_are_not_written_are_known(text: str, symbols: str) -> None:
    """Marks, emoji and forms of a-z and 0-9 are none of them."""
    assert symbols == foreign_symbols(text)


def test_a_clip_at_too_low_a_rate_is_named(tmp_path: Path) -> None:
    """The line begins with the clip's path."""
    write_clip(tmp_path / "a.wav", 0.5, rate_hz=5000)

    with pytest.raises(AudioError) as caught:
        read_clip(tmp_path / "a.wav", RATE_HZ)

    assert str(caught.value).startswith(f"{tmp_path}/a.wav: sample rate 5000 Hz")


def test_clips_come_at_the_wanted_rate(tmp_path: Path) -> None:
    """A recording at another rate is resampled when it is read."""
    write_clip(tmp_path / "a.wav", 0.5, rate_hz=16_000)

    assert 4000 == len(read_clip(tmp_path / "a.wav", RATE_HZ))


@pytest.mark.parametrize(
    ("expected", "found", "n_words", "n_letters"),
    [
        ("one two", "one two", 0, 0),
        ("one two", "", 2, 7),
        ("", "one", 1, 3),
        ("one two three", "one too three", 1, 1),
        ("one two three", "one three", 1, 4),
        ("two", "one two two", 2, 8),
    ],
)
def test_errors_are_edits(
    expected: str, found: str, n_words: int, n_letters: int
) -> None:
    """Insertions, deletions and replacements count one each."""
    assert n_words == word_errors(expected, found)
    assert n_letters == letter_errors(expected, found)


@given(a=st.text("ab ", max_size=8), b=st.text("ab ", max_size=8))
def test_edit_distance_is_a_metric(a: str, b: str) -> None:
    """It is symmetric, zero for equals alone, and bounded by the longer text."""
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)
    assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))


def test_playing_faster_raises_the_pitch() -> None:
    """Speed 1.25 turns 400 Hz into 500 Hz in four fifths of the time."""
    time_s = np.arange(4000) / RATE_HZ
    tone = (0.5 * np.sin(2 * np.pi * 400 * time_s)).astype(np.float32)

    faster = play(oversample(tone, RATE_HZ), 1.25)

    assert 3200 == len(faster)
    peak_hz = np.abs(np.fft.rfft(faster)).argmax() * RATE_HZ / len(faster)
    assert 500 == peak_hz
    assert len(tone) * OVERSAMPLING == len(oversample(tone, RATE_HZ))


def test_augmentation_repeats_with_its_seed() -> None:
    """The same generator state gives the same example, another one another."""
    front_end, how = FrontEnd(), Augmentation()
    bank = [front_end.warped_filters(warp) for warp in WARPS]
    speech = np.sin(np.arange(8000) / 3).astype(np.float32)
    noises = [np.random.default_rng(9).integers(-9, 9, 3000).astype(np.int16)]

    def example(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        noisy = add_noise(speech, noises, how, rng)
        return distorted_features(noisy, front_end, bank, how, rng)

    for seed in range(8):
        np.testing.assert_array_equal(example(seed), example(seed))
        assert np.isfinite(example(seed)).all()
    assert example(0).shape != example(1).shape or not np.array_equal(
        example(0), example(1)
    )


def test_silence_can_be_augmented() -> None:
    """An example without speech stays finite: silence, or noise alone."""
    for seed in range(8):
        rng = np.random.default_rng(seed)

        noisy = add_noise(np.zeros(2000, np.float32), [], Augmentation(), rng)

        assert np.isfinite(noisy).all()


def small_recipe() -> DigitsRecipe:
    return DigitsRecipe(steps=2, batch=4, hidden=8, layers=2, synthetic=0)


def test_batches_depend_on_step_and_index_alone(own_speech: Path) -> None:
    """Any process at any time makes the same example of a step and an index."""
    task, again = (DigitsTask(small_recipe(), own_speech) for _ in range(2))
    task.batch(0, range(4))

    whole, part = task.batch(7, range(4)), again.batch(7, [2])

    n_frames = int(part["n_frames"][0])
    assert n_frames == int(whole["n_frames"][2])
    torch.testing.assert_close(
        whole["features"][2, :n_frames], part["features"][0], rtol=0, atol=0
    )
    n_symbols = int(part["n_symbols"][0])
    assert torch.equal(whole["symbols"][2, :n_symbols], part["symbols"][0, :n_symbols])


def test_examples_are_whole_strides(own_speech: Path) -> None:
    """Every example, and the padded batch, divide into logits without a rest."""
    task = DigitsTask(small_recipe(), own_speech)

    for step in range(5):
        batch = task.batch(step, range(4))

        assert {0} == set((batch["n_frames"] % STRIDE_FRAMES).tolist())
        assert 0 == batch["features"].shape[1] % STRIDE_FRAMES


def test_a_step_of_training_lowers_the_loss(own_speech: Path) -> None:
    """Loss and gradient exist and point downhill."""
    task = DigitsTask(small_recipe(), own_speech)
    network = task.network().eval()
    batch = task.batch(0, range(4))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)

    before = task.loss(network, batch)
    before.backward()
    optimizer.step()

    assert task.loss(network, batch) < before


def test_one_clip_cannot_be_trained_on(tmp_path: Path) -> None:
    """Nothing would be left to score on."""
    write_silence(tmp_path / "a.wav")
    folder = write_table(tmp_path, ["a.wav\ts\tone\t0"])

    with pytest.raises(DataError) as caught:
        DigitsTask(small_recipe(), folder)

    assert (
        f"{folder}: holds 0 clips to learn from, expected at least 2; 1 clips left out,"
        f" silent, such as {folder}/transcripts.tsv, line 2" == str(caught.value)
    )


def test_clips_that_teach_nothing_are_left_out_and_told(own_speech: Path) -> None:
    """One reason each; a table's line is the example."""
    with wave.open(str(own_speech / "eight.wav"), "wb") as file:
        file.setparams((8, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(b"\0\x20" * 8 * 4000)
    write_clip(own_speech / "tiny.wav", 1 / RATE_HZ)
    write_clip(own_speech / "long.wav", 31)
    write_silence(own_speech / "silent.wav")
    table = own_speech / "transcripts.tsv"
    rows = ["eight.wav\ts\tone\t0", "tiny.wav\ts\ttwo\t0", "long.wav\ts\tone\t0"]
    rows += ["silent.wav\ts\ttwo\t0", "0.wav\ts\tzwö\t0"]
    rows += [f"1.wav\ts\t{'three ' * 20}\t0"]
    table.write_text(table.read_text() + "\n".join(rows))

    told = DigitsTask(small_recipe(), own_speech).contents()

    assert (
        "11 clips to train on; 2 own held out; 0 recordings of noise; 1 clips left out,"
        f" whose text has symbols other than a-z, such as ö of {table}, line 18; 1"
        f" clips left out, shorter than 0.1 s, such as {table}, line 15; 1 clips left"
        f" out, longer than 30 s, such as {table}, line 16; 1 clips left out, silent,"
        f" such as {table}, line 17; 1 clips left out, too short for their texts, such"
        f" as {table}, line 19" == told
    )


@pytest.mark.parametrize("damage", ["missing", "empty", "junk", "5 kHz"])
def test_a_clip_that_cannot_be_read_is_told_with_its_line(
    own_speech: Path, damage: str
) -> None:
    """And with its path."""
    bad = own_speech / "3.wav"
    bad.unlink()
    if damage == "5 kHz":
        write_clip(bad, 0.5, rate_hz=5000)
    elif damage != "missing":
        bad.write_bytes(b"" if damage == "empty" else b"junk")

    with pytest.raises(AudioError) as caught:
        DigitsTask(small_recipe(), own_speech)

    place = f"{own_speech}/transcripts.tsv, line 5"
    assert str(caught.value).startswith(f"{place}: {bad}: ")


def test_contents_are_counted(own_speech: Path) -> None:
    """One line says how much is trained on, held out and mixed in."""
    write_clip(own_speech / "noise" / "hum.wav", 0.5)

    task = DigitsTask(small_recipe(), own_speech)

    assert "10 clips to train on; 2 own held out; 1 recordings of noise" == (
        task.contents()
    )


def test_a_speaker_can_be_held_out(own_speech: Path) -> None:
    """`hold_out` scores on one speaker, and trains on none of their clips."""
    recipe = replace(small_recipe(), hold_out="speaker1")

    task = DigitsTask(recipe, own_speech / "transcripts.tsv")

    assert task.contents().startswith("6 clips to train on; 6 own held out;")


def test_a_speaker_who_is_not_there_cannot_be_held_out(own_speech: Path) -> None:
    """The line lists those who are."""
    with pytest.raises(DataError) as caught:
        DigitsTask(replace(small_recipe(), hold_out="nobody"), own_speech)

    assert (
        "hold_out=nobody: expected one of several speakers, found speaker0 speaker1"
        == str(caught.value)
    )


def test_a_word_outside_the_vocabulary_is_refused(own_speech: Path) -> None:
    """It would be trained on and could never be written."""
    with pytest.raises(DataError) as caught:
        DigitsTask(replace(small_recipe(), vocabulary=("one", "two")), own_speech)

    assert (
        f"{own_speech}/transcripts.tsv, line 4: 'three' is not in the vocabulary; name"
        " the words with vocabulary=three,… or let any be written with vocabulary="
        == str(caught.value)
    )


def test_validation_scores_the_held_out_clips(own_speech: Path) -> None:
    """Every tenth clip is scored; an untrained network gets hardly a word right."""
    task = DigitsTask(small_recipe(), own_speech)

    with torch.no_grad():
        metrics = task.validate(task.network().eval())

    assert {"word_accuracy", "word_accuracy_own"} == metrics.keys()
    assert metrics["word_accuracy"] <= 1.0


@pytest.mark.parametrize("rate_hz", sorted(FRONT_ENDS))
def test_features_are_warped_as_warped_filters_make_them(rate_hz: int) -> None:
    """A tone an eighth higher stands in the filters where the warp looks for it."""
    front_end = FRONT_ENDS[rate_hz]
    seconds = np.arange(rate_hz // 2) / rate_hz
    low, high = (
        front_end.features(np.sin(2 * np.pi * hz * seconds).astype(np.float32))
        for hz in (1000.0, 1125.0)
    )

    found = warped(high, front_end, 1.125)

    assert found.shape == high.shape
    assert (found.mean(axis=0).argmax()) == low.mean(axis=0).argmax()
    np.testing.assert_allclose(warped(low, front_end, 1.0), low, atol=1e-5)


def test_a_telephone_hears_nothing_above_its_band() -> None:
    """Of a front end that hears more; one that does not is left alone."""
    how = replace(Augmentation(), telephone_probability=1.0, band_probability=0.0)
    for rate_hz, least in ((16_000, 8), (8000, 0)):
        front_end = FRONT_ENDS[rate_hz]
        features = np.ones((30, front_end.n_mels), np.float32)

        found = redistorted(features, front_end, how, np.random.default_rng(0))

        floor = front_end.normalize(np.zeros(1, np.float32))[0]
        n_silent = int((found[0] <= floor + 1e-6).sum())
        assert (n_silent >= least) and (bool(n_silent) == bool(least))
