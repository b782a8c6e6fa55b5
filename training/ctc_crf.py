"""CTC whose paths a grammar of symbols weighs: the second half of its CRF loss.

Plain CTC makes each step's symbols likely by themselves. As a conditional random field
(CTC-CRF, Xiang and Ou, arXiv:1911.08747) the right text has to win against all others
as a language model of symbols weighs them, which is how a search uses the network.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

EDGE = 0
"""Stands for the start and the end of a text; the CTC blank, which no text holds."""


def trigrams(texts: Iterable[Iterable[int]], n_symbols: int) -> NDArray[np.float32]:
    """Return each symbol's probability behind two others, (V, V, V), EDGE among them.

    Interpolated with the shorter ones by the number of different symbols that were
    seen behind (Witten and Bell, 1991), down to even odds.
    """
    counts = np.zeros((n_symbols,) * 3)
    for text in texts:
        padded = [EDGE, EDGE, *text, EDGE]
        for three in zip(padded, padded[1:], padded[2:], strict=False):
            counts[three] += 1
    found = np.full(n_symbols, 1 / n_symbols)
    for seen in (counts.sum((0, 1)), counts.sum(0), counts):
        n_different = (seen > 0).sum(-1, keepdims=True)
        n = seen.sum(-1, keepdims=True) + n_different
        mixed = (seen + n_different * found) / np.maximum(n, 1)
        found = np.where(n > 0, mixed, found)
    return np.asarray(found, np.float32)


def log_partition(
    log_probabilities: Tensor, n_steps: Tensor, grammar: Tensor
) -> Tensor:
    """Return the log of all texts' weights, (B,): of CTC times that of the grammar.

    `log_probabilities`, (B, T, V), count up to each row's `n_steps`, (B,); `grammar`,
    (V, V, V), is that of `trigrams`. In float32, each step scaled to sum to one.
    """
    following = grammar.clone()
    following[..., EDGE] = 0.0
    # A symbol behind itself needs a blank in between.
    again = following.diagonal(dim1=1, dim2=2).clone()  # (V, V)
    following.diagonal(dim1=1, dim2=2).zero_()
    following = following.transpose(0, 1)  # by the last symbol, for bmm
    said = log_probabilities.exp()
    n_texts, _, n_symbols = said.shape
    # By the last two symbols: paths that end in a blank, and in the last symbol.
    blank = said.new_zeros(n_texts, n_symbols, n_symbols)
    blank[:, EDGE, EDGE] = 1.0
    symbol = torch.zeros_like(blank)
    log_scale = said.new_zeros(n_texts)
    for step, row in enumerate(said.unbind(1)):
        both = symbol + blank
        moved = torch.bmm(both.permute(2, 0, 1), following).transpose(0, 1)
        moved = moved + torch.diag_embed((blank * again).sum(1))
        next_symbol = row[:, None] * (moved + symbol)
        next_blank = row[:, None, EDGE, None] * both
        scale = (next_symbol + next_blank).detach().sum((1, 2))
        goes_on = step < n_steps
        log_scale = log_scale + torch.where(goes_on, scale.log(), 0.0)
        goes_on, scale = goes_on[:, None, None], scale[:, None, None]
        symbol = torch.where(goes_on, next_symbol / scale, symbol)
        blank = torch.where(goes_on, next_blank / scale, blank)
    ended = ((symbol + blank) * grammar[..., EDGE]).sum((1, 2))
    return log_scale + ended.log()


def log_weights(texts: Tensor, n_symbols: Tensor, grammar: Tensor) -> Tensor:
    """Return what the grammar gives each text, (B,), of padded ones, (B, U)."""
    behind = torch.arange(texts.shape[1]) >= n_symbols[:, None]
    padded = F.pad(texts.masked_fill(behind, EDGE), (2, 1), value=EDGE)
    each = grammar[padded[:, :-2], padded[:, 1:-1], padded[:, 2:]].log()  # (B, U + 1)
    counts = torch.arange(each.shape[1]) <= n_symbols[:, None]
    return torch.where(counts, each, 0.0).sum(1)
