"""Spoken digits: sound in, words out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edge_runtime.decoder import whole_text
from edge_runtime.errors import DataError
from edge_runtime.front_end import MILLISECONDS_PER_SECOND
from edge_runtime.transcriber import FLUSH_MS
from training.accents import SPELLINGS
from training.data import data_folder
from training.learnable import LeftOut, why_not
from training.metrics import word_errors
from training.noises import read_noises
from training.recipes.digits import DIGITS, DigitsRecipe
from training.sound_augmentation import (
    OVERSAMPLING,
    WARPS,
    Augmentation,
    add_noise,
    distorted_features,
    oversample,
    play,
)
from training.speech import (
    ALPHABET,
    BLANK,
    STRIDE_FRAMES,
    Utterance,
    encode,
    read_table,
    read_utterance,
    told_foreign,
    writable,
)
from training.synthetic_speech import (
    VARIANTS,
    Voice,
    draw_flite_voice,
    draw_voice,
    speak,
)
from training.task import Task
from training.transcriber import KERNELS

N_JOINED = (0.5, 0.2, 0.2, 0.1)
"""Probability that a step's examples hold one word, or join 2, 3, … clips; the same for
all examples of a step, so that little of a batch is padding."""
LONGEST_OTHER_S = 4.0
"""Longer clips of other speech are left out: they would hold up every step."""
HELD_OUT_VARIANTS = VARIANTS[::8]
"""Synthetic voices that are scored on, never trained on."""
N_SYNTHETIC_HELD_OUT = 240
LONGEST_OWN_S = 30.0
"""Of a user's own clips; longer ones are left out."""
HELD_OUT_ONE_IN = 10
"""Of a user's own table, every tenth clip is held out for validation."""


Spoken = tuple[NDArray[np.float32], str]
"""Samples, (S,), and their text."""


@dataclass(frozen=True)
class Clip:
    """A clip in memory."""

    samples: NDArray[np.int16]
    """Oversampled, as `play` takes it."""
    text: str


@dataclass(frozen=True)
class Group:
    """Clips of one source."""

    weight: float
    """How often the source is drawn, beside the others'."""
    speakers: Sequence[Sequence[Clip]]
    """Clips that may be joined, as one speaker spoke them."""


class DigitsTask(Task):
    """Sound in, digit words out; scored by words right on unseen voices.

    Without `data`: free-spoken-digit (its speaker-disjoint training part), the digit
    strings of speechocean762 (training part), flite, and espeak-ng, native and with
    accents;
    with `other_speech`, other words out of speechocean762 and wuw-corpus-ii as well.
    Scored on speechocean762's dev strings and on espeak-ng voices that training has
    not heard.
    With `data`, a folder with transcripts.tsv: its clips, every tenth held out, and
    recordings in its subfolder `noise`, if there is one, to mix in.
    """

    score = "word_accuracy"
    kernels = KERNELS
    keeps_norm = True

    def __init__(self, recipe: DigitsRecipe, data: Path | None) -> None:
        self.recipe = recipe
        self.front_end = recipe.front_end
        self._augmentation = Augmentation()
        self._filter_bank = [self.front_end.warped_filters(warp) for warp in WARPS]
        self._held_out: list[tuple[str, NDArray[np.float32], str]] = []
        self._words: list[Group] = []
        self._strings: list[Group] = []
        self._other: list[Group] = []
        self._heard: list[str] = []
        self._remarks: list[str] = []
        rate_hz = self.front_end.sample_rate_hz
        if data is None:
            self._add_ready_made()
            self._noises = read_noises(data_folder() / "noise", rate_hz)
        else:
            self._add_own(data)
            beside = data if data.is_dir() else data.parent
            self._noises = read_noises(beside / "noise", rate_hz)

    def contents(self) -> str:
        held_out = Counter(name for name, _, _ in self._held_out)
        return (
            f"{', '.join(self._heard)} to train on;"
            f" {', '.join(f'{n} {name}' for name, n in held_out.items())} held out;"
            f" {len(self._noises)} recordings of noise"
            + "".join(f"; {remark}" for remark in self._remarks)
        )

    def network(self) -> nn.Module:
        return self.recipe.network()

    def batch(self, step: int, indices: Sequence[int]) -> dict[str, Tensor]:
        examples = [self._example(step, index) for index in indices]
        n_frames = [len(features) for features, _ in examples]
        n_symbols = [len(symbols) for _, symbols in examples]
        features = np.stack(
            [self._pad(features, max(n_frames)) for features, _ in examples]
        )
        symbols = np.zeros((len(examples), max(1, *n_symbols)), np.int64)
        for row, (_, text) in zip(symbols, examples, strict=True):
            row[: len(text)] = text
        return {
            "features": torch.from_numpy(features),  # (B, T, M)
            "n_frames": torch.tensor(n_frames),
            "symbols": torch.from_numpy(symbols),  # (B, U)
            "n_symbols": torch.tensor(n_symbols),
        }

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the CTC loss per symbol, in float32."""
        logits = network(batch["features"]).float()
        return F.ctc_loss(
            logits.log_softmax(dim=2).transpose(0, 1),  # (T, B, V)
            batch["symbols"],
            batch["n_frames"] // STRIDE_FRAMES,
            batch["n_symbols"],
            blank=BLANK,
            zero_infinity=True,
        )

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return word accuracy over all held-out words, and over each set's."""
        n_errors: Counter[str] = Counter()
        n_words: Counter[str] = Counter()
        for name, features, text in self._held_out:
            logits = network(torch.from_numpy(features)[None])[0].numpy()
            found = whole_text(logits, ALPHABET, BLANK, self.recipe.vocabulary)
            n_errors[name] += word_errors(text, found)
            n_words[name] += len(text.split())
        return {"word_accuracy": 1.0 - n_errors.total() / max(1, n_words.total())} | {
            f"word_accuracy_{name}": 1.0 - n_errors[name] / max(1, n)
            for name, n in n_words.items()
        }

    def _add_ready_made(self) -> None:
        # First, for espeak-ng may be missing, and the recordings take a while.
        synthetic = self._synthesize() if self.recipe.synthetic else None
        speech = data_folder() / "speech"
        table = read_table(
            speech / "free-spoken-digit", [("split_speaker_disjoint", "train")]
        )
        heard, scored = _apart(table.utterances, self.recipe.hold_out)
        speakers = self._speakers(heard)
        self._words.append(Group(0.6, speakers))
        self._strings.append(Group(0.4, speakers))
        self._heard.append(f"{len(heard)} clips of {len(speakers)} speakers")
        self._add_held_out(self.recipe.hold_out, scored)
        connected = speech / "speechocean762"
        train = read_table(connected, [("split", "train")]).utterances
        strings = self._speakers([u for u in train if _all_digits(u.text)])
        self._strings.append(
            Group(0.3, [[clip] for clips in strings for clip in clips])
        )
        self._heard.append(f"{sum(map(len, strings))} digit strings")
        if self.recipe.other_speech:
            wake = read_table(speech / "wuw-corpus-ii", [("split", "train")])
            self._add_other([u for u in train if not _all_digits(u.text)])
            self._add_other(wake.utterances)
        dev = read_table(connected, [("split", "dev")]).utterances
        self._add_held_out("connected", [u for u in dev if _all_digits(u.text)])
        if synthetic:
            self._add_synthetic(*synthetic)

    def _add_own(self, data: Path) -> None:
        utterances, foreign = writable(read_table(data).utterances)
        if foreign:
            self._remarks.append(told_foreign(foreign))
        utterances = self._learnable(utterances)
        if len(utterances) < 2:
            remarks = "".join(f"; {remark}" for remark in self._remarks)
            raise DataError(
                f"{data}: holds {len(utterances)} clips to learn from, expected at"
                f" least 2{remarks}"
            )
        _check_words(utterances, self.recipe.vocabulary)
        if self.recipe.hold_out:
            heard, scored = _apart(utterances, self.recipe.hold_out)
        else:
            heard = [u for i, u in enumerate(utterances) if i % HELD_OUT_ONE_IN]
            scored = utterances[::HELD_OUT_ONE_IN]
        speakers = self._speakers(heard)
        self._words.append(Group(1.0, speakers))
        self._strings.append(Group(1.0, speakers))
        self._heard.append(f"{len(heard)} clips")
        self._add_held_out("own", scored)

    def _learnable(self, utterances: Sequence[Utterance]) -> list[Utterance]:
        """Return the clips that can be learnt from; the others are remarked on."""
        kept, left_out = [], LeftOut()
        for utterance in utterances:
            samples = read_utterance(utterance, self.front_end.sample_rate_hz)
            n_frames = self.front_end.n_frames(len(self._flushed(samples)))
            clip = (len(samples), float(np.abs(samples).max()), n_frames)
            symbols = encode(utterance.text)
            reason = why_not(clip, symbols, self.front_end, LONGEST_OWN_S)
            if reason is None:
                kept.append(utterance)
            else:
                left_out.add(reason, utterance)
        self._remarks += left_out.told()
        return kept

    def _add_other(self, utterances: Sequence[Utterance]) -> None:
        longest = int(LONGEST_OTHER_S * self.front_end.sample_rate_hz * OVERSAMPLING)
        speakers = self._speakers(utterances)
        clips = [c for clips in speakers for c in clips if len(c.samples) <= longest]
        self._other.append(Group(len(clips), [[clip] for clip in clips]))
        self._heard.append(f"{len(clips)} clips of other words")

    def _speakers(self, utterances: Sequence[Utterance]) -> list[list[Clip]]:
        """Return clips in memory, apart by speaker."""
        rate_hz = self.front_end.sample_rate_hz
        speakers: dict[str, list[Clip]] = defaultdict(list)
        for utterance in utterances:
            samples = oversample(read_utterance(utterance, rate_hz), rate_hz)
            speaker = utterance.columns.get("speaker", "")
            speakers[speaker].append(Clip(samples, utterance.text))
        return list(speakers.values())

    def _synthesize(self) -> tuple[list[Spoken], list[Spoken]]:
        """Return synthetic speech to train on, and speech of other voices to score."""
        rate_hz = self.front_end.sample_rate_hz
        rng = np.random.default_rng((self.recipe.seed, 1))
        voices = [v for v in VARIANTS if v not in HELD_OUT_VARIANTS]
        spoken: list[list[Spoken]] = []
        for n_clips, variants, flite in (
            (self.recipe.synthetic, voices, self.recipe.flite),
            (N_SYNTHETIC_HELD_OUT, HELD_OUT_VARIANTS, 0.0),
        ):
            texts = [_draw_text(rng) for _ in range(n_clips)]
            n_flite = round(flite * n_clips)
            jobs = [(text, draw_flite_voice(rng)) for text in texts[:n_flite]]
            jobs += [self._job(rng, text, variants) for text in texts[n_flite:]]
            spoken.append(list(zip(speak(jobs, rate_hz), texts, strict=True)))
        return spoken[0], spoken[1]

    def _job(
        self, rng: np.random.Generator, text: str, variants: Sequence[str]
    ) -> tuple[str, Voice]:
        """Return what a voice is to read so that it says `text`, and the voice."""
        if rng.random() >= self.recipe.foreign:
            return text, draw_voice(rng, variants)
        voice = draw_voice(rng, variants, tuple(SPELLINGS))
        spelling = SPELLINGS[voice.name.partition("+")[0]]
        return " ".join(spelling[DIGITS.index(word)] for word in text.split()), voice

    def _add_synthetic(self, heard: Sequence[Spoken], scored: Sequence[Spoken]) -> None:
        rate_hz = self.front_end.sample_rate_hz
        words: list[list[Clip]] = []
        strings: list[list[Clip]] = []
        for samples, text in heard:
            alike = words if text in DIGITS else strings
            alike.append([Clip(oversample(samples, rate_hz), text)])
        self._words.extend([Group(0.4, words)] if words else [])
        self._strings.extend([Group(0.3, strings)] if strings else [])
        self._heard.append(f"{len(heard)} synthetic clips")
        for samples, text in scored:
            self._held_out.append(("synthetic", self._clean_features(samples), text))

    def _add_held_out(self, name: str, utterances: Sequence[Utterance]) -> None:
        for utterance in utterances:
            samples = read_utterance(utterance, self.front_end.sample_rate_hz)
            self._held_out.append((name, self._clean_features(samples), utterance.text))

    def _clean_features(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the device computes for a clip up to the end of its flush."""
        features = self.front_end.features(self._flushed(samples))
        return features[: len(features) // STRIDE_FRAMES * STRIDE_FRAMES]

    def _flushed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        rate_hz = self.front_end.sample_rate_hz
        return np.pad(samples, (0, FLUSH_MS * rate_hz // MILLISECONDS_PER_SECOND))

    def _example(
        self, step: int, index: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return features, (T, M), T a multiple of the stride, and symbols, (U,)."""
        rng = np.random.default_rng((self.recipe.seed, step, index))
        speech, text = self._speech(rng, *self._kind(step))
        noisy = add_noise(speech, self._noises, self._augmentation, rng)
        features = distorted_features(
            self._flushed(noisy),
            self.front_end,
            self._filter_bank,
            self._augmentation,
            rng,
        )
        return features[: len(features) // STRIDE_FRAMES * STRIDE_FRAMES], encode(text)

    def _kind(self, step: int) -> tuple[int, Sequence[Group]]:
        """Return how many clips the examples of a step join, and out of what."""
        rng = np.random.default_rng((self.recipe.seed, step))
        if self._other and rng.random() < self.recipe.other_speech:
            return 1, self._other
        n_joined = 1 + int(rng.choice(len(N_JOINED), p=N_JOINED))
        return n_joined, self._words if n_joined == 1 else self._strings

    def _speech(
        self, rng: np.random.Generator, n_joined: int, groups: Sequence[Group]
    ) -> tuple[NDArray[np.float32], str]:
        """Return clips of one speaker joined with gaps, (S,), and their text."""
        rate_hz = self.front_end.sample_rate_hz
        if rng.random() < 0.03:  # silence, or noise alone
            return np.zeros(int(rng.uniform(0.3, 2.0) * rate_hz), np.float32), ""
        weights = np.array([group.weight for group in groups])
        group = groups[int(rng.choice(len(groups), p=weights / weights.sum()))]
        clips = group.speakers[int(rng.integers(len(group.speakers)))]
        speed = rng.uniform(*self._augmentation.speed)
        parts = [np.zeros(_gap(rng, rate_hz, 0.5), np.float32)]
        texts = []
        for _ in range(min(n_joined, len(clips))):
            clip = clips[int(rng.integers(len(clips)))]
            level = np.float32(rng.uniform(0.5, 1.0))
            parts.append(play(clip.samples, speed * rng.uniform(0.95, 1.05)) * level)
            parts.append(np.zeros(_gap(rng, rate_hz, 0.35), np.float32))
            texts.append(clip.text)
        return np.concatenate(parts), " ".join(texts)

    def _pad(self, features: NDArray[np.float32], n_frames: int) -> NDArray[np.float32]:
        padded = np.zeros((n_frames, features.shape[1]), np.float32)
        padded[: len(features)] = features
        return padded


def _apart(
    utterances: Sequence[Utterance], speaker: str
) -> tuple[Sequence[Utterance], Sequence[Utterance]]:
    """Return the clips of all other speakers, and those of `speaker`, if one is named.

    Raises DataError where either would be empty.
    """
    speaker_of = [utterance.columns.get("speaker", "") for utterance in utterances]
    unseen = [bool(speaker) and found == speaker for found in speaker_of]
    heard = [u for u, out in zip(utterances, unseen, strict=True) if not out]
    scored = [u for u, out in zip(utterances, unseen, strict=True) if out]
    if speaker and not (heard and scored):
        speakers = sorted(set(speaker_of))
        raise DataError(
            f"hold_out={speaker}: expected one of several speakers, found"
            f" {' '.join(speakers) or 'no column speaker'}"
        )
    return heard, scored


def _check_words(utterances: Sequence[Utterance], vocabulary: Sequence[str]) -> None:
    """Raise DataError for a word that the network could never write."""
    for utterance in utterances:
        for word in utterance.text.split():
            if vocabulary and word not in vocabulary:
                raise DataError(
                    f"{utterance.place}: {word!r} is not in the vocabulary; name the"
                    f" words with vocabulary={word},… or let any be written with"
                    " vocabulary="
                )


def _gap(rng: np.random.Generator, rate_hz: int, longest_s: float) -> int:
    """Return a gap in samples; one in three is none at all."""
    return int(max(0.0, rng.uniform(-longest_s / 2, longest_s)) * rate_hz)


def _draw_text(rng: np.random.Generator) -> str:
    n_words = 1 if rng.random() < 0.6 else rng.integers(2, 6)
    return " ".join(rng.choice(DIGITS, n_words))


def _all_digits(text: str) -> bool:
    return bool(text) and set(text.split()) <= set(DIGITS)
