"""What a bundle is made of: plain records, one per object of bundle.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TASKS = ("picture", "speech", "language", "model")
"""The last is a model of the user's own, about whose tensors nothing is known."""
ENDINGS = {"tflite": ".tflite", "pte": ".pte"}
"""Model format to the ending of its files."""

QUANTIZATIONS = {
    "fp32": ("none",),
    "fp16": ("none",),
    "int8": ("static", "dynamic"),
    "int8-dynamic": ("dynamic",),
    "int8-weight": ("weight-only",),
    "int4-weight": ("weight-only", "dynamic"),
}
"""Precision to the schemes that a file of that name may use."""

DTYPE_BYTES = {
    "float32": 4,
    "float16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}
"""Names of tensor types to the bytes of one element."""

QUANTIZED_DTYPES = ("int32", "int16", "int8", "uint8")
DIMENSION_LETTERS = "BSTMHVCYX"
"""Batch, samples, frames, mel bins, hidden, symbols, channels, rows, columns."""

UNNAMED_LETTERS = "abcdefgh"
"""Axes whose meaning is not known."""


@dataclass(frozen=True)
class Source:
    """What the bundle was exported from."""

    recipe: str
    settings: Mapping[str, Any]
    revision: str | None
    """Revision of the sources that trained it; None for a model of the user's own."""

    weights_sha256: str
    step: int
    unique_parameters: int


@dataclass(frozen=True)
class ListedFile:
    """A file of the bundle that is no model."""

    path: str
    """File name inside the bundle."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Quantization:
    """How integers stand for numbers: value = scale × (integer − zero_point)."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a signature."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    layout: str
    """One dimension letter per axis, like "BYXC"."""

    minimum: float | None
    """Smallest value that the tensor is made for; None if unbounded."""

    maximum: float | None
    quantization: Quantization | None
    """None for a float tensor."""


@dataclass(frozen=True)
class Signature:
    """An entry point of a model file; a method of a `.pte`."""

    name: str
    depth: int | None
    """How often the repeated block runs; None where there is no dial."""

    inputs: tuple[TensorSpec, ...]
    """In the order in which a `.pte` takes them."""

    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class Loop:
    """How entry points make a network of any depth: one step, run again and again.

    `before` gives the stream, `step` takes one and gives the next, and `after` makes
    the outputs of the last. Stream and position are handed on inside the engine; all
    other inputs are the caller's, by name.
    """

    before: str
    """Entry point; its one output is the stream."""

    step: str
    """Entry point; its one output is the next stream."""

    after: str
    """Entry point."""

    stream: str
    """Input of `step` and `after`."""

    position: str | None
    """Input of `step` that tells how many steps were before it, int32 (1,); None for
    one that does not ask."""

    exit: str | None
    """Input of `after` that tells which of `depths` it ends, int32 (1,), from 0; None
    for one that does not ask."""

    depths: tuple[int, ...]
    """How many steps are on offer, rising."""


@dataclass(frozen=True)
class SharedWeight:
    """One weight of the source module and its bytes in one model file."""

    name: str
    shape: tuple[int, ...]
    uses: int
    unique_bytes: int
    stored_bytes: int


@dataclass(frozen=True)
class Sharing:
    """The sharing report of one model file."""

    unique_bytes: int
    stored_bytes: int
    duplicate_bytes: int
    """stored_bytes − unique_bytes."""

    allowed_duplicate_bytes: int
    """What `tiedge export --allow-duplicates` let through; else 0."""

    weights: tuple[SharedWeight, ...]


@dataclass(frozen=True)
class Parity:
    """The model file against the source module on the same inputs."""

    engine: str
    engine_version: str
    n_inputs: int
    relative_error: float
    """Largest difference by the largest magnitude of the expected output; of the worst
    output of any entry point, as is snr_db."""

    snr_db: float | None
    """None where both outputs are identical."""


@dataclass(frozen=True)
class Metric:
    """One measured figure of the task, with its data and conditions."""

    engine: str
    name: str
    value: float
    reference_value: float | None
    """The source module's figure under the same conditions; None if not measured."""

    n: int
    """Pictures or utterances measured."""

    data: str
    conditions: str


@dataclass(frozen=True)
class ModelFile:
    """One model file; its size and hash are checked before this record exists."""

    path: Path
    """Absolute."""

    bytes: int
    sha256: str
    format: str
    """A key of ENDINGS."""

    precision: str
    """A key of QUANTIZATIONS."""

    quantization: str
    converters: Mapping[str, str]
    """Package to version."""

    signatures: tuple[Signature, ...]
    """The entry points that the file has."""

    loop: Loop | None
    """How they make one network of many depths; None where each stands for itself."""

    sharing: Sharing
    parity: tuple[Parity, ...]
    metrics: tuple[Metric, ...]


@dataclass(frozen=True)
class StateSpec:
    """A tensor carried from step to step."""

    input: str
    """Name of the input that takes the state."""

    output: str
    """Name of the output that gives the next state."""

    shape: tuple[int, ...]
    dtype: str
    reset: float
    """Every element's value before the first step."""


@dataclass(frozen=True)
class Interval:
    """What a number may be, both ends included."""

    minimum: float
    maximum: float


@dataclass(frozen=True)
class PictureSpec:
    """How a picture is cut for the network, and what else the network is told."""

    tile_px: tuple[int, int]
    """Rows and columns of the rectangle that one run takes."""

    multiple_px: int
    """Tiles start at multiples of this; sides are padded to one."""

    radius_px: Mapping[int, int]
    """Depth to how far an output pixel sees."""

    scale: int
    """Output pixels per input pixel, along either axis."""

    sigma: Interval | None
    """Noise levels it was made for, in units of 255; None where it takes none."""

    tones: tuple[float, ...]
    """Levels of the quantiles of the whole picture that it is told; none where it is
    told none."""

    strength: Interval | None
    """How much it may do, 0 being nothing; None where it takes no strength."""

    looks: tuple[str, ...]
    """What it can make of a picture; none where there is no choice."""


@dataclass(frozen=True)
class PhonesSpec:
    """What a network hears beside letters, and how words are said in it."""

    symbols: tuple[str, ...]
    """Symbol of each logit behind the letters'; the first is the blank, and empty."""

    words: Mapping[str, tuple[str, ...]]
    """The symbols of each word that is known."""


@dataclass(frozen=True)
class SpeechSpec:
    """Feature constants, chunking and symbols of a speech network."""

    alphabet: tuple[str, ...]
    """Symbol of each logit, phones apart; the blank's is empty."""

    blank: int
    """Index of the CTC blank."""

    phones: PhonesSpec | None
    """Where words can be found by their sounds, too."""

    vocabulary: tuple[str, ...]
    """The only words that are written; none for free text."""

    sample_rate_hz: int
    window_samples: int
    hop_samples: int
    fft_samples: int
    n_mels: int
    low_hz: float
    high_hz: float
    feature_mean: float
    """Taken from each log power, natural logarithm."""

    feature_scale: float
    """Multiplied with what is left."""

    chunk_frames: int
    """Frames that one step takes."""

    logits_per_chunk: int
    """Frames of logits that one step gives."""

    @property
    def n_logits(self) -> int:
        """Logits in each frame of them: letters', then phones'."""
        n_phones = 0 if self.phones is None else len(self.phones.symbols)
        return len(self.alphabet) + n_phones


@dataclass(frozen=True)
class LanguageSpec:
    """The words of a language model."""

    words: tuple[str, ...]
    """What each of its numbers stands for."""

    end: int
    """The word that stands before a text and behind it."""

    unknown: int
    """The word that stands for all others."""

    n_histories: int
    """Texts that one step takes a word further."""


@dataclass(frozen=True)
class Fingerprint:
    """A parameter of the source module and where each model file keeps it."""

    name: str
    aliases: tuple[str, ...]
    """Other names of the same parameter."""

    shape: tuple[int, ...]
    dtype: str
    sha256: str
    """Of the values, row by row, little-endian."""

    stored: Mapping[str, tuple[str, ...]]
    """Model file to the SHA-256 of each stored constant that holds the weight."""


@dataclass(frozen=True)
class Licence:
    """Terms of the code, of the weights and of the data they were trained on."""

    code: str
    weights: str
    data: tuple[str, ...]
