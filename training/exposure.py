"""Pictures taken with too little light, or too much, made of good ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.pictures import PICTURE_PEAK, to_8_bits, to_float

GAIN = (0.1, 0.5)
"""Of dark pictures; drawn evenly over its logarithm."""
GAMMA = (1.0, 2.5)
"""Of dark pictures."""
NOISE = (0.0, 3.0)
"""Standard deviation after darkening, in units of 255."""
BRIGHT_GAIN = (1.0, 2.0)
"""Of pictures with too much light."""
BRIGHT_GAMMA = (0.4, 1.0)
KINDS = ("dark", "good", "bright")


@dataclass(frozen=True)
class Exposure:
    """value → gain · value^gamma, and what the sensor adds."""

    gain: float
    gamma: float
    sigma: float
    """Standard deviation of the noise, in units of 255."""

    def expose(
        self, picture: NDArray[np.uint8], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Return the picture, (…), as a camera would store it: 8 bits, in 0–1."""
        light = np.float32(self.gain) * to_float(picture) ** np.float32(self.gamma)
        noise = rng.standard_normal(picture.shape, dtype=np.float32)
        noise *= np.float32(self.sigma / PICTURE_PEAK)
        return to_float(to_8_bits(light + noise))

    @property
    def facts(self) -> dict[str, Any]:
        """The three numbers by name, rounded."""
        return {name: round(number, 4) for name, number in asdict(self).items()}


def draw_exposure(kind: str, rng: np.random.Generator) -> Exposure:
    """Return an exposure of a kind: dark, good (as the picture is), or bright."""
    if kind == "good":
        return Exposure(1.0, 1.0, 0.0)
    if kind == "bright":
        gain, gamma = rng.uniform(*BRIGHT_GAIN), rng.uniform(*BRIGHT_GAMMA)
        return Exposure(gain, gamma, rng.uniform(0.0, 1.0))
    gain = float(np.exp(rng.uniform(*np.log(GAIN))))
    return Exposure(gain, rng.uniform(*GAMMA), rng.uniform(*NOISE))
