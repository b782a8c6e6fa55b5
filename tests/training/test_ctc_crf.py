"""All texts of a grammar, weighed at once."""

from __future__ import annotations

from itertools import groupby, product

import numpy as np
import pytest
import torch

from training.ctc_crf import EDGE, log_partition, log_weights, trigrams

N_SYMBOLS, N_STEPS = 4, 5
TEXTS = [(1, 2, 2), (1, 2), (3, 1, 2), (2,)]


def test_trigrams_are_probabilities() -> None:
    """Of every history, seen or not; the more often seen, the likelier."""
    found = trigrams(TEXTS, N_SYMBOLS)

    assert np.allclose(found.sum(-1), 1.0, atol=1e-6)
    assert (found > 0).all()
    assert found[EDGE, EDGE, 1] > found[EDGE, EDGE, 3] > found[EDGE, EDGE, EDGE]
    assert found[1, 2, EDGE] > found[1, 2, 2] > found[1, 2, 1]


@pytest.mark.parametrize("n_steps", [1, 3, N_STEPS])
def test_the_partition_is_the_sum_of_all_texts(n_steps: int) -> None:
    """Each path's probability times that of its text; so is the gradient."""
    torch.manual_seed(0)
    rows = torch.randn(2, N_STEPS, N_SYMBOLS).log_softmax(2).requires_grad_()
    lengths = torch.tensor([n_steps, N_STEPS])
    grammar = torch.from_numpy(trigrams(TEXTS, N_SYMBOLS))

    found = log_partition(rows, lengths, grammar)

    expected = torch.stack(
        [_by_enumeration(rows[n, : lengths[n]], grammar) for n in range(2)]
    )
    assert torch.allclose(expected, found, atol=1e-5)
    (gradient,) = torch.autograd.grad(found.sum(), rows, retain_graph=True)
    (right,) = torch.autograd.grad(expected.sum(), rows)
    assert torch.allclose(right, gradient, atol=1e-5)
    assert not gradient[0, n_steps:].any()


def _by_enumeration(rows: torch.Tensor, grammar: torch.Tensor) -> torch.Tensor:
    """Return the log of the sum over all paths, each weighed as the text it spells."""
    total = []
    for path in product(range(N_SYMBOLS), repeat=len(rows)):
        text = [symbol for symbol, _ in groupby(path) if symbol]
        padded = (EDGE, EDGE, *text, EDGE)
        weights = [
            grammar[three]
            for three in zip(padded, padded[1:], padded[2:], strict=False)
        ]
        total.append(
            rows[range(len(rows)), path].sum() + torch.stack(weights).log().sum()
        )
    return torch.stack(total).logsumexp(0)


def test_weights_of_texts() -> None:
    """Each symbol's probability and the end's; what pads a text counts nothing."""
    grammar = torch.from_numpy(trigrams(TEXTS, N_SYMBOLS))
    texts = torch.tensor([[3, 1, 2], [2, 9, 9]])

    found = log_weights(texts, torch.tensor([3, 1]), grammar)

    long = grammar[EDGE, EDGE, 3] * grammar[EDGE, 3, 1] * grammar[3, 1, 2]
    assert torch.allclose(
        torch.stack(
            [
                (long * grammar[1, 2, EDGE]).log(),
                (grammar[EDGE, EDGE, 2] * grammar[EDGE, 2, EDGE]).log(),
            ]
        ),
        found,
    )


def test_long_texts_stay_finite() -> None:
    """Thousands of steps neither vanish nor overflow."""
    rows = torch.randn(1, 3000, N_SYMBOLS, generator=torch.manual_seed(0))
    grammar = torch.from_numpy(trigrams(TEXTS, N_SYMBOLS))

    found = log_partition(rows.log_softmax(2), torch.tensor([3000]), grammar)

    assert torch.isfinite(found).all()
    assert -3000 * 5 < float(found) < 0
