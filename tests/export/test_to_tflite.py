import pytest

from edge_runtime.errors import SharingError
from export.to_tflite import to_tflite
from tests.export.conftest import Exported
from tests.export.test_to_executorch import Branching
from tests.export.tiny_plans import denoiser, picture_plan


def test_a_module_that_cannot_be_converted_is_refused_in_one_line() -> None:
    """The converter's own reason is kept, on one line."""
    plan = picture_plan(denoiser(), {1: Branching()}, {1: 9})

    with pytest.raises(SharingError) as caught:
        to_tflite(plan)

    assert str(caught.value).startswith("tiny: litert-torch cannot convert it: ")
    assert "\n" not in str(caught.value)


def test_tensors_have_the_names_of_the_plan(tiny_speech: Exported) -> None:
    """A state goes out and comes in by name, so an engine needs no positions."""
    data = tiny_speech.data("tflite", "fp32")

    for tensor in (*tiny_speech.plan.inputs, *tiny_speech.plan.outputs):
        assert tensor.name.encode() in data
