"""Shared biases under static int8: stored once, and no range is spoiled for it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from export.convert import Entry, convert


class TwoInputs(nn.Module):
    """A convolution of pictures of two ranges."""

    def __init__(self, narrower: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.narrower = narrower

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        return self.conv(h).relu(), self.conv(h / self.narrower).relu()


@pytest.mark.parametrize("narrower", [2, 8], ids=["ranges alike", "ranges unlike"])
@pytest.mark.parametrize("format", ["tflite", "pte"])
def test_static_int8_holds_a_shared_bias_once(
    format: str, narrower: int, tmp_path: Path
) -> None:
    """A convolution of two inputs has one bias, which costs neither of them its range.

    With one range for both, the input that is 8 times narrower would have 25 dB.
    """
    torch.manual_seed(0)
    module = TwoInputs(narrower)
    pictures = [torch.randn(1, 8, 16, 16) for _ in range(9)]

    bundle = convert(
        Entry(module, pictures[:1], [[picture] for picture in pictures[1:]]),
        tmp_path / "static",
        formats=(format,),
        precisions=("int8",),
    )

    (model,) = bundle.models
    assert "static" == model.quantization
    assert 0 == model.sharing.duplicate_bytes
    assert 8 * 8 * 9 + 4 * 8 == model.sharing.stored_bytes
    (parity,) = model.parity
    assert parity.snr_db is not None
    assert parity.snr_db > 32
