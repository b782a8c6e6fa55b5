import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch

from edge_runtime.bundle import Bundle
from edge_runtime.engines import open_engine
from export.order import Order
from export.pack import export_bundle
from export.quantize_tflite import quantize_tflite
from export.tflite_file import read_tflite
from export.to_tflite import to_tflite
from tests.export.conftest import Exported
from tests.export.tiny_plans import CHANNELS, TILE_PX, denoiser, denoiser_plan

Pictures = Callable[[], np.ndarray]


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """An int8 bundle of a denoiser that finds next to no noise in anything."""
    network = copy.deepcopy(denoiser((1,)))
    with torch.no_grad():
        network.tail.weight *= 1e-9
        network.tail_bias.zero_()
    plan = denoiser_plan((1,), network)
    order = Order(tmp_path_factory.mktemp("silent") / "tiny", ("tflite",), ("int8",))
    return export_bundle(plan, order, lambda line: None)


def random_picture() -> np.ndarray:
    return np.random.default_rng(5).random((1, TILE_PX, TILE_PX, 3), np.float32)


@pytest.mark.parametrize(
    "picture",
    [random_picture, lambda: 3.0 * random_picture() - 1.0],
    ids=["in range", "far out of the calibrated range"],
)
def test_a_picture_passes_unquantized(silent: Bundle, picture: Pictures) -> None:
    """Where the network finds no noise, the picture comes out to the bit, clipped."""
    values = picture()
    inputs = {"picture": values, "sigma": np.full((1, 1, 1, 1), 0.1, np.float32)}

    with open_engine("litert", silent.model("tflite", "int8")) as engine:
        restored = engine.run("depth_1", inputs)["restored"]

    np.testing.assert_allclose(np.clip(values, 0.0, 1.0), restored, rtol=0, atol=1e-6)


def test_two_runs_give_equal_bytes(
    tiny_picture: Exported, tiny_speech: Exported
) -> None:
    """Quantizing the same file again gives the same file, static and dynamic."""
    for exported in (tiny_picture, tiny_speech):
        static = exported.plan.quantization == "static"
        draft = to_tflite(exported.plan)
        again = quantize_tflite(draft, exported.plan, static=static).finish()

        assert exported.data("tflite", "int8") == again


def test_each_kernel_is_int8_once(tiny_picture: Exported) -> None:
    """The kernel's integers, by their definition, stand in the file at one place."""
    data = tiny_picture.data("tflite", "int8")
    kernel = denoiser().body.first.weight.detach().numpy()  # (C, C, 3, 3)
    scale = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True) / 127.0
    integers = np.round(kernel / scale).astype(np.int8).transpose(0, 2, 3, 1)

    assert 1 == data.count(integers.tobytes())


def test_each_matrix_is_int8_once(tiny_speech: Exported) -> None:
    """A matrix that runs in every layer and at every step is stored once, as int8."""
    (matrix,) = [
        row
        for row in tiny_speech.bundle.model("tflite", "int8").sharing.weights
        if row.name == "gru.cell.weight_hh_l0"
    ]

    assert np.prod(matrix.shape) == matrix.stored_bytes
    assert matrix.stored_bytes == matrix.unique_bytes


def test_a_bias_between_convolutions_is_added_in_integers(
    tiny_picture: Exported,
) -> None:
    """A step's bias costs no way through float; the stream's own addition stays."""
    (step,) = (
        graph
        for graph in read_tflite(tiny_picture.data("tflite", "int8")).graphs
        if graph.name == "step"
    )

    added = [
        [step.tensors[i].dtype for i in (*operator.inputs, *operator.outputs)]
        for operator in step.operators
        if operator.name == "ADD"
        and CHANNELS == step.tensors[operator.outputs[0]].shape[-1]
    ]

    assert [["int8"] * 3, ["float32"] * 3] == added
