"""Sharing corrupted on purpose: the exporter must not pack such a file."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_runtime.errors import ParityError, SharingError
from export import to_executorch
from export.order import Order
from export.pack import export_bundle
from export.plan import Plan
from tests.export.tiny_plans import picture_plan, spread
from training.sharing import TransposedConv

CHANNELS = 4
KERNEL_BYTES = 4 * CHANNELS * CHANNELS * 9
DEPTH = 2


class Repeated(nn.Module):
    """One kernel, used twice; a scale per use, on the stream beside the branch."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, CHANNELS, 3, padding=1, bias=False)
        self.shared = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.scale = nn.ParameterList(
            [nn.Parameter(torch.rand(CHANNELS, 1, 1) + 0.5) for _ in range(DEPTH)]
        )
        self.tail = nn.Conv2d(CHANNELS, 3, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.head(x)
        for scale in self.scale:
            h = h * scale + F.relu(self.shared(h))
        return self.tail(h)


class Folding(Repeated):
    """The scale right behind the shared convolution, where converters fold it in."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.head(x)
        for scale in self.scale:
            h = h + F.relu(self.scaled(self.shared(h), scale))
        return self.tail(h)

    def scaled(self, h: Tensor, scale: Tensor) -> Tensor:
        return h * scale


class FoldingUnseen(Folding):
    """The scale is part of an operator that the exporter does not look into."""

    def scaled(self, h: Tensor, scale: Tensor) -> Tensor:
        return torch.addcmul(torch.zeros_like(h), h, scale)


class ReadTransposed(nn.Module):
    """A linear map over channels, and its transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(CHANNELS, 3))

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(F.linear(x.permute(0, 2, 3, 1), self.weight))
        return F.linear(h, self.weight.t()).permute(0, 3, 1, 2)


class WithCopy(ReadTransposed):
    """The transpose is a parameter of its own, of equal value."""

    def __init__(self, tied: ReadTransposed) -> None:
        super().__init__()
        self.load_state_dict(tied.state_dict())
        self.copy = nn.Parameter(tied.weight.detach().t().contiguous())

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(F.linear(x.permute(0, 2, 3, 1), self.weight))
        return F.linear(h, self.copy).permute(0, 3, 1, 2)


class Untied(Repeated):
    """Each use has a layer of its own; the layers are copies."""

    def __init__(self, tied: Repeated) -> None:
        super().__init__()
        self.load_state_dict(tied.state_dict())
        self.layers = nn.ModuleList(copy.deepcopy(tied.shared) for _ in self.scale)

    def forward(self, x: Tensor) -> Tensor:
        h = self.head(x)
        for layer, scale in zip(self.layers, self.scale, strict=True):
            h = h * scale + F.relu(layer(h))
        return self.tail(h)


class TwoPrecisions(nn.Module):
    """A table that is looked up, and is a linear map."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.permute(0, 2, 3, 1)  # (B, Y, X, 3)
        numbers = (rows[..., 0] > 0.5).long()  # (B, Y, X)
        looked_up = F.embedding(numbers, self.table)  # (B, Y, X, 3)
        return F.linear(rows + looked_up, self.table).permute(0, 3, 1, 2)


class OnPictures(nn.Module):
    """A network of channels, rows and columns as an entry point of pictures."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor, sigma: Tensor) -> tuple[Tensor]:
        x = (picture + sigma).permute(0, 3, 1, 2)  # (B, 3, Y, X)
        return (self.network(x).permute(0, 2, 3, 1),)


def seeded(kind: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = spread(kind())
    return network


def plan_of(source: nn.Module, exported: nn.Module | None = None) -> Plan:
    """Return the plan that says it exports `source`, and exports `exported`."""
    return picture_plan(source, {1: OnPictures(exported or source)}, {1: 9})


def order(folder: Path, precision: str = "fp32", **changes: object) -> Order:
    chosen = Order(folder / "tiny", ("tflite",), (precision,))
    return replace(chosen, **changes)  # type: ignore[arg-type]


def refusal(plan: Plan, asked: Order) -> str:
    """Return why the export is refused, after a look that nothing was left."""
    with pytest.raises(SharingError) as caught:
        export_bundle(plan, asked, lambda line: None)
    assert [] == list(asked.output.parent.iterdir())
    return str(caught.value)


def test_a_scale_behind_a_shared_kernel_is_not_folded_in(tmp_path: Path) -> None:
    """The kernel is stored once, and each scale beside it."""
    bundle = export_bundle(plan_of(seeded(Folding)), order(tmp_path), lambda line: None)

    sharing = bundle.models[0].sharing
    (row,) = [row for row in sharing.weights if row.name == "shared.weight"]
    assert 0 == sharing.duplicate_bytes
    assert (DEPTH, KERNEL_BYTES) == (row.uses, row.stored_bytes)


def test_refuses_a_folded_kernel(tmp_path: Path) -> None:
    """A scale that the converter folds all the same becomes a kernel per step."""
    message = refusal(plan_of(seeded(FoldingUnseen)), order(tmp_path))

    assert message.startswith(
        f"tiny.fp32.tflite: {DEPTH * KERNEL_BYTES} duplicate bytes in {DEPTH}"
        " constants, expected 0; first "
    )
    assert message.endswith(
        "folded: a factor per channel times shared.weight; read by CONV_2D"
    )


def test_a_folded_kernel_is_refused_whatever_is_allowed(tmp_path: Path) -> None:
    """Duplicates can be allowed; a weight that the file does not hold cannot."""
    asked = order(tmp_path, allow_duplicates=True)

    assert (
        "tiny.fp32.tflite: does not hold 'shared.weight' in any known form: it was"
        " folded into another constant, or not exported"
    ) == refusal(plan_of(seeded(FoldingUnseen)), asked)


def test_refuses_a_copy_that_went_its_own_way(tmp_path: Path) -> None:
    """A copied layer with other values is no weight of the source."""
    tied = seeded(Repeated)
    assert isinstance(tied, Repeated)
    untied = Untied(tied).eval()
    with torch.no_grad():
        untied.layers[1].weight += 0.1 * torch.randn(CHANNELS, CHANNELS, 3, 3)

    message = refusal(plan_of(tied, untied), order(tmp_path))

    assert message.startswith(
        f"tiny.fp32.tflite: {KERNEL_BYTES} duplicate bytes in 1 constants, expected 0;"
    )
    assert message.endswith(
        ": derived: holds no weight of the source; read by CONV_2D;"
        " --allow-duplicates packs it all the same"
    )


def test_copies_of_equal_content_are_stored_once(tmp_path: Path) -> None:
    """Layers that are copies of each other are one constant in the file."""
    tied = seeded(Repeated)
    assert isinstance(tied, Repeated)

    bundle = export_bundle(
        plan_of(tied, Untied(tied).eval()), order(tmp_path), lambda line: None
    )

    sharing = bundle.models[0].sharing
    (row,) = [row for row in sharing.weights if row.name == "shared.weight"]
    assert 0 == sharing.duplicate_bytes
    assert (DEPTH, KERNEL_BYTES) == (row.uses, row.stored_bytes)


def transposed() -> nn.Module:
    return TransposedConv(3, CHANNELS)


@pytest.mark.parametrize("format", ["tflite", "pte"])
@pytest.mark.parametrize("module", [transposed, ReadTransposed])
def test_a_second_layout_is_read_from_the_first(
    module: Callable[[], nn.Module], format: str, tmp_path: Path
) -> None:
    """A weight and its transpose are one constant, laid out anew as the file runs."""
    asked = order(tmp_path, formats=(format,))

    bundle = export_bundle(plan_of(seeded(module)), asked, lambda line: None)

    sharing = bundle.models[0].sharing
    (row,) = [row for row in sharing.weights if row.name == "weight"]
    assert 0 == sharing.duplicate_bytes
    assert 2 == row.uses


def plan_with_copy() -> Plan:
    tied = seeded(ReadTransposed)
    assert isinstance(tied, ReadTransposed)
    return plan_of(tied, WithCopy(tied).eval())


def test_refuses_a_second_layout(tmp_path: Path) -> None:
    """A weight and a transposed copy of it are two constants."""
    message = refusal(plan_with_copy(), order(tmp_path, formats=("pte",)))

    assert message.startswith(
        f"tiny.fp32.pte: {4 * 3 * CHANNELS} duplicate bytes in 1 constants, expected 0;"
    )
    assert ": second form of weight: " in message
    assert message.endswith("; --allow-duplicates packs it all the same")


def test_duplicates_that_are_allowed_are_stated(tmp_path: Path) -> None:
    """With --allow-duplicates the file is packed, with the bytes in bundle and card."""
    n_bytes = 4 * 3 * CHANNELS
    asked = order(tmp_path, formats=("pte",), allow_duplicates=True)

    bundle = export_bundle(plan_with_copy(), asked, lambda line: None)

    sharing = bundle.models[0].sharing
    assert n_bytes == sharing.duplicate_bytes
    assert n_bytes == sharing.allowed_duplicate_bytes
    assert sharing.stored_bytes == sharing.unique_bytes + n_bytes
    card = (bundle.folder / "CARD.md").read_text(encoding="utf-8")
    assert f"| {sharing.unique_bytes:,} | {n_bytes:,} |" in card


@pytest.mark.parametrize("format", ["tflite", "pte"])
def test_a_table_that_is_looked_up_is_int8_as_well(format: str, tmp_path: Path) -> None:
    """A table that is also a linear map is stored once, as integers."""
    plan = replace(plan_of(seeded(TwoPrecisions)), quantization="dynamic")
    asked = order(tmp_path, "int8", formats=(format,))

    bundle = export_bundle(plan, asked, lambda line: None)

    sharing = bundle.models[0].sharing
    assert [("table", 3 * 3, 2)] == [
        (row.name, row.stored_bytes, row.uses) for row in sharing.weights
    ]
    assert 0 == sharing.duplicate_bytes


def test_a_tie_that_executorch_gets_wrong_needs_care(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left to itself, ExecuTorch runs a tied transposed convolution in a wrong layout.

    It stores the kernel once and computes nonsense: only parity can tell. When this
    test fails, ExecuTorch has been mended, and could read such a kernel by itself.
    """
    monkeypatch.setattr(to_executorch, "read_in_two_forms", lambda graphs: frozenset())
    asked = order(tmp_path, formats=("pte",), allow_duplicates=True)

    with pytest.raises(ParityError) as caught:
        export_bundle(plan_of(seeded(transposed)), asked, lambda line: None)

    assert str(caught.value).startswith("tiny.fp32.pte on executorch: relative error ")
    assert [] == list(tmp_path.iterdir())


class TwoNamesAndMore(Repeated):
    """The kernel stands under a second name; an operator is beyond every exporter."""

    def __init__(self) -> None:
        super().__init__()
        self.again = self.shared

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(torch.special.bessel_j0(self.again(self.shared(self.head(x)))))


@pytest.mark.parametrize("format", ["tflite", "pte"])
def test_a_refused_conversion_names_what_is_shared(format: str, tmp_path: Path) -> None:
    """Whoever reads why it failed learns which weights may be the reason."""
    asked = order(tmp_path, formats=(format,))

    message = refusal(plan_of(seeded(TwoNamesAndMore)), asked)

    assert message.endswith("; shared: network.shared.weight = network.again.weight")
