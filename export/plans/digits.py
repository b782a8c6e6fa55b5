"""`digits`: spoken digits, words of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from export.plan import Plan
from export.plans.speech import SpeechFacts, speech_plan
from training.recipes.digits import DigitsRecipe
from training.trained import TrainedTranscriber

OTHER_SPEECH = "speechocean762 and wuw-corpus-ii, other words of the training parts"


def digits_plan(
    trained: TrainedTranscriber, recipe: DigitsRecipe, record: Mapping[str, Any]
) -> Plan:
    """Return the plan of a `digits` checkpoint."""
    column = "split_speaker_disjoint"
    facts = SpeechFacts(
        name="digits",
        summary="Writes down spoken English digits while they are being said",
        corpus="free-spoken-digit",
        heard=((column, "train"),),
        unseen=((column, "dev"),),  # the speaker whom training never heard
        unseen_name="unseen speaker",
        conditions="closed vocabulary, streamed",
        licence={
            "code": "Apache-2.0",
            "weights": "CC BY-SA 4.0 (terms of the recordings)",
            "data": [
                "free-spoken-digit: CC BY-SA 4.0",
                "speechocean762: free for commercial and non-commercial use",
                *(["wuw-corpus-ii: CC BY-SA 4.0"] if recipe.other_speech else []),
            ],
        },
        training_data=[
            "free-spoken-digit, 4 of 5 speakers",
            "speechocean762, digit strings of the training part",
            *(["espeak-ng and flite, synthesized digits"] if recipe.synthetic else []),
            *([OTHER_SPEECH] if recipe.other_speech else []),
        ],
        card=_card(recipe.vocabulary),
    )
    return speech_plan(trained, record, facts)


def _card(vocabulary: Sequence[str]) -> str:
    written = "whatever the letters spell: a to z, apostrophe and space"
    if vocabulary:
        written = f"these words and no others: {', '.join(vocabulary)}"
    return CARD.format(written=written)


CARD = """\
# digits

Writes down spoken English digits, one or several in a row, while they are being said.
A window of features goes through two linear maps and one GRU cell that is run in
every layer and at every step with the same weights; the letters come out by CTC.

## Input and output

Mono sound at 8 to 192 kHz, brought to 8 kHz inside. Out come, in letters,
{written}.

## Training data and licence

free-spoken-digit (4 of its 5 speakers), the digit strings of speechocean762's training
part, and digits spoken by espeak-ng, half of them with the accent of another language,
and by flite. free-spoken-digit is CC BY-SA 4.0 and so are these weights. The code is
Apache-2.0.

## How the checkpoint was chosen

A run keeps the weights of its last step, and its settings are those that did best for a
training speaker who was held out: the last weights were the best ones for that speaker,
or within 0.2 points of them. The test speaker, the fifth of free-spoken-digit, was
scored once with these weights; docs/recipes.md lists all that was ever scored on that
speaker.

## Limits

Few human voices were trained on: expect more errors with strong accents, children,
loud rooms and distant microphones. Whatever is not a digit is written as the digits
that it resembles.
"""
