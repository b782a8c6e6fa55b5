from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edge_runtime.errors import SharingError
from export import to_executorch as exporter
from export.order import Order
from export.pack import export_bundle
from export.to_executorch import to_executorch, untie
from tests.export.conftest import Exported
from tests.export.test_pack_sharing import Repeated, plan_of, seeded
from tests.export.tiny_plans import (
    DEPTHS,
    AtDepth,
    denoiser,
    denoiser_plan,
    picture_plan,
)

STEPS = max(DEPTHS)


def test_untie_gives_each_further_use_a_copy() -> None:
    """Every use reads a constant of its own; what is computed stays the same."""
    inputs = (torch.rand(1, 8, 8, 3), torch.rand(1, 1, 1, 1))
    graph = torch.export.export(AtDepth(denoiser(), STEPS), inputs).module()
    (before,) = graph(*inputs)

    n_copies = untie(graph)

    (after,) = graph(*inputs)
    readers = Counter(
        str(source.target)
        for node in graph.graph.nodes
        for source in node.all_input_nodes
        if source.op == "get_attr"
    )
    kernels, tables = 2 * (STEPS - 1), 3 * (STEPS - 1)
    assert kernels + tables == n_copies
    assert {1} == set(readers.values())
    assert torch.equal(before, after)


def test_untie_copies_hold_what_the_weight_holds() -> None:
    """A copy is equal to its weight, so that the exporter stores both once."""
    inputs = (torch.rand(1, 8, 8, 3), torch.rand(1, 1, 1, 1))
    graph = torch.export.export(AtDepth(denoiser(), STEPS), inputs).module()

    untie(graph)

    copies = {n: t for n, t in graph.named_buffers() if "_use_" in n}
    first = denoiser().body.first.weight
    (copy,) = [tensor for name, tensor in copies.items() if "first" in name]
    assert torch.equal(first, copy)
    assert first.data_ptr() != copy.data_ptr()


def test_untied_weights_are_stored_once(tiny_picture: Exported) -> None:
    """Int8 with a copy per use holds each kernel's integers at one place."""
    model = tiny_picture.bundle.model("pte", "int8")
    data = tiny_picture.data("pte", "int8")
    kernel = denoiser().body.first.weight.detach()
    scale = kernel.abs().amax(dim=(1, 2, 3), keepdim=True) / 127.0
    integers = torch.round(kernel / scale).to(torch.int8)
    rows = integers.permute(0, 2, 3, 1).contiguous().numpy().tobytes()

    assert 1 == data.count(rows)
    assert 0 == model.sharing.duplicate_bytes


def test_without_untie_a_shared_kernel_is_stored_as_float_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without untie, PT2E leaves every further use in float; the audit sees it.

    This holds a limit of PT2E in place. When it fails, PT2E has been mended, and
    untie() may go.
    """
    monkeypatch.setattr(exporter, "untie", lambda graph: 0)
    order = Order(tmp_path / "tiny", ("pte",), ("int8",))

    with pytest.raises(SharingError) as caught:
        export_bundle(plan_of(seeded(Repeated)), order, lambda line: None)

    assert "second form of shared.weight: float32" in str(caught.value)
    assert " beside int8 per channel" in str(caught.value)


class Strange(nn.Module):
    """Has an operator that no exporter knows."""

    def forward(self, picture: Tensor, sigma: Tensor) -> tuple[Tensor]:
        return (torch.special.bessel_j0(picture) + sigma,)


def test_a_module_that_cannot_be_exported_is_refused_in_one_line() -> None:
    """The exporter's own reason is kept, on one line."""
    plan = picture_plan(denoiser(), {1: Strange()}, {1: 9})

    with pytest.raises(SharingError) as caught:
        to_executorch(plan, "fp32")

    assert str(caught.value).startswith("tiny: ExecuTorch cannot export it in fp32: ")
    assert "\n" not in str(caught.value)


class Interrupted(nn.Module):
    """Control-C while the exporter looks at the module."""

    def forward(self, picture: Tensor, sigma: Tensor) -> tuple[Tensor]:
        raise KeyboardInterrupt


def test_control_c_ends_a_conversion(capfd: pytest.CaptureFixture[str]) -> None:
    """An interrupt is no refusal, and the terminal speaks again after it."""
    plan = denoiser_plan()
    entry = replace(plan.entry_points[0], module=Interrupted())

    with pytest.raises(KeyboardInterrupt):
        to_executorch(replace(plan, entry_points=(entry,)), "fp32")

    print("heard")
    assert "heard\n" == capfd.readouterr().out
