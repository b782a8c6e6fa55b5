"""Weights that share a few values, in the files that are made of them."""

import math

import pytest
import torch

from export.audit import audit
from export.order import Order
from export.pack import export_bundle
from export.transfer import compressed_bytes
from tests.export.conftest import Exported
from tests.export.tiny_plans import denoiser_plan, spread
from training.clustering import cluster_weights, is_large, plain_weights
from training.denoiser import Denoiser

CHANNELS = 12
"""The least that makes every kernel large enough to be reduced."""
N_VALUES = 16


def denoiser() -> Denoiser:
    return Denoiser(CHANNELS, (1, 2))


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
    """No kernel holds more different numbers, in int8 in any one channel of it."""
    data = clustered.data(model_format, precision)

    report = audit(data, model_format, clustered.plan.source)

    large = [w for w in report.weights if is_large(w.shape)]
    assert 4 == len(large)
    assert N_VALUES >= max(report.distinct[weight.name] for weight in large)
    assert 0 == report.duplicate_bytes


def test_an_update_transfers_less_than_the_file(clustered: Exported) -> None:
    """The float file's kernels shrink to an eighth and more, as 4 of 32 bits do."""
    kernels = [w for w in clustered.plan.source if is_large(w.values.shape)]
    content = b"".join(weight.values.tobytes() for weight in kernels)

    packed = compressed_bytes(content)

    n_numbers = sum(math.prod(weight.values.shape) for weight in kernels)
    assert 4 * n_numbers == len(content)
    assert packed < 0.75 * n_numbers
