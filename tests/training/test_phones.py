"""Pronunciations by espeak-ng."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge_runtime.errors import DataError, SettingError
from training.phones import PHONES, encode_phones, pronounce


@pytest.fixture
def espeak() -> None:
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")


def test_words_are_asked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, espeak: None
) -> None:
    """The second time they come from the cache; a new word is missed."""
    made = pronounce(["cat", "three", "don't"], tmp_path)
    monkeypatch.setenv("PATH", "")

    assert {"three": ("θ", "ɹ", "iː")} == pronounce(["three"], tmp_path)
    assert ("k", "æ", "t") == made["cat"]
    with pytest.raises(DataError, match="espeak-ng is not installed; run: apt-get"):
        pronounce(["dog"], tmp_path)


def test_many_words_keep_their_order(tmp_path: Path, espeak: None) -> None:
    """More than are asked for at once."""
    words = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnprstz"]

    found = pronounce(words, tmp_path)

    assert found == {word: pronounce([word], tmp_path)[word] for word in words}
    assert all(set(phones) <= {*PHONES[2:]} for phones in found.values())


def test_texts_become_places() -> None:
    """A mark stands between words."""
    found = encode_phones("a cat", {"a": ("ɐ",), "cat": ("k", "æ", "t")})

    assert ["ɐ", " ", "k", "æ", "t"] == [PHONES[place] for place in found]


@pytest.mark.parametrize(
    "content", ["{", "", "[]", '{"cat": 5}', '{"cat": ["kat"]}', "\xff", "[" * 99_999]
)
def test_a_damaged_cache_is_told(tmp_path: Path, content: str) -> None:
    """It can be made again."""
    cache = tmp_path / "pronunciations.json"
    cache.write_bytes(content.encode("latin-1"))

    with pytest.raises(DataError, match="damaged; delete it, it is made again"):
        pronounce(["cat"], tmp_path)


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, espeak: None) -> None:
    """With the way out."""
    (tmp_path / "file").touch()

    with pytest.raises(SettingError, match=r"cannot be written.*with XDG_CACHE_HOME"):
        pronounce(["cat"], tmp_path / "file")


def test_marks_and_endless_words_are_no_trouble(tmp_path: Path, espeak: None) -> None:
    """An apostrophe says nothing; what espeak-ng says in several lines is one word."""
    words = ["cat", "'", "''", "three", "ab" * 2000]

    found = pronounce(words, tmp_path)

    assert {"cat": ("k", "æ", "t"), "'": (), "''": ()}.items() <= found.items()
    assert found["ab" * 2000]
    assert ["k", "æ", "t", " ", "k", "æ", "t"] == [
        PHONES[place] for place in encode_phones("' cat ' cat", found)
    ]
