"""Every precision of either format: stored once and proved, or refused in a line."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_runtime.bundle import Bundle
from edge_runtime.errors import ParityError, SettingError
from export.convert import Entry, convert, own_plan
from export.order import FORMATS, PRECISIONS
from export.parity import prove_parity

WIDTH = 8
N_SYMBOLS = 12
WEIGHT_BITS = {
    "fp32": 32,
    "fp16": 16,
    "int8": 8,
    "int8-dynamic": 8,
    "int8-weight": 8,
    "int4-weight": 4,
}


class Twice(nn.Module):
    """A linear map that runs twice."""

    def __init__(self, n_inputs: int = WIDTH) -> None:
        super().__init__()
        self.map = nn.Linear(n_inputs, n_inputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.map(torch.tanh(self.map(x)))


class Speller(nn.Module):
    """An embedding that is a projection, and one transposed, too."""

    def __init__(self) -> None:
        super().__init__()
        self.symbols = nn.Embedding(N_SYMBOLS, WIDTH)

    def forward(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        table = self.symbols.weight
        logits = F.linear(torch.tanh(self.symbols(numbers)), table)
        return logits, F.linear(torch.sigmoid(logits), table.t())


class Picture(nn.Module):
    """Convolutions of every kind; the first runs twice, with a factor between."""

    def __init__(self) -> None:
        super().__init__()
        self.full = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.depthwise = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH)
        self.point = nn.Conv2d(WIDTH, WIDTH, 1)
        self.up = nn.ConvTranspose2d(WIDTH, WIDTH, 4, stride=2, padding=1)
        self.factor = nn.Parameter(torch.rand(WIDTH, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.full(torch.relu(self.full(x)) * self.factor))
        return self.up(self.point(self.depthwise(h)))


def twice(seed: int = 0, n_inputs: int = WIDTH) -> Entry:
    torch.manual_seed(seed)
    return Entry(Twice(n_inputs), (torch.randn(1, n_inputs),))


def speller() -> Entry:
    torch.manual_seed(0)
    return Entry(Speller(), (torch.randint(0, N_SYMBOLS, (1, 5)),))


def picture() -> Entry:
    torch.manual_seed(0)
    return Entry(Picture(), (torch.randn(1, WIDTH, 8, 8),))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A linear map that runs twice, in all formats and precisions."""
    folder = tmp_path_factory.mktemp("precisions") / "twice"
    return convert(twice(), folder, precisions=PRECISIONS)


def test_each_precision_stores_a_weight_once(everything: Bundle) -> None:
    """Of two uses one constant is held, with as many bits as the precision says."""
    for model in everything.models:
        matrix, bias = model.sharing.weights

        assert 0 == model.sharing.duplicate_bytes
        assert WIDTH**2 * WEIGHT_BITS[model.precision] // 8 == matrix.stored_bytes
        assert (2, 2) == (matrix.uses, bias.uses)


def test_each_precision_says_how_it_computes(everything: Bundle) -> None:
    """Weights alone are quantized, but for XNNPACK's 4-bit maps and int8."""
    found = {(m.format, m.precision): m.quantization for m in everything.models}

    assert {
        **dict.fromkeys([(f, "fp32") for f in FORMATS], "none"),
        **dict.fromkeys([(f, "fp16") for f in FORMATS], "none"),
        **dict.fromkeys([(f, "int8") for f in FORMATS], "dynamic"),
        **dict.fromkeys([(f, "int8-dynamic") for f in FORMATS], "dynamic"),
        **dict.fromkeys([(f, "int8-weight") for f in FORMATS], "weight-only"),
        ("tflite", "int4-weight"): "weight-only",
        ("pte", "int4-weight"): "dynamic",
    } == found


@pytest.mark.parametrize(
    ("format", "precisions"),
    [
        ("tflite", ("fp16", "int8-weight", "int4-weight")),
        ("pte", ("fp16", "int8-weight")),
    ],
)
def test_a_table_that_is_looked_up_and_multiplied_with(
    format: str, precisions: tuple[str, ...], tmp_path: Path
) -> None:
    """An embedding, a projection and its transpose read one constant."""
    folder = tmp_path / "speller"

    bundle = convert(speller(), folder, formats=[format], precisions=precisions)

    for model in bundle.models:
        n_bytes = N_SYMBOLS * WIDTH * WEIGHT_BITS[model.precision] // 8
        assert (n_bytes, n_bytes) == (
            model.sharing.unique_bytes,
            model.sharing.stored_bytes,
        )
        assert 3 == model.sharing.weights[0].uses


def test_kernels_of_every_kind_in_a_tflite(tmp_path: Path) -> None:
    """Convolutions read kernels of fewer bits; vectors keep their 32 in integers."""
    precisions = ("fp16", "int8-weight", "int4-weight")

    bundle = convert(
        picture(), tmp_path / "tiny", formats=["tflite"], precisions=precisions
    )

    n_in_kernels = WIDTH**2 * (9 + 1 + 16) + WIDTH * 9
    n_in_vectors = WIDTH * 5
    for model in bundle.models:
        bits = WEIGHT_BITS[model.precision]
        bits_of_vectors = 16 if model.precision == "fp16" else 32
        assert 0 == model.sharing.duplicate_bytes
        assert (n_in_kernels * bits + n_in_vectors * bits_of_vectors) // 8 == (
            model.sharing.stored_bytes
        )


@pytest.mark.parametrize(
    ("entry", "precision", "reason"),
    [
        (picture(), "fp16", "has a convolution, which XNNPACK does not run with fp16"),
        (picture(), "int8-weight", "has a convolution, which XNNPACK does not run"),
        (picture(), "int4-weight", "has a convolution, which XNNPACK does not run"),
        (
            twice(n_inputs=5),
            "int4-weight",
            "map_weight has rows of 5 numbers, XNNPACK's 4-bit linear map takes an even"
            " number; choose int8 or int8-dynamic, or tflite",
        ),
        (
            Entry(nn.LayerNorm(4), (torch.randn(1, 4),)),
            "int4-weight",
            "has no linear map, which alone XNNPACK runs with 4-bit weights; choose",
        ),
    ],
)
def test_what_a_pte_cannot_have_is_refused_before_any_work(
    entry: Entry, precision: str, reason: str, tmp_path: Path
) -> None:
    """Format, precision and reason stand in one line, and nothing was converted."""
    said: list[str] = []

    with pytest.raises(SettingError) as caught:
        convert(entry, tmp_path / "tiny", precisions=[precision], say=said.append)

    assert str(caught.value).startswith(f"tiny.{precision}.pte: forward: {reason}")
    assert "\n" not in str(caught.value)
    assert ([], []) == (said, list(tmp_path.iterdir()))


@pytest.mark.parametrize(
    ("precision", "limit"),
    [
        ("fp16", "expected below 0.005: it does not compute what the module does"),
        ("int8-weight", "expected at least 30: int8-weight costs too much"),
        ("int4-weight", "expected at least 10: int4-weight costs too much"),
    ],
)
def test_each_precision_has_its_own_limit(
    everything: Bundle, precision: str, limit: str
) -> None:
    """A file of other weights is refused, by error in float and by noise below."""
    other = own_plan(twice(seed=1), Path("twice"))

    with pytest.raises(ParityError) as caught:
        prove_parity(other, everything.model("tflite", precision))

    assert str(caught.value).startswith(f"twice.{precision}.tflite on litert: ")
    assert str(caught.value).endswith(limit)
