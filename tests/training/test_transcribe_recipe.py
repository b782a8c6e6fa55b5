"""`transcribe`, from a user's own recordings to a checkpoint, alone and in pairs."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import tiedge
from edge_runtime.errors import CheckpointError, DataError, SettingError, TiedgeError
from training import loop
from training.checkpoint import read_weights
from training.gru_layers import SeparateGRU
from training.optimizers import make_optimizers
from training.phones import LEXICON_FILE, PHONES
from training.recipe import override
from training.recipes.commands import CommandsRecipe
from training.recipes.transcribe import TranscribeRecipe
from training.speech import ALPHABET, STRIDE_FRAMES
from training.synthetic_speech import PACKAGES
from training.tasks.commands import CommandsTask
from training.tasks.transcribe import TranscribeTask, ctc_length
from training.trained import TrainedTranscriber, open_checkpoint

ROOT = Path(tiedge.__file__).parent
RATE_HZ = 16_000
TINY = "steps=4 batch=4 hidden=12 layers=2 phones=0 dropout=0 validate_steps=2"
TEXTS = ("one two", "no", "go on", "three", "ten miles", "a")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noises of 24 "speakers", with texts."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    rows = ["path\tspeaker\ttext"]
    for number in range(24):
        samples = rng.normal(0.0, 0.1, int((0.8 + 0.03 * number) * RATE_HZ))
        with wave.open(str(folder / f"{number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            file.writeframes((samples * 32767).astype("<i2").tobytes())
        rows.append(f"{number}.wav\ts{number}\t{TEXTS[number % len(TEXTS)]}")
    (folder / "transcripts.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def task(corpus: Path, *settings: str) -> TranscribeTask:
    recipe = override(TranscribeRecipe(), [*TINY.split(), *settings])
    return TranscribeTask(recipe, corpus)


def train(corpus: Path, output: Path, *more: str) -> list[dict[str, str]]:
    where = ["--data", str(corpus), "--output", str(output)]
    assert 0 == tiedge.main(["train", "transcribe", *TINY.split(), *more, *where])
    return log(output)


def log(output: Path) -> list[dict[str, str]]:
    with (output / "log.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_a_network_that_writes(corpus: Path, tmp_path: Path) -> None:
    """Without what served for training alone; its score is of unheard speakers."""
    rows = train(corpus, tmp_path / "run")

    trained = open_checkpoint(tmp_path / "run")

    assert isinstance(trained, TrainedTranscriber)
    assert () == trained.vocabulary
    assert {"letter_accuracy", "cer_own", "wer_own"} <= rows[0].keys()


def test_texts_that_cannot_be_written_are_left_out_and_told(
    corpus: Path, tmp_path: Path
) -> None:
    """Without its é, a word would be taught wrong."""
    folder = tmp_path / "corpus"
    shutil.copytree(corpus, folder)
    table = folder / "transcripts.tsv"
    table.write_text(table.read_text().replace("\tten miles", "\tdix élèves, ça"))

    told = task(folder).contents()

    assert told.endswith(
        "; 4 clips left out, whose text has symbols other than a-z, such as éèç of"
        f" {table}, line 6"
    )
    assert "clips left out" not in task(corpus).contents()


def test_clips_that_teach_nothing_are_left_out_and_told(
    corpus: Path, tmp_path: Path
) -> None:
    """Silence, one sample, too much text or sound; held-out clips were chosen here."""
    folder = tmp_path / "corpus"
    shutil.copytree(corpus, folder)
    for name, n_samples in (("long", 13 * RATE_HZ), ("tiny", 1), ("silent", RATE_HZ)):
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
            file.writeframes((b"\0" if name == "silent" else b"a") * 2 * n_samples)
    table = folder / "transcripts.tsv"
    rows = ["tiny.wav\ts1\ta", "long.wav\ts1\ta", "silent.wav\ts1\ta"]
    rows += [f"1.wav\ts1\t{'three ' * 20}"]
    table.write_text(table.read_text() + "\n".join(rows))

    told = task(folder).contents()

    assert told.startswith("22 clips, 0.0 hours, to train on; 2 own held out;")
    assert told.endswith(
        "; own has no split dev: one speaker in 20, or one clip, is held out"
        f"; 1 clips left out, shorter than 0.1 s, such as {table}, line 26"
        f"; 1 clips left out, longer than 12 s, such as {table}, line 27"
        f"; 1 clips left out, silent, such as {table}, line 28"
        f"; 1 clips left out, too short for their texts, such as {table}, line 29"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("s1\t", "s1\té", None),
        (
            "\ttrain",
            "\ttest",
            "no clip of split train, found 24 of test; expected clips",
        ),
        ("\ttrain", "\tdev", "no clip of split train, found 24 of dev; expected clips"),
        ("a\ttrain", "a\tvalid", "line 7: split is 'valid', expected one of train dev"),
    ],
)
def test_splits_that_cannot_be_used_are_told(
    corpus: Path, tmp_path: Path, old: str, new: str, message: str | None
) -> None:
    """Test rows are not trained on; a table without dev gets some."""
    folder = tmp_path / "corpus"
    shutil.copytree(corpus, folder)
    table = folder / "transcripts.tsv"
    names, *rows = table.read_text().splitlines()
    rows = [f"{row}\ttrain" for row in rows]
    text = "\n".join([f"{names}\tsplit", *rows])
    table.write_text(text.replace(old, new))

    if message is None:
        assert "; own has no split dev" in task(folder).contents()
        return
    with pytest.raises(DataError, match=message):
        task(folder)


def test_a_run_that_resumes_is_the_one_that_was_not_stopped(
    corpus: Path, tmp_path: Path
) -> None:
    """Bit for bit, dropped units and distortions as well."""

    class CutTask(TranscribeTask):
        def batch(self, step: int, indices: Sequence[int]) -> dict[str, Tensor]:
            if step == 3:
                raise KeyboardInterrupt
            return super().batch(step, indices)

    train(corpus, tmp_path / "whole", "dropout=0.2")
    recipe = override(TranscribeRecipe(), [*TINY.split(), "dropout=0.2"])
    cut = CutTask(recipe, corpus)
    with pytest.raises(KeyboardInterrupt):
        loop.train("transcribe", recipe, cut, tmp_path / "cut", loop.Start())
    train(corpus, tmp_path / "cut", "--resume")

    expected, found = (read_weights(tmp_path / name) for name in ("whole", "cut"))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_two_processes_train_as_one(corpus: Path, tmp_path: Path) -> None:
    """Under torchrun they share a batch and log the losses of one."""
    one, two = train(corpus, tmp_path / "one"), tmp_path / "two"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = ["train", "transcribe", *TINY.split(), "--data", str(corpus)]
    subprocess.run(
        [sys.executable, *torchrun, "tiedge.py", *arguments, "--output", str(two)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        timeout=600,
    )

    for alone, together in zip(one, log(two), strict=True):
        assert float(alone["loss"]) == pytest.approx(float(together["loss"]), rel=1e-4)


def test_each_clip_is_heard_once_an_epoch(corpus: Path) -> None:
    """Batches hold clips of like length, drawn anew in each epoch."""
    made = task(corpus)
    n_steps = 22 // 4  # two of 24 speakers are held out

    first, second = (np.concatenate(made._order(epoch)) for epoch in range(2))

    assert len(set(first.tolist())) == len(first) == 4 * n_steps
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("distorted", [0.0, 1.0])
def test_examples_are_distorted_and_repeatable(corpus: Path, distorted: float) -> None:
    """From sound, or from the features on disk; long enough for their letters."""
    made = task(corpus, f"distorted={distorted}")

    first, again = made.batch(3, range(4)), made.batch(3, range(4))
    other = task(corpus, f"distorted={distorted}", "seed=1").batch(3, range(4))

    assert torch.equal(first["features"], again["features"])
    assert first["features"].shape != other["features"].shape or not torch.equal(
        first["features"], other["features"]
    )
    assert torch.isfinite(first["features"]).all()
    n_steps = first["n_frames"] // STRIDE_FRAMES
    assert (n_steps >= first["n_symbols"]).all()


def test_ctc_needs_a_blank_between_letters_alike() -> None:
    """Three letters take three steps; "three" takes six."""
    assert [3, 6] == [ctc_length(np.array(s)) for s in ([5, 6, 7], [5, 6, 7, 8, 8])]


def test_phones_are_heard_beside_letters(corpus: Path, tmp_path: Path) -> None:
    """Both are trained and scored; a checkpoint says how its words are said."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    made = task(corpus, "phones=0.5")
    network = made.network()
    batch = made.batch(0, range(4))

    (row,) = train(corpus, tmp_path / "run", "phones=0.5", "steps=2")[-1:]
    kept = open_checkpoint(tmp_path / "run")

    assert len(ALPHABET) + len(PHONES) == network(batch["features"]).shape[2]
    assert made.loss(network, batch) > task(corpus, "phones=0").loss(network, batch)
    assert 0.0 <= float(row["per_own"]) and made.score == "phone_accuracy"
    assert isinstance(kept, TrainedTranscriber) and kept.phones is not None
    assert PHONES == kept.phones.symbols
    (tmp_path / "run" / LEXICON_FILE).write_text("one w n\ntwo xx\n", "utf-8")
    with pytest.raises(CheckpointError, match="line 2: found 'two xx', expected"):
        open_checkpoint(tmp_path / "run")


def test_phones_win_against_all_others_or_each_step_by_itself(
    corpus: Path, tmp_path: Path
) -> None:
    """As a random field the loss is what is left between the two; so is the score."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    alone, field = (task(corpus, "phones=1", f"crf={c}") for c in (0, 1))
    network = alone.network()
    batch = alone.batch(0, range(4))

    (row,) = train(corpus, tmp_path / "run", "phones=1", "crf=0.9", "steps=2")[-1:]

    assert alone.loss(network, batch) > field.loss(network, batch)
    assert field.score == "minus_nats_per_phone" and "per_own" not in row
    assert 0.0 < float(row["nats_own"]) == -float(row["minus_nats_per_phone"])


def test_layers_of_their_own_are_to_compare_with(corpus: Path, tmp_path: Path) -> None:
    """As many more weights as cells; such a network is not exported."""
    shared, own = (
        override(TranscribeRecipe(), [*TINY.split(), f"shared={s}"]).network()
        for s in ("true", "false")
    )
    cell = sum(p.numel() for p in shared.gru.cell.parameters())

    assert isinstance(own.gru, SeparateGRU)
    n_shared, n_own = (sum(p.numel() for p in n.parameters()) for n in (shared, own))
    assert cell == n_own - n_shared
    train(corpus, tmp_path / "run", "shared=false")
    from export.plans import plan_of

    with pytest.raises(SettingError, match="shared=false: is there to compare with"):
        plan_of(tmp_path / "run")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["chunk_frames=10"], "chunk_frames=10: expected a multiple of 3"),
        (["chunk_frames=33"], "chunk_frames=33: expected 3 to 30"),
        (["hidden=0"], "hidden=0: expected 1 to 8192"),
        (["batch=0"], "batch=0: expected 1 to 100000"),
        (["longest_s=nan"], "longest_s=nan: expected 0.5 to 60"),
        (["distorted=2"], "distorted=2.0: expected 0 to 1"),
        (["crf=0.9", "phones=0"], r"crf=0\.9: is about phones, found phones=0"),
    ],
)
def test_settings_have_limits(settings: list[str], message: str) -> None:
    """One line, with the setting and what is expected."""
    with pytest.raises(SettingError, match=message):
        override(TranscribeRecipe(), settings)


def test_too_few_clips_are_refused(corpus: Path) -> None:
    """The way out is in the line."""
    with pytest.raises(DataError, match="clips to train on, expected at least"):
        task(corpus, "longest_s=0.9")


def test_muon_moves_what_is_run_at_every_step(corpus: Path) -> None:
    """The cells, shared or not, and the convolutions; each name is that of a weight."""
    for shared in ("true", "false"):
        made = task(corpus, f"shared={shared}", "muon_rate=0.01")
        network = made.network()
        names = [name for name, p in network.named_parameters() if p.ndim > 1]

        (_, muon) = make_optimizers(network, made, made.recipe)

        moved = [n for n in names if any(part in n for part in made.kernels)]
        assert len(moved) == len(muon.param_groups[0]["params"])
        assert {"output.weight"} == set(names) - set(moved)


def test_commands_are_spoken_to_learn_from(corpus: Path, tmp_path: Path) -> None:
    """Sentences of a grammar, beside the recordings."""
    missing = [PACKAGES[p] for p in PACKAGES if shutil.which(p) is None]
    if missing:
        pytest.skip(f"{' '.join(missing)}: not installed")
    grammar = tmp_path / "lights.gram"
    grammar.write_text("#JSGF V1.0; public <turn> = lights (on | off) {state};")
    settings = [*TINY.split(), f"sentences={grammar}", "spoken=20"]
    recipe = override(CommandsRecipe(), settings)

    task = CommandsTask(recipe, corpus)

    n_alone = int(TranscribeTask(recipe, corpus).contents().partition(" clips")[0])
    n_clips = int(task.contents().partition(" clips")[0])
    assert n_alone + 10 < n_clips <= n_alone + 20
    assert torch.isfinite(task.loss(task.network(), task.batch(0, range(4))))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("sentences=tea", "sentences=tea: no such file, nor a ready-made grammar"),
        ("sentences=", "sentences=: is empty, expected a grammar's name or a file"),
    ],
)
def test_sentences_that_there_are_not_are_told(
    corpus: Path, setting: str, message: str
) -> None:
    """Before anything is spoken."""
    with pytest.raises(TiedgeError, match=message):
        CommandsTask(override(CommandsRecipe(), [setting]), corpus)
