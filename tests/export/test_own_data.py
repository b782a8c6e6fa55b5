"""What a bundle says of weights that were trained on data of one's own."""

from __future__ import annotations

import pytest

from export.plan import Plan
from export.plans.own_data import with_own_data

CARD = """\
# sample

Hears.

## Input and output

Sound.

## Training data and licence

A corpus. CC BY 4.0.

## Limits

The corpus was small.
"""


@pytest.fixture
def plan() -> Plan:
    return Plan(
        name="sample",
        task="speech",
        summary="Hears",
        entry_points=(),
        source=(),
        quantization="dynamic",
        int8_snr_floor_db=20.0,
        int8_metric_loss=0.01,
        measure=None,
        facts={
            "licence": {"code": "Apache-2.0", "weights": "CC BY 4.0", "data": ["x"]},
            "training_data": ["a corpus"],
            "depths": [],
        },
        card=CARD,
    )


def test_a_recipe_s_own_data_is_told_as_it_is(plan: Plan) -> None:
    assert plan is with_own_data(plan, {"data": []})
    assert plan is with_own_data(plan, {})


def test_other_data_is_named_and_nothing_else_claimed(plan: Plan) -> None:
    """Terms and limits of the recipe's corpus are not those of other recordings."""
    found = with_own_data(plan, {"data": ["mine"], "origin": {"checkpoint": "shipped"}})

    data = ["mine (--data)", "what the weights of shipped were trained on"]
    assert data == found.facts["training_data"]
    assert {
        "code": "Apache-2.0",
        "weights": "not stated: the terms of the data that they were trained on",
        "data": data,
    } == found.facts["licence"]
    assert (
        "# sample\n\nHears.\n\n## Input and output\n\nSound.\n\n"
        "## Training data and licence\n\n"
        "Trained on mine (`--data`), further from the weights of shipped. Its terms,"
        " and those of whatever\ncame before, are the terms of these weights. The code"
        " is Apache-2.0.\n"
    ) == found.card
