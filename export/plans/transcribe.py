"""`transcribe`: English speech, in letters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_runtime.errors import SettingError
from export.plan import Plan
from export.plans.speech import SpeechFacts, speech_plan
from training.recipes.commands import CommandsRecipe
from training.recipes.transcribe import TranscribeRecipe
from training.trained import TrainedTranscriber


def transcribe_plan(
    trained: TrainedTranscriber, recipe: TranscribeRecipe, record: Mapping[str, Any]
) -> Plan:
    """Return the plan of a `transcribe` or `commands` checkpoint.

    Raises SettingError for one whose layers have cells of their own.
    """
    if not recipe.shared:
        raise SettingError(
            "shared=false: is there to compare with, and is not exported; train with"
            " shared=true"
        )
    commands = isinstance(recipe, CommandsRecipe)
    return speech_plan(
        trained,
        record,
        SpeechFacts(
            name="commands" if commands else "transcribe",
            summary="Understands spoken commands, by a grammar"
            if commands
            else "Writes down English speech while it is being said",
            corpus="speechocean762",
            heard=(("split", "train"),),
            unseen=(("split", "dev"),),
            unseen_name="speakers of the dev part",
            conditions="letters as they are heard, without a language model, streamed",
            licence={
                "code": "Apache-2.0",
                "weights": "CC BY-SA 4.0 (terms of the recordings)",
                "data": [
                    "speechocean762: free for commercial and non-commercial use",
                    "wuw-corpus-ii: CC BY-SA 4.0",
                ],
            },
            training_data=[
                "speechocean762, training part",
                "wuw-corpus-ii, training part",
                *(["espeak-ng and flite, phrases"] if recipe.synthetic else []),
                *(["espeak-ng and flite, commands"] if commands else []),
            ],
            card=COMMANDS_CARD if commands else CARD,
        ),
    )


CARD = """\
# transcribe

Writes down English speech while it is being said, in letters; `tiedge transcribe`
chooses words with the language model `lm`, by a list or by a grammar. A window of
features goes through two linear maps and one GRU cell that is run in every layer and at
every step with the same weights; the letters come out by CTC.

## Input and output

Mono sound at 8 to 192 kHz, brought to 16 kHz inside. Out come the letters a to z,
apostrophes and spaces.

## Training data and licence

The training parts of speechocean762 (English of Mandarin speakers, half of them
children) and wuw-corpus-ii (telephone), and phrases spoken by espeak-ng and flite.
wuw-corpus-ii is CC BY-SA 4.0 and so are these weights. The code is Apache-2.0.

## How the checkpoint was chosen

The best of its run on the dev parts, whose speakers training never heard; the search
was tuned there, too. Of the test parts, a few clips were looked at.

## Limits

Five hours of recordings are little: expect two words in five to be wrong in free
speech, and far less where a list of words or a grammar says what may come. Speakers of
other accents, loud rooms and distant microphones make it worse.
"""

COMMANDS_CARD = """\
# commands

Understands spoken commands: `tiedge transcribe --bundle commands --grammar coffee`
tells what is asked for, and what is no command has no intent. The network is that of
`transcribe`, trained further on sentences of a grammar.

## Input and output

Mono sound at 8 to 192 kHz, brought to 16 kHz inside. Out come the letters a to z,
apostrophes and spaces; a grammar makes words and slots of them.

## Training data and licence

The training parts of speechocean762 (English of Mandarin speakers, half of them
children) and wuw-corpus-ii (telephone), and sentences and phrases spoken by espeak-ng
and flite: no person was recorded for the commands. wuw-corpus-ii is CC BY-SA 4.0 and so
are these weights. The code is Apache-2.0.

## How the checkpoint was chosen

The best of its run on the dev parts, whose speakers and voices training never heard.

## Limits

Words outside the grammar are taken for the nearest ones, or rejected. Other grammars
than the one that it was trained with work, with more errors.
"""
