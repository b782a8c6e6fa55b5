from pathlib import Path

import pytest

from edge_runtime.errors import SharingError
from export.order import Order
from export.pack import export_bundle
from export.to_tflite import to_tflite
from tests.export.conftest import Exported
from tests.export.test_to_executorch import Strange
from tests.export.tiny_plans import ALPHABET, denoiser, picture_plan, speech_plan
from training.transcriber import STRIDE_FRAMES


def test_a_module_that_cannot_be_converted_is_refused_in_one_line() -> None:
    """The converter's own reason is kept, on one line."""
    plan = picture_plan(denoiser(), {1: Strange()}, {1: 9})

    with pytest.raises(SharingError) as caught:
        to_tflite(plan)

    assert str(caught.value).startswith("tiny: litert-torch cannot convert it: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_chunk_of_one_step_computes_what_the_module_does(
    tmp_path: Path, precision: str
) -> None:
    """The shortest chunk, of one logit, exports too; parity is proved on it."""
    plan = speech_plan(chunk_frames=STRIDE_FRAMES)

    bundle = export_bundle(
        plan, Order(tmp_path / "tiny", ("tflite",), (precision,)), lambda line: None
    )

    (model,) = bundle.models
    (logits, *_) = model.signatures[0].outputs
    assert ("litert",) == tuple(row.engine for row in model.parity)
    assert (1, 1, len(ALPHABET)) == logits.shape
    assert 0 == model.sharing.duplicate_bytes


def test_tensors_have_the_names_of_the_plan(tiny_speech: Exported) -> None:
    """A state goes out and comes in by name, so an engine needs no positions."""
    data = tiny_speech.data("tflite", "fp32")

    (entry,) = tiny_speech.plan.entry_points
    for tensor in (*entry.inputs, *entry.outputs):
        assert tensor.name.encode() in data
