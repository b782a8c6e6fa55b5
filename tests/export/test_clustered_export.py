"""Weights that share a few values, in the files that are made of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from export.audit import audit
from export.order import Order
from export.pack import export_bundle
from export.pte_file import PteFile, read_pte
from export.tflite_file import TfliteFile, read_tflite
from export.transfer import compressed_bytes
from tests.export.conftest import Exported
from tests.export.tiny_plans import denoiser_plan, spread
from training.clustering import cluster_weights, is_large, plain_weights
from training.denoiser import Denoiser

CHANNELS = 31
"""The least that makes the body's kernels large enough to be reduced."""
N_VALUES = 16


def denoiser() -> Denoiser:
    return Denoiser(CHANNELS, (1, 2), n_convolutions=2)


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Return a bundle of a denoiser whose kernels share 16 values each."""
    torch.manual_seed(0)
    trained, network = spread(denoiser()), denoiser()
    cluster_weights(trained, N_VALUES)
    network.load_state_dict(plain_weights(trained.state_dict()))
    plan = denoiser_plan(network.depths, network)
    order = Order(tmp_path_factory.mktemp("clustered") / "tiny")
    return Exported(plan, export_bundle(plan, order, lambda line: None), ())


@pytest.mark.parametrize("model_format", ["tflite", "pte"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_file_keeps_the_values_few(
    clustered: Exported, model_format: str, precision: str
) -> None:
    """No kernel holds more different numbers, of all its channels, in int8 neither."""
    data = clustered.data(model_format, precision)

    report = audit(data, model_format, clustered.plan.source)

    large = [w for w in report.weights if is_large(w.shape)]
    assert 2 == len(large)
    assert N_VALUES >= max(report.distinct[weight.name] for weight in large)
    assert 0 == report.duplicate_bytes


@pytest.mark.parametrize(
    ("model_format", "read"), [("tflite", read_tflite), ("pte", read_pte)]
)
def test_int8_has_one_scale_where_that_is_exact(
    clustered: Exported,
    model_format: str,
    read: Callable[[bytes], TfliteFile | PteFile],
) -> None:
    """Each channel of a kernel on 255 codes has the same scale; free ones differ."""
    constants = read(clustered.data(model_format, "int8")).constants
    scales = [
        (is_large(view.shape), view.quantization.scale)
        for view in (constant.views[0] for constant in constants if constant.views)
        if view.dtype == "int8" and view.quantization is not None
    ]

    found = [large for large, scale in scales if len(set(scale)) == 1 < len(scale)]

    assert [True, True] == found
    assert 2 == sum(len(set(scale)) > 1 for _, scale in scales)


def test_an_update_transfers_less_than_the_file(clustered: Exported) -> None:
    """The float file's kernels shrink to an eighth and more, as 4 of 32 bits do."""
    kernels = [w for w in clustered.plan.source if is_large(w.values.shape)]
    content = b"".join(weight.values.tobytes() for weight in kernels)

    packed = compressed_bytes(content)

    n_numbers = sum(math.prod(weight.values.shape) for weight in kernels)
    assert 4 * n_numbers == len(content)
    assert packed < 0.75 * n_numbers
