import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.quiet import quiet

aten = torch.ops.aten


class Block(nn.Module):
    """Two convolutions with an addition between them, and one behind them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.second = nn.Conv2d(4, 4, 3, padding=1, bias=False)

    def forward(self, h: Tensor, term: Tensor) -> Tensor:
        return h + self.second(F.relu(self.first(h) + term))


@pytest.mark.parametrize(
    ("shape", "between"), [((1, 4, 1, 1), True), ((1, 4, 6, 6), False)]
)
def test_a_bias_between_convolutions_is_added_in_integers(
    shape: tuple[int, ...], between: bool
) -> None:
    """One number per channel is; another stream, and the stream's own, stay float."""
    with quiet():
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        from export.pt2e import make_quantizer
    inputs = (torch.rand(1, 4, 6, 6), torch.rand(shape))
    graph = torch.export.export(Block(), inputs).module()
    prepared = prepare_pt2e(graph, make_quantizer(dynamic=False))
    prepared(*inputs)

    quantized = convert_pt2e(prepared)

    added = [
        all("dequantize" in str(term.target) for term in node.all_input_nodes)
        for node in quantized.graph.nodes
        if node.target == aten.add.Tensor
    ]
    assert [between, False] == added
