"""The numbers that recipes are scored by, against jiwer."""

import jiwer
from hypothesis import given
from hypothesis import strategies as st

from training.metrics import edit_distance, letter_errors, word_errors

WORDS = st.lists(st.sampled_from("zero one two oh".split()), min_size=1, max_size=8)


@given(WORDS, WORDS)
def test_word_errors_are_those_of_jiwer(expected: list[str], found: list[str]) -> None:
    """Insertions, deletions and replacements add up as in the usual library."""
    counted = jiwer.process_words(" ".join(expected), " ".join(found))

    total = counted.substitutions + counted.deletions + counted.insertions
    assert total == word_errors(" ".join(expected), " ".join(found))


@given(WORDS, WORDS)
def test_letter_errors_are_those_of_jiwer(
    expected: list[str], found: list[str]
) -> None:
    """Letters and spaces count alike."""
    counted = jiwer.process_characters(" ".join(expected), " ".join(found))

    total = counted.substitutions + counted.deletions + counted.insertions
    assert total == letter_errors(" ".join(expected), " ".join(found))


def test_nothing_found_is_all_deleted() -> None:
    """An empty text differs by the length of the other."""
    assert edit_distance("four", "") == edit_distance("", "four") == 4
