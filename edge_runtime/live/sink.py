"""Where frames go."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray


class Sink(ABC):
    """Takes frames one by one, in the main thread: windows live nowhere else."""

    def __init__(self, name: str) -> None:
        self.name = name
        """As messages call it."""
        self.has_ended = False
        """Set by a sink that wants no more frames; what it took is kept."""
        self.complaint: str | None = None
        """Why it ended, if that is a failure: one line."""

    @abstractmethod
    def write(self, picture: NDArray[np.uint8], number: int) -> None:
        """Take a picture, (Y, X, 3) RGB; `number` counts the source's frames.

        Raises VideoError where it cannot, or nobody reads any more.
        """

    @abstractmethod
    def idle(self) -> None:
        """Do what is due while no frame comes, such as a window's events."""

    @abstractmethod
    def close(self) -> None:
        """Finish; closing twice does nothing."""

    def end(self, complaint: str | None = None) -> None:
        """Want no more frames."""
        self.has_ended = True
        self.complaint = complaint
