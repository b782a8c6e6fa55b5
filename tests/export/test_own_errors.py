"""What cannot be exported of a user's own is one line, and leaves nothing behind."""

import inspect
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_runtime.errors import ModuleError, SettingError
from export.convert import Entry, State, convert
from export.trial import outputs_of

ROOT = Path(__file__).parents[2]
HERE = Path(__file__)


def row() -> Tensor:
    return torch.randn(1, 4)


class Own(nn.Module):
    """A linear map with something behind it that the tests choose."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(4, 4)


class Branches(Own):
    def forward(self, x: Tensor) -> Tensor:
        if self.map(x).sum() > 0:
            return x
        return -x


class LeavesTorch(Own):
    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.map(x).detach().numpy() + 1)


class Spectrum(Own):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft(self.map(x)).abs()


class Fails(Own):
    def forward(self, x: Tensor) -> Tensor:
        return self.map(x).reshape(3, 7)


class Named(Own):
    """Takes two inputs, and may take a third."""

    def forward(self, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        out: Tensor = self.map(a) - b
        return out if c is None else out * c


class Wide(Own):
    """Computes with whole numbers beyond 32 bits."""

    def forward(self, i: Tensor) -> Tensor:
        out: Tensor = self.map((i * 1_000_003 % 7).float())
        return out


class Counts(Own):
    """Writes a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("n", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.n.add_(1)
        out: Tensor = self.map(x)
        return out


class Overwrites(Own):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.map(x.add_(1))
        return out


class Gives(Own):
    """Gives what a function makes of the map's result."""

    def __init__(self, make: object) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: Tensor) -> object:
        assert callable(self.make)
        return self.make(self.map(x))


def line_of(cls: type[nn.Module], text: str) -> str:
    """Return file and line at which a class does something."""
    lines, first = inspect.getsourcelines(cls)
    (found,) = [number for number, line in enumerate(lines) if text in line]
    return f"{HERE}:{first + found}"


def refusal(entries: object, folder: Path) -> str:
    """Return the line by which `convert` refuses, having written nothing."""
    with pytest.raises((ModuleError, SettingError)) as caught:
        convert(entries, folder / "own")  # type: ignore[arg-type]
    assert [] == list(folder.iterdir())
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("module", "text", "expected"),
    [
        (
            Branches(),
            "sum() > 0",
            "forward: cannot be traced: what it does next hangs on a number that it"
            " computes ({line}); a file has no branches, choose by torch.where",
        ),
        (
            LeavesTorch(),
            "numpy()",
            "forward: cannot be traced: .numpy() is not supported for tensor"
            " subclasses. ({line})",
        ),
        (
            Spectrum(),
            "fft",
            "forward: computes complex numbers by aten.fft_fft.default ({line}), which"
            " neither format has; spell out real and imaginary parts",
        ),
        (
            Fails(),
            "reshape",
            "forward: fails on the example inputs (x0 float32 (1, 4)): shape '[3, 7]'"
            " is invalid for input of size 4 ({line})",
        ),
    ],
)
def test_a_module_that_cannot_be_had_names_the_line(
    module: nn.Module, text: str, expected: str, tmp_path: Path
) -> None:
    """File and line are those of the user's code, not of torch's."""
    message = refusal(Entry(module, (row(),)), tmp_path)

    assert expected.format(line=line_of(type(module), text)) == message


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda y: (y, y), "output 1 is an earlier output; give it once"),
        (lambda y: y[:, :0], "output 0 is (1, 0), expected at least one number"),
        (
            lambda y: y.argmax(1),
            "output 0 is int64, expected 32 bits at most; end with .int()",
        ),
        (lambda y: {"y": y}, "gives dict, expected a tensor or a tuple of tensors"),
        (lambda y: None, "gives NoneType, expected a tensor or a tuple of tensors"),
        (lambda y: (), "gives nothing, expected at least one tensor"),
        (
            lambda y: (y, (y, y)),
            "output 1 is tuple, expected a tensor; give a flat tuple of tensors",
        ),
        (
            lambda y: torch.log(-1 - y.abs()),
            "output 0 is not finite on the example inputs; nothing can be compared with"
            " it",
        ),
        (
            lambda y: F.dropout(y, training=True),
            "output 0 differs between two calls in eval mode; take out what is random"
            " or keeps a state of its own",
        ),
        (
            torch.fft.fft,
            "output 0 is complex64, expected one of float32 float16 int64 int32 int16"
            " int8 uint8 bool; hand in real and imaginary part, as by"
            " torch.view_as_real",
        ),
    ],
)
def test_outputs_that_cannot_be_had(
    make: object, expected: str, tmp_path: Path
) -> None:
    """Outputs are finite real tensors, the same at every call."""
    message = refusal(Entry(Gives(make), (row(),)), tmp_path)

    assert f"forward: {expected}" == message


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (
            {
                "first": Entry(nn.Linear(4, 4), (row(),), calibration=[(row(),)]),
                "second": Entry(nn.Linear(4, 4), (row(),)),
            },
            "second: its calibration inputs are missing, and 'first' has some; static"
            " int8 needs them for every entry point, dynamic int8 for none",
        ),
        (
            Entry(nn.Linear(4, 4), (row(),), calibration=[]),
            "forward: its calibration inputs are missing; static int8 needs them for"
            " every entry point, dynamic int8 for none",
        ),
        (
            Entry(nn.Linear(4, 4), row()),  # type: ignore[arg-type]
            "forward: the example is a tensor, expected a sequence or a dictionary of"
            " them; write (tensor,)",
        ),
        (
            Entry(Named(), {"a": row(), "x": row()}),
            "forward: inputs a x, forward takes a b c; name them so, or give a tuple",
        ),
        (
            Entry(Named(), {"a": row(), "c": row()}),
            "forward: inputs a c, forward takes a b c; name them so, or give a tuple",
        ),
        (
            Entry(nn.Linear(4, 4), {5: row()}),  # type: ignore[dict-item]
            "forward: input 5, expected a name",
        ),
        (
            {1: Entry(nn.Linear(4, 4), (row(),))},
            "entry point 1: expected letters, digits, dots, dashes and underscores",
        ),
        (
            Entry(nn.Linear(4, 4), (torch.randn(0, 4),)),
            "forward: input 'x0' is (0, 4), expected at least one number",
        ),
        (
            Entry(nn.Linear(4, 4), (row() / 0,)),
            "forward: input 'x0' holds numbers that are not finite; for a mask take one"
            " like -1e9",
        ),
        (
            Entry(Wide(), (torch.full((1, 4), 2**40),)),
            "forward: input 'x0' holds 1099511627776; the engines take whole numbers up"
            " to 2147483647",
        ),
        (
            Entry(Wide(), (torch.full((1, 4), -(2**63)),)),
            "forward: input 'x0' holds -9223372036854775808; the engines take whole"
            " numbers up to 2147483647",
        ),
        (
            Entry(Wide(), (torch.full((1, 4), 70_000),)),
            "forward: output 0 is another one for int64 inputs than for int32, which"
            " the engines take; keep what it computes within 32 bits",
        ),
        (
            Entry(Counts(), (row(),)),
            "forward: writes its buffer 'n'; take it as an input, give it as an output"
            " and name both in states=",
        ),
        (
            Entry(Overwrites(), (row(),)),
            "forward: writes over its input 'x0'; compute a new tensor instead, such as"
            " x + 1 for x.add_(1)",
        ),
        (
            Entry(nn.Linear(4, 4), (row(),), states=[State("x0", "y0", float("nan"))]),
            "forward: state 'x0' to 'y0': reset is nan, expected a number",
        ),
        (
            Entry(nn.Linear(4, 3), (row(),), states=[State("x0", "y0")]),
            "forward: state 'x0' to 'y0': takes float32 (1, 4) and gives float32 (1,"
            " 3), expected one like the other",
        ),
        (
            Entry(nn.Linear(4, 4).double(), (row(),)),
            "forward: weight 'weight' is float64, expected float32; call .float()",
        ),
        (
            Entry(nn.Linear(4, 4), (row().to(torch.bfloat16),)),
            "forward: input 'x0' is bfloat16, expected one of float32 float16 int64"
            " int32 int16 int8 uint8 bool; call .float()",
        ),
        (
            Entry(nn.Linear(4, 4), (row().to(torch.complex64),)),
            "forward: input 'x0' is complex64, expected one of float32 float16 int64"
            " int32 int16 int8 uint8 bool; hand in real and imaginary part, as by"
            " torch.view_as_real",
        ),
        (
            Entry(nn.Tanh(), (row(),)),
            "own: holds no weights, expected at least one",
        ),
        ({}, "no entry points, expected at least one Entry"),
        (
            {"a b": Entry(nn.Linear(4, 4), (row(),))},
            "entry point 'a b': expected letters, digits, dots, dashes and underscores",
        ),
        (
            nn.Linear(4, 4),
            "entries: found Linear, expected export.convert.Entry, several by name, or"
            " export.own_dial.Dial",
        ),
    ],
)
def test_entries_that_do_not_hang_together(
    entries: object, expected: str, tmp_path: Path
) -> None:
    """What is missing or of another kind is named before anything is converted."""
    assert expected == refusal(entries, tmp_path)


def test_a_target_that_cannot_be_written(tmp_path: Path) -> None:
    """A file in the folder's way is named before the module is looked at."""
    (tmp_path / "file").write_text("mine", encoding="utf-8")

    with pytest.raises(SettingError) as caught:
        convert(Entry(Fails(), (row(),)), tmp_path / "file" / "own")

    assert f"{tmp_path / 'file' / 'own'}: cannot be written: Not a directory" == str(
        caught.value
    )


def test_a_module_in_training_is_exported_as_it_evaluates(tmp_path: Path) -> None:
    """Dropout and batch norm act as in eval mode; the caller's mode stays, even off."""
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.BatchNorm1d(4)).train()
    module[2].eval()

    with torch.no_grad():
        bundle = convert(
            Entry(module, (row(),)),
            tmp_path / "own",
            formats="tflite",
            precisions="fp32",
        )

    assert [True, True, True, False] == [part.training for part in module.modules()]
    assert bundle.models[0].parity[0].relative_error < 1e-5


def test_a_module_keeps_the_buffers_that_it_writes() -> None:
    """Refused or not, what was tried leaves no trace in the user's module."""
    module = Counts()

    with pytest.raises(ModuleError):
        outputs_of("forward", module, {"x0": row().numpy()})

    assert 0 == module.n
