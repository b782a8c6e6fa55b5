"""What a bundle says of weights that were trained on other data than the recipe's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from export.plan import Plan

SECTION = re.compile(r"^## (.+)\n", re.MULTILINE)
KEPT = ("Input and output",)
"""Sections of a card that are true whatever the data; others tell of the recipe's."""


def with_own_data(plan: Plan, record: Mapping[str, Any]) -> Plan:
    """Return the plan, with the data that the record names in place of the recipe's."""
    names = record.get("data", [])
    if not names:
        return plan
    origin = record.get("origin")
    told = [f"{name} (--data)" for name in names]
    since = f", further from the weights of {origin['checkpoint']}" if origin else ""
    if origin:
        told.append(f"what the weights of {origin['checkpoint']} were trained on")
    licence = {
        **plan.facts["licence"],
        "weights": "not stated: the terms of the data that they were trained on",
        "data": told,
    }
    facts = {**plan.facts, "licence": licence, "training_data": told}
    return replace(plan, facts=facts, card=_card(plan.card, ", ".join(names), since))


def _card(card: str, names: str, since: str) -> str:
    """Return a card without what it says of the recipe's own data and results."""
    title, *sections = SECTION.split(card)
    kept = [
        f"## {name}\n{text}"
        for name, text in zip(sections[::2], sections[1::2], strict=True)
        if name in KEPT
    ]
    return "".join(
        [
            title,
            *kept,
            "## Training data and licence\n\n",
            f"Trained on {names} (`--data`){since}. Its terms, and those of whatever\n"
            "came before, are the terms of these weights. The code is Apache-2.0.\n",
        ]
    )
