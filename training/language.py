"""The tied language model: one recurrent cell, one table to read and write words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.sharing import SharedGRU, TiedProjection
from training.texts import END_PLACE, UNKNOWN_PLACE
from training.transcriber import StateTensor


class RowsGRU(SharedGRU):
    """A shared cell that can be run for many texts at once, one word at a time."""

    def step_rows(
        self, y: Tensor, states: Sequence[Tensor]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the stream, (B, H), of one step of B texts, and the next states.

        `states` holds one (B, H) per layer, all zero at a text's start.
        """
        input_map, _, input_bias, _ = self.cell.all_weights[0]
        following = []
        for state, scale, bias in zip(states, self.scale, self.bias, strict=True):
            state = self._recur(F.linear(y, input_map, input_bias), state)
            y = y + (state * scale + bias)
            following.append(state)
        return y, tuple(following)


class LanguageNetwork(nn.Module):
    """Words so far to the next word's logits.

    Tied, the table of embeddings is the output projection as well (Press and Wolf,
    arXiv:1608.05859; Inan et al., arXiv:1611.01462); untied, it is there twice: the
    twin that tying is measured against.
    """

    def __init__(
        self,
        n_words: int,
        hidden: int,
        n_layers: int,
        *,
        tied: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.words = TiedProjection(n_words, hidden)
        self.gru = RowsGRU(hidden, n_layers)
        self.dropout = nn.Dropout(dropout)
        self.output = None if tied else nn.Linear(hidden, n_words)
        if not tied:
            self.words.register_parameter("bias", None)  # the output has one

    def forward(self, words: Tensor) -> Tensor:
        """Return logits, (B, T, V), of words, (B, T); states begin at zero."""
        h = self.gru(self.dropout(self._embedded(words)))
        return self._logits(self.dropout(h))

    def _embedded(self, words: Tensor) -> Tensor:
        # The rows are short, so that logits are not large at first; the cell wants
        # numbers around one.
        return self.words.embed(words) * self.words.weight.shape[1] ** 0.5

    def _logits(self, h: Tensor) -> Tensor:
        logits: Tensor = (self.output or self.words)(h)
        return logits


class LanguageStep(nn.Module):
    """One word of each of `n_histories` texts, with explicit state, for export."""

    def __init__(self, network: LanguageNetwork, n_histories: int) -> None:
        super().__init__()
        self.network = network
        self.n_histories = n_histories

    def state_tensors(self) -> tuple[StateTensor, ...]:
        """Return the states in the order in which `forward` takes and returns them."""
        shape = (self.n_histories, self.network.words.weight.shape[1])
        return tuple(
            StateTensor(f"gru_{layer}", f"next_gru_{layer}", shape)
            for layer in range(self.network.gru.n_layers)
        )

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Return words and states as `forward` takes them, all zero."""
        words = torch.zeros(self.n_histories, dtype=torch.int32)
        return (words, *(torch.zeros(s.shape) for s in self.state_tensors()))

    def forward(self, words: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Return log probabilities, (B, V), and each layer's next state, (B, H).

        `words`, (B,), are each text's last word.
        """
        network = self.network
        h = network._embedded(words)
        h, following = network.gru.step_rows(h, states)
        return (F.log_softmax(network._logits(h), dim=1), *following)


def nats_per_word(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean cross entropy, in nats, of words, (B, T); −1 is left out."""
    return F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=-1)


def windows(sentences: Sequence[Sequence[int]], length: int) -> tuple[Tensor, Tensor]:
    """Return what is read and what is wanted, (N, length), of sentences one by one.

    Each begins with the mark of an end read, and wants it behind its last word; longer
    ones are cut. What is missing, and words that are not known, are wanted as −1.
    """
    read = torch.full((len(sentences), length), END_PLACE)
    wanted = torch.full((len(sentences), length), -1)
    for row, sentence in enumerate(sentences):
        words = torch.tensor([*sentence, END_PLACE][:length])
        wanted[row, : len(words)] = words
        read[row, 1 : len(words)] = words[:-1]
    return read, torch.where(wanted == UNKNOWN_PLACE, -1, wanted)
