"""The sharing report of a checkpoint: the same table as for an exported file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from edge_runtime.bundle_parts import SharedWeight
from export.sharing_report import SharingReport
from training.language import LanguageStep
from training.report import sharing_report
from training.trained import Trained, TrainedLanguage, TrainedRepeated, open_checkpoint
from training.transcriber import TranscriberStep

SIDE_PX = 8
"""Of the picture that uses are counted on."""


def checkpoint_report(folder: Path) -> SharingReport:
    """Return what a checkpoint's module holds, and the uses of each weight.

    Uses are counted for each entry point that an exported file has, so they are those
    of the file: a picture at each depth, or one chunk of speech.
    A module holds no copies, so stored bytes are unique bytes.

    Raises CheckpointError as `open_checkpoint` does.
    """
    trained = open_checkpoint(folder)
    uses: dict[str, dict[str, int]] = {}
    for entry_point, run in _entry_points(trained).items():
        for weight in sharing_report(trained.network, run).weights:
            uses.setdefault(weight.name, {})[entry_point] = weight.uses
    weights = tuple(
        SharedWeight(
            name,
            tuple(parameter.shape),
            sum(uses[name].values()),
            parameter.numel() * parameter.element_size(),
            parameter.numel() * parameter.element_size(),
        )
        for name, parameter in trained.network.named_parameters()
    )
    total = sum(weight.unique_bytes for weight in weights)
    return SharingReport(
        unique_bytes=total,
        stored_bytes=total,
        duplicate_bytes=0,
        weights=weights,
        duplicates=(),
        structural=(),
        missing=tuple(weight.name for weight in weights if not weight.uses),
        uses=uses,
        stored={},
        forms={},
        distinct={
            name: len(np.unique(parameter.detach().numpy()))
            for name, parameter in trained.network.named_parameters()
        },
    )


def _entry_points(
    trained: Trained,
) -> Mapping[str, Callable[[], object]]:
    """Return what runs the module as each entry point of an exported file does."""
    if isinstance(trained, TrainedRepeated):
        network = trained.network
        told = [torch.zeros(1, n, 1, 1) for n in network.told]
        picture = torch.zeros(1, 3, SIDE_PX, SIDE_PX)
        return {
            f"depth_{depth}": partial(network.at_depth, picture, *told, depth=depth)
            for depth in trained.recipe.depths
        }
    step: TranscriberStep | LanguageStep
    if isinstance(trained, TrainedLanguage):
        step = LanguageStep(trained.network, 1)
    else:
        step = TranscriberStep(trained.network, trained.recipe.chunk_frames)
    return {"step": partial(step, *step.example_inputs())}
