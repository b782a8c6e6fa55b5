"""The sharing report of a checkpoint: the same table as for an exported file."""

from __future__ import annotations

from pathlib import Path

import torch

from edge_runtime.bundle_parts import SharedWeight
from export.sharing_report import SharingReport
from training.denoiser import UNSHUFFLE_PX
from training.report import sharing_report
from training.trained import TrainedDenoiser, open_checkpoint
from training.transcriber import TranscriberStep


def checkpoint_report(folder: Path) -> SharingReport:
    """Return what a checkpoint's module holds, and the uses of each weight.

    Uses are those of one run: a picture down to the deepest depth with every exit, or
    one chunk of speech.
    A module holds no copies, so stored bytes are unique bytes.

    Raises CheckpointError as `open_checkpoint` does.
    """
    trained = open_checkpoint(folder)
    if isinstance(trained, TrainedDenoiser):
        network = trained.network
        picture = torch.zeros(1, 3, 4 * UNSHUFFLE_PX, 4 * UNSHUFFLE_PX)
        sigma = torch.zeros(1, 1, 1, 1)
        found = sharing_report(network, lambda: network(picture, sigma))
    else:
        step = TranscriberStep(trained.network, trained.recipe.chunk_frames)
        chunk = step.example_inputs()
        found = sharing_report(trained.network, lambda: step(*chunk))
    sizes = {
        name: parameter.numel() * parameter.element_size()
        for name, parameter in trained.network.named_parameters()
    }
    weights = tuple(
        SharedWeight(w.name, w.shape, w.uses, sizes[w.name], sizes[w.name])
        for w in found.weights
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
        stored={},
        forms={},
    )
