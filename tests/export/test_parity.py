import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edge_runtime.errors import ParityError
from export import parity
from export.parity import RELATIVE_ERRORS, prove_parity
from export.plan import Arrays, Plan
from tests.export.conftest import Exported

Change = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]


class Altered(nn.Module):
    """A module whose outputs are changed after the file was made."""

    def __init__(self, module: nn.Module, change: Change) -> None:
        super().__init__()
        self.module = module
        self.change = change

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self.change(self.module(*inputs))


def with_last_module(plan: Plan, module: nn.Module) -> Plan:
    *others, last = plan.entry_points
    return replace(plan, entry_points=(*others, replace(last, module=module)))


def on_inputs(plan: Plan, held_out: Sequence[Arrays]) -> Plan:
    """Return a plan of one entry point, proved on other inputs."""
    (entry,) = plan.entry_points
    return replace(plan, entry_points=(replace(entry, held_out=tuple(held_out)),))


def altered(plan: Plan, change: Change) -> Plan:
    return with_last_module(plan, Altered(plan.entry_points[-1].module, change))


def refusal(exported: Exported, plan: Plan, model_format: str, precision: str) -> str:
    with pytest.raises(ParityError) as caught:
        prove_parity(plan, exported.bundle.model(model_format, precision))
    return str(caught.value)


@pytest.mark.parametrize("model_format", ["tflite", "pte"])
def test_float_files_compute_what_the_module_does(
    tiny_picture: Exported, tiny_speech: Exported, model_format: str
) -> None:
    """An fp32 file is off by rounding alone."""
    for exported in (tiny_picture, tiny_speech):
        rows = prove_parity(exported.plan, exported.bundle.model(model_format, "fp32"))

        assert all(row.relative_error < RELATIVE_ERRORS["fp32"] / 10 for row in rows)
        assert all(row.snr_db is None or row.snr_db > 100 for row in rows)


@pytest.mark.parametrize("model_format", ["tflite", "pte"])
def test_int8_files_come_close(
    tiny_picture: Exported, tiny_speech: Exported, model_format: str
) -> None:
    """An int8 file differs, by less than the plan allows."""
    for exported in (tiny_picture, tiny_speech):
        rows = prove_parity(exported.plan, exported.bundle.model(model_format, "int8"))

        assert all(0 < row.relative_error for row in rows)
        assert all(row.snr_db > exported.plan.int8_snr_floor_db for row in rows)


@pytest.mark.parametrize(
    ("model_format", "engine"), [("tflite", "litert"), ("pte", "executorch")]
)
def test_refuses_a_file_of_other_weights(
    tiny_picture: Exported, model_format: str, engine: str
) -> None:
    """Weights that moved after the conversion are noticed, at whatever depth."""
    module = copy.deepcopy(tiny_picture.plan.entry_points[-1].module)
    with torch.no_grad():
        module.tail.weight *= 1.01
    plan = with_last_module(tiny_picture.plan, module)

    message = refusal(tiny_picture, plan, model_format, "fp32")

    assert message.startswith(f"tiny.fp32.{model_format} on {engine}: relative error ")
    assert message.endswith(
        ", expected below 0.0001: it does not compute what the module does"
    )


def test_refuses_int8_below_the_floor(tiny_picture: Exported) -> None:
    """The plan's floor is what an int8 file is held against."""
    plan = replace(tiny_picture.plan, int8_snr_floor_db=90.0)
    (row,) = tiny_picture.bundle.model("tflite", "int8").parity

    assert (
        f"tiny.int8.tflite on litert: signal-to-noise ratio {row.snr_db:.1f} dB,"
        " expected at least 90: int8 costs too much; give more calibration inputs, or"
        " choose int8-dynamic"
    ) == refusal(tiny_picture, plan, "tflite", "int8")


def test_a_large_output_does_not_hide_a_small_one(tiny_speech: Exported) -> None:
    """The ratio is that of the worst output, here a state beside loud features."""
    loud = [dict(inputs) for inputs in tiny_speech.plan.entry_points[0].held_out]
    for inputs in loud:
        inputs["features"] = inputs["features"] * np.float32(30)
    plan = on_inputs(
        altered(tiny_speech.plan, lambda outputs: (*outputs[:-1], -outputs[-1])), loud
    )

    message = refusal(tiny_speech, plan, "tflite", "int8")

    assert "tiny-speech.int8.tflite on litert: signal-to-noise ratio -6.0 dB" in message


def test_an_output_of_zeros_is_refused_not_divided_by(tiny_picture: Exported) -> None:
    """A module that gives only zeros has no ratio; the file is refused all the same."""
    plan = altered(tiny_picture.plan, lambda outputs: (0.0 * outputs[0],))

    message = refusal(tiny_picture, plan, "tflite", "int8")

    assert "signal-to-noise ratio -" in message


def test_refuses_a_module_that_is_not_finite(tiny_speech: Exported) -> None:
    """Nothing can be proved against a module that gives no numbers."""
    plan = altered(tiny_speech.plan, lambda outputs: (outputs[0] / 0, *outputs[1:]))

    assert "the module: step: output 'logits' is not finite" == refusal(
        tiny_speech, plan, "tflite", "fp32"
    )


def test_refuses_a_file_that_is_not_finite(tiny_speech: Exported) -> None:
    """A file that overflows where the module does not is named with its output."""
    overflow = [dict(inputs) for inputs in tiny_speech.plan.entry_points[0].held_out]
    overflow[0]["features"] = np.full_like(overflow[0]["features"], 3e38)
    calm = altered(
        tiny_speech.plan, lambda outputs: tuple(o.nan_to_num(0, 1, -1) for o in outputs)
    )

    message = refusal(tiny_speech, on_inputs(calm, overflow), "tflite", "fp32")

    assert "tiny-speech.fp32.tflite: step: output 'logits' is not finite" == message


def test_refuses_where_nothing_can_run_the_file(
    tiny_picture: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no engine here can run cannot be proved."""
    monkeypatch.setattr(parity, "installed_engines", lambda: ["executorch"])

    assert (
        "tiny.fp32.tflite: no engine is installed that runs .tflite files; install one"
        " of litert tflite-runtime"
    ) == refusal(tiny_picture, tiny_picture.plan, "tflite", "fp32")
