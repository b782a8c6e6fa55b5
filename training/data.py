"""Where training and evaluation data is found."""

from __future__ import annotations

import os
from pathlib import Path

from edge_runtime.errors import DataError

DATA_VARIABLE = "TIEDGE_DATA"
DATA_DEFAULT = Path("../shared/data")


def data_folder() -> Path:
    """Return the folder that TIEDGE_DATA names (default ../shared/data).

    Raises DataError if it is not there.
    """
    folder = Path(os.environ.get(DATA_VARIABLE, DATA_DEFAULT))
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such data folder; set {DATA_VARIABLE} or name your own"
            " with --data"
        )
    return folder
