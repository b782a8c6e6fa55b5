"""Speech in, letters out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edge_runtime.ctc import greedy_text
from edge_runtime.errors import DataError
from edge_runtime.front_end import MILLISECONDS_PER_SECOND
from edge_runtime.transcriber import FLUSH_MS
from training.clip_store import ClipStore
from training.corpora import CHOSEN, DEV, HELD_OUT_ONE_IN, TRAIN, read_corpora
from training.ctc_crf import log_partition, log_weights, trigrams
from training.data import data_folder
from training.learnable import LeftOut, ctc_length, why_not
from training.metrics import edit_distance, letter_errors, word_errors
from training.noises import read_noises
from training.phones import (
    LEXICON_FILE,
    PHONES,
    encode_phones,
    greedy_phones,
    lexicon_text,
    pronounce,
)
from training.recipes.transcribe import TranscribeRecipe
from training.sound_augmentation import (
    WARPS,
    Augmentation,
    add_noise,
    distorted_features,
    mask,
    redistorted,
)
from training.speech import (
    ALPHABET,
    BLANK,
    STRIDE_FRAMES,
    Utterance,
    encode,
    told_foreign,
    writable,
)
from training.synthetic_corpus import cached_corpus
from training.task import Task
from training.texts import TRAINING_TEXTS, UNKNOWN, read_sentences
from training.transcriber import KERNELS

HUMAN = ("speechocean762", "wuw-corpus-ii")
"""Recordings that are trained on, out of the folder `speech` of the data."""
MARGIN_S = (0.05, 0.4)
"""Of what a clip has before its first word and behind its last; the rest is cut off.
A third of the recordings' time is silence."""
JITTER = 0.15
"""How far clips may be out of order by length: little of a batch is padding."""


class TranscribeTask(Task):
    """Speech in, letters out; scored by letters right on unseen speakers.

    Without `data`: speechocean762 and wuw-corpus-ii (training parts) and synthesized
    speech; with it, the corpora of a folder. Each clip is heard once per epoch.
    """

    score = "letter_accuracy"
    kernels = KERNELS
    keeps_norm = True

    def __init__(self, recipe: TranscribeRecipe, data: Path | None) -> None:
        self.recipe = recipe
        self.front_end = recipe.front_end
        self._augmentation = Augmentation(
            n_masks=recipe.masks, mask_mels=8, mask_frames=12, tempo=(0.85, 1.15)
        )
        self._filter_bank = [self.front_end.warped_filters(warp) for warp in WARPS]
        if data is None:
            corpora = {
                name: read_corpora(data_folder() / "speech" / name) for name in HUMAN
            }
            noise = data_folder() / "noise"
            if recipe.synthetic:
                corpora["synthetic"] = cached_corpus(
                    "synthetic-corpus", recipe.synthetic
                )
        else:
            corpora = {"own": read_corpora(data)}
            noise = (data if data.is_dir() else data.parent) / "noise"
        corpora |= self.more_corpora()
        self._noises = read_noises(noise, self.front_end.sample_rate_hz)
        self._remarks: list[str] = []
        where = data or data_folder()
        corpora = self._writable(corpora, where)
        self._said: dict[str, tuple[str, ...]] = {}
        if recipe.phones:
            self.score = "minus_nats_per_phone" if recipe.crf else "phone_accuracy"
            texts = [u.text for corpus in corpora.values() for u in corpus]
            words = {word for text in texts for word in text.split()}
            if data is None:
                words |= _words_of_texts()
            self._said = pronounce(sorted(words))
        heard = [u for c in corpora.values() for u in c if u.columns["split"] == TRAIN]
        self._keep(ClipStore(heard, self.front_end), heard, where)
        self._held_out: list[tuple[str, Utterance, NDArray[np.float32]]] = []
        for name, corpus in corpora.items():
            unheard = [u for u in corpus if u.columns["split"] == DEV]
            if not unheard:
                continue
            store = ClipStore(unheard, self.front_end)
            self._held_out += [
                (name, u, store.features(n)) for n, u in enumerate(unheard)
            ]
        self._held_out.sort(key=lambda clip: len(clip[2]))

    def files(self) -> Mapping[str, str]:
        return {LEXICON_FILE: lexicon_text(self._said)} if self._said else {}

    def _writable(
        self, corpora: Mapping[str, Sequence[Utterance]], where: Path
    ) -> dict[str, list[Utterance]]:
        """Return the clips whose text can be written; some are train and some dev."""
        kept: dict[str, list[Utterance]] = {}
        foreign: list[Utterance] = []
        for name, corpus in corpora.items():
            kept[name], left_out = writable(corpus)
            foreign += left_out
            if any(u.columns.get(CHOSEN) and u.columns["split"] == DEV for u in corpus):
                self._remarks.append(
                    f"{name} has no split {DEV}: one speaker in {HELD_OUT_ONE_IN}, or"
                    " one clip, is held out"
                )
        if foreign:
            self._remarks.append(told_foreign(foreign))
        n_of = Counter(u.columns["split"] for c in kept.values() for u in c)
        for split in (TRAIN, DEV):
            if not n_of[split]:
                found = ", ".join(f"{n} of {name}" for name, n in n_of.items() if n)
                raise DataError(
                    f"{where}: no clip of split {split}, found {found or 'none'};"
                    " expected clips to train on, and others to score on"
                    + "".join(f"; {remark}" for remark in self._remarks)
                )
        return kept

    def more_corpora(self) -> dict[str, list[Utterance]]:
        """Return what is heard beside, by name; nothing here."""
        return {}

    def _keep(self, store: ClipStore, heard: Sequence[Utterance], where: Path) -> None:
        """Keep the clips that can be learnt from."""
        self._store = store
        symbols = [encode(utterance.text) for utterance in heard]
        clips = zip(
            store.n_samples.tolist(),
            store.peaks.tolist(),
            store.n_frames.tolist(),
            strict=True,
        )
        self._numbers = []
        left_out = LeftOut()
        for number, clip in enumerate(clips):
            reason = why_not(
                clip, symbols[number], self.front_end, self.recipe.longest_s
            )
            if reason is None:
                self._numbers.append(number)
            else:
                left_out.add(reason, heard[number])
        self._remarks += left_out.told()
        if len(self._numbers) < self.recipe.batch:
            raise DataError(
                f"{where}: {len(self._numbers)} clips to train on, expected at least a"
                f" batch of {self.recipe.batch}; lower batch= or raise longest_s="
                + "".join(f"; {remark}" for remark in self._remarks)
            )
        self._symbols = symbols
        self._phones: list[NDArray[np.int64]] = []
        if self.recipe.phones:
            self._phones = [encode_phones(u.text, self._said) for u in heard]
            self._phone_grammar = torch.from_numpy(trigrams(self._phones, len(PHONES)))
        self._order = lru_cache(maxsize=2)(self._draw_order)

    def contents(self) -> str:
        hours = (
            self._store.n_frames[self._numbers].sum() * self.front_end.hop_ms / 3.6e6
        )
        held_out = Counter(name for name, _, _ in self._held_out)
        return (
            f"{len(self._numbers)} clips, {hours:.1f} hours, to train on;"
            f" {', '.join(f'{n} {name}' for name, n in held_out.items())} held out;"
            f" {len(self._noises)} recordings of noise"
            + "".join(f"; {remark}" for remark in self._remarks)
        )

    def network(self) -> nn.Module:
        return self.recipe.network()

    def batch(self, step: int, indices: Sequence[int]) -> dict[str, Tensor]:
        n_steps = len(self._numbers) // self.recipe.batch
        clips = self._order(step // n_steps)[step % n_steps]
        examples = [self._example(step, index, int(clips[index])) for index in indices]
        n_frames = [len(features) for features, _ in examples]
        features = _padded([found for found, _ in examples])
        numbers = [number for _, number in examples]
        batch = {
            "features": torch.from_numpy(features),  # (B, T, M)
            "n_frames": torch.tensor(n_frames),
            **_targets("symbols", [self._symbols[n] for n in numbers]),
        }
        if self._phones:
            batch |= _targets("phones", [self._phones[n] for n in numbers])
        return batch

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the CTC loss per symbol, in float32, and per phone, weighted."""
        n_steps = batch["n_frames"] // STRIDE_FRAMES
        found = network(batch["features"])
        loss = _ctc(found[..., : len(ALPHABET)], n_steps, batch, "symbols")
        if self.recipe.phones:
            said = found[..., len(ALPHABET) :]
            phones = _ctc(said, n_steps, batch, "phones")
            if self.recipe.crf:
                among = log_partition(
                    said.float().log_softmax(dim=2), n_steps, self._phone_grammar
                )
                among = (among / batch["n_phones"]).mean()
                phones = phones + self.recipe.crf * among
            loss = loss + self.recipe.phones * phones
        return loss

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return letters and phones right of held-out clips, and each set's errors.

        As a random field phones are not found step by step: then minus the nats of each
        phone, given the sound and its grammar.
        """
        total: dict[str, Counter[str]] = defaultdict(Counter)
        wrong: dict[str, defaultdict[str, float]] = defaultdict(
            lambda: defaultdict(float)
        )
        for first in range(0, len(self._held_out), self.recipe.batch):
            some = self._held_out[first : first + self.recipe.batch]
            # The network looks back only: what is padded behind a clip changes nothing.
            features = _padded([features for _, _, features in some])
            logits = network(torch.from_numpy(features)).numpy()
            for (name, utterance, kept), row in zip(some, logits, strict=True):
                heard = row[: len(kept) // STRIDE_FRAMES]
                text = utterance.text
                found = greedy_text(heard[:, : len(ALPHABET)], ALPHABET, BLANK)
                total["cer"][name] += len(text)
                wrong["cer"][name] += letter_errors(text, found)
                total["wer"][name] += len(text.split())
                wrong["wer"][name] += word_errors(text, found)
                if not self.recipe.phones:
                    continue
                said = encode_phones(text, self._said)
                if self.recipe.crf:
                    total["nats"][name] += len(said)
                    wrong["nats"][name] += self._nats(heard[:, len(ALPHABET) :], said)
                else:
                    phones = greedy_phones(heard[:, len(ALPHABET) :])
                    total["per"][name] += len(said)
                    wrong["per"][name] += edit_distance(said.tolist(), phones)
        right = {
            score: best - sum(wrong[kind].values()) / max(1, total[kind].total())
            for score, kind, best in (
                ("letter_accuracy", "cer", 1.0),
                ("phone_accuracy", "per", 1.0),
                ("minus_nats_per_phone", "nats", 0.0),
            )
            if kind in total
        }
        return right | {
            f"{kind}_{name}": wrong[kind][name] / max(1, n)
            for kind in total
            for name, n in total[kind].items()
        }

    def _nats(self, logits: NDArray[np.float32], phones: NDArray[np.int64]) -> float:
        """Return how unlikely a clip's phones, (U,), are, of logits, (T, P)."""
        rows = torch.from_numpy(logits)[None].log_softmax(dim=2)
        lengths, n_steps = torch.tensor([len(phones)]), torch.tensor([len(logits)])
        batch = {"phones": torch.from_numpy(phones)[None], "n_phones": lengths}
        likely = log_weights(batch["phones"], lengths, self._phone_grammar)
        among = log_partition(rows, n_steps, self._phone_grammar)
        return float(
            len(phones) * _ctc(rows, n_steps, batch, "phones") + among - likely
        )

    def _draw_order(self, epoch: int) -> list[NDArray[np.int64]]:
        """Return an epoch's batches: clips of like length, each clip at most once."""
        rng = np.random.default_rng((self.recipe.seed, epoch))
        numbers = np.array(self._numbers)
        first, end = self._store.spoken[numbers].T
        lengths = (end - first) * rng.uniform(1 - JITTER, 1 + JITTER, len(numbers))
        ordered = numbers[np.argsort(lengths)]
        n_steps, batch = len(numbers) // self.recipe.batch, self.recipe.batch
        first = int(rng.integers(len(numbers) - n_steps * batch + 1))
        rows = ordered[first : first + n_steps * batch].reshape(n_steps, batch)
        rng.shuffle(rows)
        return list(rows)

    def _example(
        self, step: int, index: int, number: int
    ) -> tuple[NDArray[np.float32], int]:
        """Return features, (T, M), T a multiple of the stride, and which clip it is."""
        rng = np.random.default_rng((self.recipe.seed, step, index))
        rate_hz = self.front_end.sample_rate_hz
        hop = self.front_end.hop_samples
        n_flush = FLUSH_MS * rate_hz // MILLISECONDS_PER_SECOND
        before, behind = (rng.uniform(*MARGIN_S, 2) * rate_hz / hop).astype(int)
        first = max(0, self._store.spoken[number, 0] - before)
        end = self._store.spoken[number, 1] + behind
        kind = rng.random()
        if kind < self.recipe.distorted:
            sound = self._store.samples(number)[first * hop : end * hop]
            sound = np.pad(sound, (0, n_flush))
            noisy = add_noise(sound, self._noises, self._augmentation, rng)
            features = distorted_features(
                noisy, self.front_end, self._filter_bank, self._augmentation, rng
            )
        else:
            features = self._store.features(number)
            n_sound = len(features) - n_flush // hop
            features = np.concatenate(
                [features[first : min(end, n_sound)], features[n_sound:]]
            )
            if kind < self.recipe.distorted + self.recipe.varied:
                features = redistorted(
                    features, self.front_end, self._augmentation, rng
                )
            mask(features, self._augmentation, rng)
        n_whole = len(features) // STRIDE_FRAMES * STRIDE_FRAMES
        if n_whole // STRIDE_FRAMES < ctc_length(self._symbols[number]):
            features = self._store.features(number)  # too fast for its letters
            n_whole = len(features)
        return features[:n_whole], number


def _words_of_texts() -> set[str]:
    """Return the words of the texts that language models learn from."""
    texts = [read_sentences(data_folder() / "text" / name) for name in TRAINING_TEXTS]
    words = {word for sentences in texts for words in sentences for word in words}
    return words - {UNKNOWN}


def _padded(blocks: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return features, (T, M) each, as one array, (B, T, M), with zeros behind."""
    longest = max(map(len, blocks))
    return np.stack([np.pad(b, ((0, longest - len(b)), (0, 0))) for b in blocks])


def _targets(name: str, texts: Sequence[NDArray[np.int64]]) -> dict[str, Tensor]:
    """Return texts as a padded tensor, (B, U), and their lengths."""
    padded = np.zeros((len(texts), max(map(len, texts))), np.int64)
    for row, text in zip(padded, texts, strict=True):
        row[: len(text)] = text
    lengths = torch.tensor([len(text) for text in texts])
    return {name: torch.from_numpy(padded), f"n_{name}": lengths}


def _ctc(
    logits: Tensor, n_steps: Tensor, batch: dict[str, Tensor], name: str
) -> Tensor:
    return F.ctc_loss(
        logits.float().log_softmax(dim=2).transpose(0, 1),  # (T, B, V)
        batch[name],
        n_steps,
        batch[f"n_{name}"],
        blank=BLANK,
        zero_infinity=True,
    )
