import itertools
import json
import string
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import tiedge
from edge_runtime.speech.choice import fits_english
from tests.demo_app.hand_made_bundles import blur_bundle, spoken_tones, tones_bundle

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of a bundle that writes low tones as a, high ones as b."""
    return str(tones_bundle(tmp_path_factory.mktemp("bundles")))


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "spoken.wav", spoken_tones(RATE_HZ), RATE_HZ)


def write_wav(path: Path, samples: NDArray[np.float32], rate_hz: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def call(bundle: str, *arguments: str) -> int:
    common = ["--bundle", bundle, "--precision", "fp32"]
    return tiedge.main(["transcribe", *arguments, *common])


def test_the_text_of_one_file_is_all_that_is_printed(
    tones: str, spoken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One file gives one line on stdout, ready for a pipe."""
    status = call(tones, str(spoken))

    output = capsys.readouterr()
    assert (0, "ab\n", "") == (status, output.out, output.err)


def test_several_files_are_named(
    tones: str, spoken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each text stands behind its file; progress goes to stderr."""
    status = call(tones, str(spoken), str(spoken))

    output = capsys.readouterr()
    assert (0, f"{spoken}\tab\n" * 2) == (status, output.out)
    assert output.err.startswith(f"1/2 {spoken}: 2.7 s in ")


def test_json_is_one_object_and_nothing_else(
    tones: str, spoken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The object holds the common keys, and a row per file with text and times."""
    status = call(tones, str(spoken), "--json")

    result = json.loads(capsys.readouterr().out)
    (row,) = result.pop("rows")
    expected = {
        "bundle": "tones",
        "engine": "litert",
        "precision": "fp32",
        "depth": None,
        "threads": 1,
        "jobs": 1,
        "n_files": 1,
    }
    assert (0, expected) == (status, result)
    assert row.pop("compute_ms") > 0
    (segment,) = row.pop("segments")
    assert ("ab", "ab", None) == (
        segment["text"],
        segment["words"][0]["text"],
        segment["intent"],
    )
    assert {"file": str(spoken), "text": "ab", "audio_s": 2.7} == row


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 44_100, 48_000])
def test_any_rate_gives_the_same_text(
    tones: str, tmp_path: Path, rate_hz: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Audio is brought to the bundle's rate."""
    path = write_wav(tmp_path / "a.wav", spoken_tones(rate_hz), rate_hz)

    call(tones, str(path))

    assert "ab\n" == capsys.readouterr().out


def test_a_bad_file_stops_no_other(
    tones: str, spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rest is transcribed, the bad one told, and the status is 1."""
    missing = tmp_path / "none.wav"

    status = call(tones, str(missing), str(spoken), "--json")

    output = capsys.readouterr()
    result = json.loads(output.out)
    assert (1, 1) == (status, result["n_files"])
    assert {
        "file": str(missing),
        "error": f"{missing}: no such audio file",
    } == result["rows"][0]
    assert "ab" == result["rows"][1]["text"]
    assert f"1/2 {missing}: no such audio file" == output.err.splitlines()[0]


def test_a_name_cannot_break_a_line(
    tones: str, spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One file is one line, on stdout and on stderr, whatever it is called."""
    odd = spoken.rename(tmp_path / "a\nb.wav")

    status = call(tones, str(odd), str(odd))

    output = capsys.readouterr()
    assert (0, f"{tmp_path}/a\\nb.wav\tab\n" * 2) == (status, output.out)
    assert 2 == output.err.count("\n")


def test_sound_without_speech_says_why(
    tones: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a line on stderr; the text is empty, and that is no failure."""
    loud, rng = spoken_tones(RATE_HZ), np.random.default_rng(0)
    sounds = {
        "silence": (np.zeros(RATE_HZ, np.float32), "silent, all samples are 0; is the"),
        "faint": (
            rng.uniform(-1e-4, 1e-4, RATE_HZ).astype(np.float32),
            "silent, its loudest sample is -81 dB of full scale; is the",
        ),
        "click": (np.full(1, 0.5, np.float32), "0.0625 ms of sound, too short for a"),
        "clipped": (np.clip(20 * loud, -1, 1), "of the samples are at full scale"),
    }
    for name, (samples, remark) in sounds.items():
        path = write_wav(tmp_path / f"{name}.wav", samples, RATE_HZ)

        assert 0 == call(tones, str(path))

        told = capsys.readouterr()
        assert told.err.startswith(f"tiedge transcribe: {path}: "), name
        assert remark in told.err, name
        assert 1 == told.err.count("\n"), name
        assert name == "clipped" or told.out == "\n", name

    assert 0 == call(tones, "--json", str(path))
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert "at full scale" in row["remark"]


def test_a_recording_that_ends_within_a_word_has_its_text(
    tones: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was heard of it is final."""
    samples = spoken_tones(RATE_HZ)
    ends = np.flatnonzero(np.abs(samples) > 0.05)
    cut = samples[: (ends[0] + ends[-1]) // 2]

    assert 0 == call(tones, str(write_wav(tmp_path / "a.wav", cut, RATE_HZ)))
    assert "a" == capsys.readouterr().out.strip()[:1]


def test_many_channels_are_one(
    tones: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are mixed."""
    pcm = (spoken_tones(RATE_HZ) * 32767).astype("<i2")
    path = tmp_path / "eight.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(8)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(np.stack([pcm] * 8, axis=1).tobytes())

    assert 0 == call(tones, str(path))
    assert "ab\n" == capsys.readouterr().out


def test_low_rates_are_refused(
    tones: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """5 kHz audio is one line on stderr, with the file and the range."""
    path = write_wav(tmp_path / "a.wav", np.zeros(900, np.float32), 5000)

    status = call(tones, str(path))

    output = capsys.readouterr()
    assert (1, "") == (status, output.out)
    assert (
        f"tiedge transcribe: {path}: sample rate 5000 Hz: expected 8000 to 192000 Hz;"
        " speech below 8000 Hz lacks consonants\n"
    ) == output.err


@pytest.mark.parametrize("option", ["--depth", "--seed"])
def test_what_means_nothing_for_speech_is_not_offered(
    tones: str, spoken: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no depth to choose, and nothing that is left to chance."""
    status = call(tones, str(spoken), option, "3")

    assert 1 == status
    assert (
        f"tiedge transcribe: unrecognized arguments: {option} 3;"
        " see tiedge transcribe --help\n" == capsys.readouterr().err
    )


def test_empty_audio_is_refused(
    tones: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file without samples is an error, not an empty text."""
    path = write_wav(tmp_path / "a.wav", np.zeros(0, np.float32), RATE_HZ)

    status = call(tones, str(path))

    assert 1 == status
    assert f"tiedge transcribe: {path}: holds no samples\n" == capsys.readouterr().err


def test_a_picture_bundle_is_refused(
    spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other task's bundle is refused with the verb that takes it."""
    blur = blur_bundle(tmp_path)

    status = call(str(blur), str(spoken))

    assert 1 == status
    assert capsys.readouterr().err.endswith(
        'task is "picture", expected "speech"; use tiedge filter\n'
    )


def call_into(bundle: str, folder: Path, *arguments: str) -> int:
    return call(bundle, *arguments, "--output", str(folder))


def recording(tmp_path: Path, n_utterances: int) -> Path:
    """Write utterances "ab" with a second of silence behind each."""
    said = np.concatenate([spoken_tones(RATE_HZ), np.zeros(RATE_HZ, np.float32)])
    return write_wav(tmp_path / "long.wav", np.tile(said, n_utterances), RATE_HZ)


def test_files_are_written_in_the_formats_that_are_asked_for(
    tones: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Text, JSON, and two kinds of subtitles, with the times of each utterance."""
    path = recording(tmp_path, 3)

    status = call_into(
        tones, tmp_path / "out", str(path), "--format", "txt,json,srt,vtt"
    )

    assert (0, "") == (status, capsys.readouterr().out)
    assert "ab\n" * 3 == (tmp_path / "out" / "long.txt").read_text()
    segments = json.loads((tmp_path / "out" / "long.json").read_text())["segments"]
    assert ["ab"] * 3 == [segment["text"] for segment in segments]
    assert all(
        abs(later["start_s"] - earlier["start_s"] - 3.7) < 0.2
        for earlier, later in itertools.pairwise(segments)
    )
    srt = (tmp_path / "out" / "long.srt").read_text()
    vtt = (tmp_path / "out" / "long.vtt").read_text()
    assert srt.startswith("1\n00:00:0")
    assert srt.count(" --> ") == vtt.count(" --> ") == 3
    assert vtt.startswith("WEBVTT\n\n00:00:0")


def test_a_run_that_was_killed_goes_on_behind_the_last_pause(
    tones: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each cut of its record, even within a line, leads to the same files."""
    path = recording(tmp_path, 4)
    call_into(tones, tmp_path / "whole", str(path), "--format", "json,vtt")
    expected = [(tmp_path / "whole" / f"long.{e}").read_text() for e in ("json", "vtt")]
    told = tmp_path / "whole" / ".tiedge-transcribe" / "long.jsonl"
    lines = told.read_bytes().splitlines(keepends=True)
    assert 8 == len(lines)  # the setting, four utterances, the end, two texts

    for n_lines in range(len(lines)):
        folder = tmp_path / f"cut_{n_lines}"
        (folder / ".tiedge-transcribe").mkdir(parents=True)
        kept = b"".join(lines[:n_lines]) + lines[n_lines][:9]
        (folder / ".tiedge-transcribe" / "long.jsonl").write_bytes(kept)
        status = call_into(tones, folder, str(path), "--format", "json,vtt", "--json")
        row = json.loads(capsys.readouterr().out)["rows"][0]

        assert 0 == status
        assert expected == [(folder / f"long.{e}").read_text() for e in ("json", "vtt")]
        assert ("ab ab ab ab", 14.8) == (row["text"], row["audio_s"])


def test_what_is_done_is_not_done_again(
    tones: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A changed recording is; another format is written from what is known."""
    path = recording(tmp_path, 1)
    call_into(tones, tmp_path / "out", str(path))

    call_into(tones, tmp_path / "out", str(path), "--json")
    again = json.loads(capsys.readouterr().out)["rows"][0]
    call_into(tones, tmp_path / "out", str(path), "--format", "vtt", "--json")
    other = json.loads(capsys.readouterr().out)["rows"][0]
    recording(tmp_path, 2)
    call_into(tones, tmp_path / "out", str(path), "--json")
    changed = json.loads(capsys.readouterr().out)["rows"][0]

    assert again["done_before"]
    assert 0.0 == other["compute_ms"]
    assert "ab ab" == changed["text"]


def test_a_folder_is_transcribed_by_several_processes(
    tones: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Texts lie as the recordings do; a bad one stops no other."""
    source = tmp_path / "in"
    (source / "inner").mkdir(parents=True)
    for name in ("a.wav", "inner/a.wav", "inner/.hidden.wav"):
        write_wav(source / name, spoken_tones(RATE_HZ), RATE_HZ)
    (source / "bad.mp3").write_bytes(b"no audio")
    (source / "notes.txt").write_text("no recording")

    status = call_into(tones, tmp_path / "out", str(source), "--jobs", "2")

    assert 1 == status
    assert f"{source}/bad.mp3: not audio that can be read" in capsys.readouterr().err
    out = tmp_path / "out"
    written = sorted(path.relative_to(out) for path in out.rglob("*.txt"))
    assert [Path("a.txt"), Path("inner/a.txt")] == written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "srt"], "--format: names files; say where with --output"),
        (
            ["--output", "{0}/o", "--format", "pdf"],
            "--format pdf: expected some of txt json srt vtt, with commas between",
        ),
        (["--output", "{0}/o", "--format", ""], "--format : expected some of txt json"),
        (
            ["--words", "ab", "--language-model", "lm"],
            "--grammar and --words: need no language model",
        ),
        (["--beam", "3"], "--beam and --hot-words: are for a search with a language"),
        (["--grammar", "{0}/none.gram"], "{0}/none.gram: cannot be read: No such file"),
        (["--words", "abc"], "--words: word 'abc': found 'c', expected letters of"),
        (["--words", "a b,7"], "--words: word 'a b': found ' ', expected letters of"),
        (["--words", ", ,"], "argument --words: found ', ,', expected words with"),
        (["--hot-words", ""], "argument --hot-words: found '', expected words with"),
        (["--grammar", "{0}"], "{0}: is a folder, expected a grammar"),
    ],
)
def test_options_that_cannot_be_met_are_refused(
    tones: str,
    spoken: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    """One line, and nothing is written."""
    status = call(tones, str(spoken), *(a.format(tmp_path) for a in arguments))

    output = capsys.readouterr()
    assert (1, "") == (status, output.out)
    assert message.format(tmp_path) in output.err
    assert 1 == output.err.count("\n")


def test_two_texts_of_one_name_are_refused(
    tones: str, spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One would replace the other."""
    other = write_wav(tmp_path / "spoken.flac", spoken_tones(RATE_HZ), RATE_HZ)

    status = call_into(tones, tmp_path / "out", str(spoken), str(other))

    assert 1 == status
    assert "its text would have the name of that of" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_grammar_tells_intents(
    tones: str, spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each utterance has its own; one that does not fit has none."""
    grammar = tmp_path / "g.gram"
    grammar.write_text("#JSGF V1.0; public <go> = ab {what};")

    call(tones, str(spoken), "--grammar", str(grammar), "--json")

    row = json.loads(capsys.readouterr().out)["rows"][0]
    intent = {"name": "go", "slots": {"what": "ab"}}
    assert [intent] == [said["intent"] for said in row["segments"]]

    call(tones, str(spoken), "--grammar", str(grammar))
    assert f"ab\t{json.dumps(intent)}\n" == capsys.readouterr().out


def test_what_fits_no_sentence_is_not_written(
    tones: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoken: Path
) -> None:
    """Else whoever reads the text would do what nobody asked for."""
    grammar = tmp_path / "g.gram"
    grammar.write_text("#JSGF V1.0; public <go> = ba;")

    call(tones, str(spoken), "--grammar", str(grammar))

    said = capsys.readouterr()
    assert "\n" == said.out
    assert "1 of 1 utterances fit no sentence of the grammar\n" in said.err
    call(tones, str(spoken), "--grammar", str(grammar), "--json")
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    (segment,) = row["segments"]
    assert ("", "", [], None) == (
        row["text"],
        segment["text"],
        segment["words"],
        segment["intent"],
    )


def test_the_language_model_is_for_networks_that_write_all_letters() -> None:
    """One of few letters, or with words of its own, is left as it is."""
    letters = [*string.ascii_lowercase, " ", "'", ""]

    assert fits_english(letters, [])
    assert not fits_english(letters, ["one", "two"])
    assert not fits_english(["a", "b", " ", ""], [])
