"""An own module to a bundle, as a newcomer would."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edge_runtime.bundle import Bundle
from edge_runtime.engines import open_engine
from edge_runtime.errors import ModuleError, SettingError
from export.convert import Entry, State, convert
from export.inputs import by_parameter


class Tagger(nn.Module):
    """A small module with a layer that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(6, 8)
        self.again = nn.Linear(8, 8)
        self.leave = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.enter(x))
        return self.leave(torch.tanh(self.again(torch.tanh(self.again(h)))))


def tagger() -> Tagger:
    torch.manual_seed(0)
    return Tagger()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("convert") / "tagger"
    return convert(Entry(tagger(), (torch.randn(1, 6),)), folder)


def test_every_file_computes_what_the_module_does(bundle: Bundle) -> None:
    """Both formats and precisions are there, and run on inputs of the caller's."""
    x = torch.randn(1, 6)
    with torch.no_grad():
        expected = tagger()(x).numpy()

    files = [(model.format, model.precision) for model in bundle.models]
    assert [(f, p) for f in ("tflite", "pte") for p in ("fp32", "int8")] == files
    for model in bundle.models:
        engine = {"tflite": "litert", "pte": "executorch"}[model.format]
        with open_engine(engine, model) as opened:
            found = opened.run("forward", {"x0": x.numpy()})["y0"]
        tolerance = 1e-5 if model.precision == "fp32" else 0.05
        np.testing.assert_allclose(expected, found, atol=tolerance)


def test_the_report_names_each_weight_with_its_uses(bundle: Bundle) -> None:
    """The layer that runs twice is stored once."""
    for model in bundle.models:
        rows = {row.name: row.uses for row in model.sharing.weights}

        assert 0 == model.sharing.duplicate_bytes
        assert 2 == rows["again.weight"]
        assert 1 == rows["enter.weight"]


def test_a_shared_layer_has_its_first_name(tmp_path: Path) -> None:
    """The report calls a layer that stands at two places by the first."""
    layer = nn.Linear(4, 4)
    module = nn.Sequential(layer, nn.ReLU(), layer)

    bundle = convert(
        Entry(module, (torch.randn(1, 4),)),
        tmp_path / "twice",
        formats=("pte",),
        precisions=("fp32",),
    )

    rows = bundle.models[0].sharing.weights
    assert ["0.weight", "0.bias"] == [row.name for row in rows]


def test_a_norm_that_does_nothing_may_be_left_out(tmp_path: Path) -> None:
    """Fresh layer norms multiply by one and add zero; converters drop that."""
    layer = nn.LayerNorm(4)
    module = nn.Sequential(layer, nn.Linear(4, 4), layer)

    bundle = convert(
        Entry(module, (torch.randn(1, 4),)),
        tmp_path / "norm",
        formats=("tflite",),
        precisions=("fp32",),
    )

    assert 0 == bundle.models[0].sharing.duplicate_bytes


class Counter(nn.Module):
    """A step with a state."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(4, 4)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = torch.tanh(self.map(x) + state)
        return state * 2.0, state


def test_entry_points_names_states_and_sizes(tmp_path: Path) -> None:
    """Two sizes of one step in a file hold the weights once, under the given names."""
    module = Counter()
    entries = {
        f"batch_{n}": Entry(
            module,
            {"x": torch.randn(n, 4), "state": torch.zeros(n, 4)},
            outputs=("y", "next_state"),
            states=(State("state", "next_state"),),
        )
        for n in (1, 3)
    }

    bundle = convert(entries, tmp_path / "counter", precisions=("fp32",))

    for model in bundle.models:
        assert ["batch_1", "batch_3"] == [s.name for s in model.signatures]
        assert ["y", "next_state"] == [t.name for t in model.signatures[0].outputs]
        assert 4 * (4 * 4 + 4) == model.sharing.stored_bytes
    assert ("state", "next_state") == (
        bundle.states[0].input,
        bundle.states[0].output,
    )


def test_pictures_of_several_sizes_share_their_kernels(tmp_path: Path) -> None:
    """A file for two sizes holds a kernel that runs twice in each of them once."""
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 2, 3, padding=1)
    module = nn.Sequential(layer, nn.ReLU(), layer, nn.AdaptiveAvgPool2d(1))
    entries = {
        f"side_{side}": Entry(module, (torch.rand(1, 2, side, side),))
        for side in (8, 12)
    }

    bundle = convert(entries, tmp_path / "sides", precisions=("fp32",))

    for model in bundle.models:
        kernel, bias = model.sharing.weights
        assert 4 * (2 * 2 * 9 + 2) == model.sharing.stored_bytes
        assert (4, 4) == (kernel.uses, bias.uses)


SAME = torch.randn(1, 4)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            Entry(Counter(), {"x": SAME, "state": SAME}),
            "forward: inputs 'x' and 'state' are the same tensor; give each its own,"
            " as by clone()",
        ),
        (
            Entry(Counter(), (torch.randn(1, 5), torch.zeros(1, 4))),
            "forward: fails on the example inputs (x0 float32 (1, 5), x1 float32"
            " (1, 4)): ",
        ),
        (Entry(Counter(), ()), "forward: no example inputs, expected at least one"),
        (
            Entry(tagger(), (torch.randn(1, 6),), [(torch.randn(2, 6),)]),
            "forward: input 'x0' is float32 (2, 6) in further inputs, and float32"
            " (1, 6) in the example; shapes are fixed, so give each its own entry"
            " point, which costs no second copy of the weights",
        ),
        (
            Entry(tagger(), (torch.randn(1, 6),), outputs=("a", "b")),
            "forward: 2 names of outputs, the module gives 1",
        ),
        (
            Entry(tagger(), (3.0,)),  # type: ignore[arg-type]
            "forward: input 'x0' is float, expected a tensor",
        ),
        (
            Entry(tagger(), (torch.randn(1, 6),), states=(State("h", "y0"),)),
            "forward: state 'h' to 'y0', expected an input of x0 and an output of y0",
        ),
    ],
)
def test_inputs_that_do_not_fit(entry: Entry, expected: str, tmp_path: Path) -> None:
    """What is wrong with the inputs is one line, and nothing is written."""
    with pytest.raises(ModuleError) as caught:
        convert(entry, tmp_path / "out")

    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"formats": ["onnx"]}, "formats: found 'onnx', expected some of tflite pte"),
        (
            {"precisions": ["int2"]},
            "precisions: found 'int2', expected some of fp32 fp16 int8 int8-dynamic"
            " int8-weight int4-weight",
        ),
    ],
)
def test_formats_and_precisions_that_there_are_not(
    choice: dict[str, list[str]], expected: str, tmp_path: Path
) -> None:
    """A format or precision that cannot be made is named with those that can."""
    with pytest.raises(SettingError) as caught:
        convert(Entry(tagger(), (torch.randn(1, 6),)), tmp_path / "out", **choice)

    assert expected == str(caught.value)


def test_the_folder_names_the_bundle(tmp_path: Path) -> None:
    """A folder whose name no bundle may have is refused before any work."""
    with pytest.raises(SettingError, match="names the bundle; expected letters"):
        convert(Entry(tagger(), (torch.randn(1, 6),)), tmp_path / "my model")


class Difference(nn.Module):
    """Tells its inputs apart."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(4, 4)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        out: Tensor = self.map(a) - b
        return out


def test_inputs_are_bound_by_their_names(tmp_path: Path) -> None:
    """A dictionary in another order than forward's parameters is the same example."""
    module, a, b = Difference(), torch.randn(1, 4), torch.randn(1, 4)

    bundle = convert(
        Entry(module, {"b": b, "a": a}),
        tmp_path / "own",
        formats=("tflite",),
        precisions=("fp32",),
    )

    with open_engine("litert", bundle.models[0]) as engine:
        (found,) = engine.run("forward", {"a": a.numpy(), "b": b.numpy()}).values()
    np.testing.assert_allclose(module(a, b).detach().numpy(), found, rtol=0, atol=1e-5)


class Lenient(Difference):
    """Takes settings that nobody gives, as many published models do."""

    def forward(
        self, a: Tensor, b: Tensor, *, scale: float = 1.0, **_: object
    ) -> Tensor:
        return super().forward(a, b) * scale


def test_settings_of_forward_are_no_inputs() -> None:
    """Only what is handed in by place has to be in the example."""
    known = {"b": np.zeros(1), "a": np.ones(1)}

    assert ["a", "b"] == list(by_parameter("own", Lenient(), known))


class Cell(nn.Module):
    """A recurrent step whose new state is an output as well, behind a linear map."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.cell = nn.Linear(4, 8), nn.GRUCell(8, 8)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = self.cell(self.into(x), h)
        return self.out(h), h


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_recurrent_step_gives_its_state(tmp_path: Path, precision: str) -> None:
    """Linear maps in a row keep their biases, and a state is read in integers, too."""
    torch.manual_seed(0)
    examples = [(torch.randn(1, 4), torch.tanh(torch.randn(1, 8))) for _ in range(64)]
    entry = Entry(Cell(), examples[0], calibration=examples)

    bundle = convert(entry, tmp_path / "cell", precisions=(precision,))

    assert [0, 0] == [model.sharing.duplicate_bytes for model in bundle.models]


class Masked(nn.Module):
    """Attention with a mask of infinite numbers."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(8, 8)
        self.register_buffer("mask", torch.tensor([0.0, 0.0, 0.0, -torch.inf] * 2))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.map(torch.softmax(x + self.mask, 1))
        return out


def test_a_mask_of_infinite_numbers_is_kept(tmp_path: Path) -> None:
    """In the files, and in the module, into which a converter would write."""
    module = Masked()

    bundle = convert(
        Entry(module, (torch.randn(1, 8),)), tmp_path / "masked", precisions=("fp32",)
    )

    assert [0, 0] == [model.sharing.duplicate_bytes for model in bundle.models]
    assert module.mask.isinf().sum() == 2


def test_convolutions_in_front_of_a_relu_are_integers_without_calibration(
    tmp_path: Path,
) -> None:
    """In dynamic int8 no kernel stays in float."""
    module = nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))

    bundle = convert(
        Entry(module, (torch.randn(1, 8, 9, 9),)),
        tmp_path / "convs",
        formats=("pte",),
        precisions=("int8",),
    )

    kernels = [w for w in bundle.models[0].sharing.weights if w.name.endswith("weight")]
    assert [8 * 8 * 9] * 2 == [kernel.stored_bytes for kernel in kernels]
