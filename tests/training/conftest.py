"""What the training tests start from: torch set up, and a folder of tiny pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.hand_made_results import made_setup
from training.results import Setup


@pytest.fixture(autouse=True)
def _torch_seeded() -> None:
    torch.manual_seed(0)
    # Tiny networks gain nothing from threads, and wait for them on a busy machine.
    torch.set_num_threads(1)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of four pictures, 24 × 28, smooth with an edge."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rows, columns = np.mgrid[0:24, 0:28]
    for index in range(4):
        grey = 60 + 5 * rows + 40 * (columns > 6 * index)
        picture = np.stack([grey, grey[::-1], np.roll(grey, index)], axis=-1)
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def setup(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    """Return a root with documents, hand-made bundles, photographs and clips."""
    assert photos.is_dir()
    return made_setup(tmp_path, monkeypatch)
