"""What is done to good pictures before a network is to make them good again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle_parts import Interval
from edge_runtime.errors import SettingError
from edge_runtime.noise_level import estimate_sigma
from edge_runtime.pictures import add_noise, psnr_db, to_8_bits, to_float
from training.cbm3d import block_matched
from training.cbm3d import require as require_cbm3d
from training.exposure import draw_exposure
from training.looks import LOOKS
from training.luma import luma_psnr_db
from training.opencv import non_local_means as opencv_non_local_means
from training.opencv import require as require_opencv
from training.scaling import SCALE, crop_to_scale, doubled, halved
from training.scikit_image import (
    equalized,
    gained,
    gamma_corrected,
    non_local_means,
    require,
)

PROTOCOLS = ("published", "camera")
GAMMAS = tuple(np.geomspace(0.1, 2.5, 60))
"""Those that the best one is sought among."""


@dataclass(frozen=True)
class Posed:
    """One picture as it is given to a network."""

    given: NDArray[np.float32]
    """(Y, X, 3) in 0–1, noise reaching beyond it."""
    wanted: NDArray[np.uint8]
    """What the network is to make of it."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """What the network is told beside the picture, by the names of its inputs."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the picture's row says of it."""
    is_gray: bool = False
    """Whether it has one value for all colours, and what is made of it should too."""


@dataclass(frozen=True)
class Peer:
    """Another way to solve the problem, measured on the same pictures."""

    name: str
    version: str
    restore: Callable[[Posed], NDArray[np.float32]]
    """Returns its picture, of the size of the one wanted, in 0–1."""


class Problem(ABC):
    """One kind of task on pictures, and how its papers measure it."""

    untouched: str
    """Key of the quality without a network."""

    def measured(self, clean: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the part of a clean picture, (Y, X, 3), that is wanted back."""
        return clean

    @abstractmethod
    def pose(self, clean: NDArray[np.uint8], index: int) -> Posed:
        """Return a clean picture, (Y, X, 3), as the network gets it.

        `index` is the picture's place in the list: the same picture is posed alike.
        """

    @abstractmethod
    def without(self, posed: Posed) -> NDArray[np.uint8]:
        """Return what one has without a network."""

    def psnr_db(self, wanted: NDArray[np.uint8], found: NDArray[np.uint8]) -> float:
        """Return the PSNR of the network's picture."""
        return psnr_db(wanted, found)

    @abstractmethod
    def peers(self) -> tuple[Peer, ...]:
        """Return others that solve it, of the packages that are installed."""

    @property
    @abstractmethod
    def conditions(self) -> dict[str, Any]:
        """What the figures have to say about the problem."""


@dataclass(frozen=True)
class Noise:
    """The noise that is added to the clean pictures."""

    sigma: float
    """Standard deviation in units of 255."""
    protocol: str = "published"
    """`published` leaves values unclipped in float, `camera` rounds to 8 bits."""
    seed: int = 0
    """With a picture's place in the list, the seed of its noise."""
    blind: bool = False
    """Whether the network is told an estimate instead of `sigma`."""


class Denoising(Problem):
    """Gaussian noise is to be taken away.

    Of a gray picture, whose three colours are one, the noise is the same in all.

    Raises SettingError for a sigma that the network does not offer.
    """

    untouched = "noisy_psnr_db"

    def __init__(self, noise: Noise, offered: Interval) -> None:
        if not offered.minimum <= noise.sigma <= offered.maximum:
            raise SettingError(
                f"sigma: found {noise.sigma:g}, expected {offered.minimum:g} to"
                f" {offered.maximum:g}"
            )
        self._noise = noise
        self._offered = offered

    def pose(self, clean: NDArray[np.uint8], index: int) -> Posed:
        noise = self._noise
        clip = noise.protocol == "camera"
        is_gray = bool((clean == clean[..., :1]).all())
        seen = clean[..., :1] if is_gray else clean
        noisy = add_noise(seen, noise.sigma, (noise.seed, index), clip=clip)
        noisy = np.ascontiguousarray(np.broadcast_to(noisy, clean.shape))
        if not noise.blind:
            return Posed(noisy, clean, {"sigma": noise.sigma}, is_gray=is_gray)
        offered = self._offered
        sigma = float(np.clip(estimate_sigma(noisy), offered.minimum, offered.maximum))
        facts = {"sigma_estimate": round(sigma, 3)}
        return Posed(noisy, clean, {"sigma": sigma}, facts, is_gray)

    def without(self, posed: Posed) -> NDArray[np.uint8]:
        return to_8_bits(posed.given)

    def peers(self) -> tuple[Peer, ...]:
        sigma = self._noise.sigma
        peers = [
            Peer(
                "non-local means (scikit-image)",
                require(),
                lambda posed: non_local_means(posed.given, sigma),
            ),
            Peer(
                "non-local means (OpenCV)",
                require_opencv(),
                lambda posed: opencv_non_local_means(
                    posed.given, sigma, is_gray=posed.is_gray
                ),
            ),
        ]
        with suppress(SettingError):  # its licence is not for everybody
            version = require_cbm3d()
            peers.append(
                Peer(
                    "BM3D",
                    version,
                    lambda posed: block_matched(
                        posed.given, sigma, is_gray=posed.is_gray
                    ),
                )
            )
        return tuple(peers)

    @property
    def conditions(self) -> dict[str, Any]:
        noise = self._noise
        return {
            "sigma": noise.sigma,
            "protocol": noise.protocol,
            "blind": noise.blind,
            "seed": noise.seed,
        }


class Exposing(Problem):
    """Light, unknown in gain, gamma and noise, is to be given to pictures.

    Of another kind than dark, pictures are `good`, which should stay as they are, or
    `bright`: see `training.exposure`.
    """

    untouched = "untouched_psnr_db"

    def __init__(
        self, kind: str = "dark", strength: float | None = None, seed: int = 0
    ) -> None:
        self._kind = kind
        self._strength = strength
        self._seed = seed

    def pose(self, clean: NDArray[np.uint8], index: int) -> Posed:
        rng = np.random.default_rng((self._seed, index))
        exposure = draw_exposure(self._kind, rng)
        told = {} if self._strength is None else {"strength": self._strength}
        return Posed(exposure.expose(clean, rng), clean, told, exposure.facts)

    def without(self, posed: Posed) -> NDArray[np.uint8]:
        return to_8_bits(posed.given)

    def peers(self) -> tuple[Peer, ...]:
        version = require()
        return (
            Peer(
                "histogram equalization (scikit-image)",
                version,
                lambda posed: equalized(posed.given),
            ),
            Peer(
                "automatic gain (scikit-image)",
                version,
                lambda posed: gained(posed.given),
            ),
            Peer("best gamma per picture (scikit-image)", version, _best_gamma),
        )

    @property
    def conditions(self) -> dict[str, Any]:
        return {
            "exposure": self._kind,
            "strength": self._strength,
            "seed": self._seed,
        }


class Styling(Problem):
    """A picture is to get one of the looks of `training.looks`."""

    untouched = "untouched_psnr_db"

    def __init__(self, look: str, strength: float | None = None) -> None:
        if look not in LOOKS:
            raise SettingError(f"look: found {look}, expected one of {' '.join(LOOKS)}")
        self._look = look
        self._strength = strength

    def pose(self, clean: NDArray[np.uint8], index: int) -> Posed:
        told: dict[str, Any] = {"look": self._look}
        if self._strength is not None:
            told["strength"] = self._strength
        return Posed(to_float(clean), LOOKS[self._look](clean), told)

    def without(self, posed: Posed) -> NDArray[np.uint8]:
        return to_8_bits(posed.given)

    def peers(self) -> tuple[Peer, ...]:
        operator = LOOKS[self._look]
        return (
            Peer(
                f"{self._look} (OpenCV)",
                require_opencv(),
                lambda posed: to_float(operator(to_8_bits(posed.given))),
            ),
        )

    @property
    def conditions(self) -> dict[str, Any]:
        return {"look": self._look, "strength": self._strength}


class Enlarging(Problem):
    """A picture that was halved is to have its size again.

    PSNR is that of Y without a border of 2 pixels, as papers measure it; SSIM is that
    of all three colours. The last row or column is left out where a side is odd.
    """

    untouched = "bicubic_psnr_db"

    def measured(self, clean: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return crop_to_scale(clean)

    def pose(self, clean: NDArray[np.uint8], index: int) -> Posed:
        wanted = self.measured(clean)
        return Posed(to_float(halved(wanted)), wanted)

    def without(self, posed: Posed) -> NDArray[np.uint8]:
        return doubled(to_8_bits(posed.given))

    def psnr_db(self, wanted: NDArray[np.uint8], found: NDArray[np.uint8]) -> float:
        return luma_psnr_db(wanted, found)

    def peers(self) -> tuple[Peer, ...]:
        return ()

    @property
    def conditions(self) -> dict[str, Any]:
        return {"scale": SCALE}


def _best_gamma(posed: Posed) -> NDArray[np.float32]:
    """Return the picture at that gamma which comes nearest to the one wanted.

    Nobody has the picture wanted: this is the most that gamma could do.
    """
    made = [gamma_corrected(posed.given, gamma) for gamma in GAMMAS]
    scores = [psnr_db(posed.wanted, to_8_bits(picture)) for picture in made]
    return made[int(np.argmax(scores))]
