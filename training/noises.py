"""Recordings of noise, to be mixed into speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.sound_augmentation import to_16_bits
from training.speech import read_clip

ENDINGS = {".opus", ".flac", ".ogg", ".wav"}


def read_noises(folder: Path, rate_hz: int) -> list[NDArray[np.int16]]:
    """Return what a folder holds to be mixed in; nothing if it is not there.

    Raises AudioError for a recording that cannot be read.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix in ENDINGS)
    return [to_16_bits(read_clip(path, rate_hz)) for path in paths]
