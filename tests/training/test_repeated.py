"""What networks on folded pictures share."""

from __future__ import annotations

import pytest
import torch

from training.repeated import fold, folded_radius_px, unfold


@pytest.mark.parametrize("n", [1, 2, 4])
def test_unfolding_undoes_folding(n: int) -> None:
    """Every number comes back to its place."""
    picture = torch.rand(2, 3, 8, 12)

    folded = fold(picture, fold_px=n)

    assert (2, 3 * n * n, 8 // n, 12 // n) == folded.shape
    assert torch.equal(picture, unfold(folded, n))


def test_phases_lie_rows_columns_colours() -> None:
    """Where channels lie last, two pixels of a row and their colours lie together."""
    picture = torch.arange(2 * 2 * 3).reshape(1, 2, 2, 3).permute(0, 3, 1, 2)

    folded = fold(picture)

    assert list(range(12)) == folded.flatten().tolist()


def test_what_is_told_becomes_maps() -> None:
    """A number fills a map behind the phases."""
    told = torch.tensor([0.25]).reshape(1, 1, 1, 1)

    folded = fold(torch.zeros(1, 3, 4, 4), told)

    assert (1, 13, 2, 2) == folded.shape
    assert (folded[:, 12] == 0.25).all()


def test_a_folded_network_sees_whole_phases() -> None:
    """A pixel of the grid is two of the picture, or four."""
    assert 2 * 3 + 1 == folded_radius_px(3)
    assert 4 * 3 + 3 == folded_radius_px(3, 4)
