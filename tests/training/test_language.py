"""The tied language model: its weights, its steps, its texts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from edge_runtime.errors import CheckpointError, DataError
from training.language import LanguageNetwork, LanguageStep, nats_per_word, windows
from training.recipes.lm import LmRecipe
from training.tasks.lm import LmTask
from training.texts import (
    END,
    UNKNOWN,
    known_words,
    numbered,
    read_sentences,
    read_words,
    words_of,
)

N_WORDS, HIDDEN, LAYERS = 30, 12, 3


def network(*, tied: bool = True) -> LanguageNetwork:
    torch.manual_seed(0)
    made = LanguageNetwork(N_WORDS, HIDDEN, LAYERS, tied=tied).eval()
    for scale, bias in zip(made.gru.scale, made.gru.bias, strict=True):
        torch.nn.init.normal_(scale)
        torch.nn.init.normal_(bias)
    return made


def test_tied_it_has_one_table_of_words() -> None:
    """The twin has another one, and nothing else."""
    n_tied, n_untied = (
        sum(p.numel() for p in network(tied=tied).parameters())
        for tied in (True, False)
    )

    assert N_WORDS * HIDDEN == n_untied - n_tied


@pytest.mark.parametrize("tied", [True, False])
def test_steps_are_the_whole(tied: bool) -> None:
    """Word by word, several texts at a time, with explicit states, as in training."""
    made = network(tied=tied)
    texts = torch.randint(0, N_WORDS, (4, 7), generator=torch.manual_seed(1))
    step = LanguageStep(made, 4)
    _, *states = step.example_inputs()

    with torch.no_grad():
        whole = made(texts).log_softmax(dim=2)
        for place in range(texts.shape[1]):
            found, *states = step(texts[:, place].int(), *states)
            assert torch.allclose(whole[:, place], found, atol=1e-5)


def test_windows_want_the_next_word() -> None:
    """The end is read first and wanted last; unknown words are not wanted."""
    read, wanted = windows([(5, 6), (1, 7, 8, 9)], 4)

    assert [[0, 5, 6, 0], [0, 1, 7, 8]] == read.tolist()
    assert [[5, 6, 0, -1], [-1, 7, 8, 9]] == wanted.tolist()


def test_perplexity_of_even_odds_is_the_number_of_words() -> None:
    """What is not wanted does not count."""
    _, wanted = windows([(5, 6), (1, 7, 8, 9)], 5)

    nats = float(nats_per_word(torch.zeros(2, 5, N_WORDS), wanted))

    assert N_WORDS == pytest.approx(math.exp(nats))


def test_texts_become_words(tmp_path: Path) -> None:
    """Names of clips are left out, numbers spoken, other words' mark kept."""
    path = tmp_path / "text.txt"
    path.write_text("84-1-0 IT IS\n\n“ Two ” , <unk> ’s 2 .\n", encoding="utf-8")

    assert [("it", "is"), ("two", UNKNOWN, "'s", "two")] == read_sentences(path)
    assert ("good", "bye") == words_of("Good-bye!")


def test_the_most_frequent_words_are_known() -> None:
    """Ends and others first; ties by the alphabet."""
    sentences = [("b", "a", "c"), ("b", UNKNOWN, "a", "d"), ("b",)]

    known = known_words(sentences, 5)

    assert (END, UNKNOWN, "b", "a", "c") == known
    assert [(2, 3, 4), (2, 1, 3, 1), (2,)] == numbered(sentences, known)


@pytest.mark.parametrize("tied", [True, False])
def test_a_run_goes_on_with_the_rows_of_its_words(
    tmp_path: Path, *, tied: bool
) -> None:
    """Another text ranks words otherwise and has others: each keeps its own row."""
    before = LmTask(*_texts(tmp_path / "1.txt", ["b b b a", "a c"], tied=tied))
    after = LmTask(*_texts(tmp_path / "2.txt", ["c c c a", "a d b"], tied=tied))
    for name, text in before.files().items():
        (tmp_path / name).write_text(text)
    learned, fresh = before.network(), after.network()

    found = after.translated(learned.state_dict(), fresh, tmp_path)

    assert (END, UNKNOWN, "b", "a", "c") == before.words
    assert (END, UNKNOWN, "c", "a", "b", "d") == after.words
    table, own = found["words.weight"], fresh.state_dict()["words.weight"]
    assert torch.equal(learned.words.weight[[0, 1, 4, 3, 2]], table[:5])
    assert torch.equal(own[5], table[5])
    bias = "words.bias" if tied else "output.bias"
    assert torch.equal(learned.state_dict()[bias][[0, 1, 4, 3, 2]], found[bias][:5])
    assert torch.equal(learned.gru.cell.weight_hh_l0, found["gru.cell.weight_hh_l0"])


def _texts(path: Path, sentences: list[str], *, tied: bool) -> tuple[LmRecipe, Path]:
    """Return a small recipe and a text of these sentences, again and again."""
    path.write_text("\n".join(sentences * 20))
    return LmRecipe(words=10, hidden=4, batch=2, tied=tied), path


def test_odd_files_are_told(tmp_path: Path) -> None:
    """One line each."""
    path = tmp_path / "text.txt"
    path.write_text("…\n 42\n".replace("42", "–"), encoding="utf-8")
    with pytest.raises(DataError, match="holds no word"):
        read_sentences(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read as UTF-8 text"):
        read_sentences(path)
    (tmp_path / "words.txt").write_text("a\nb\n")
    with pytest.raises(CheckpointError, match=r"expected different words, one a line"):
        read_words(tmp_path)
