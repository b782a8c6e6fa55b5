"""A recursive residual denoiser at half resolution: one block, run 1 to 8 times."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from training.repeated import FOLD_PX, RepeatedNetwork, fold, folded_radius_px, unfold

FOLDED = 3 * FOLD_PX**2


class Denoiser(RepeatedNetwork):
    """Estimates the noise of a picture and takes it away, at any offered depth.

    Beside the picture, whose sides are even, it is told the noise's standard
    deviation on the picture's scale, (B, 1, 1, 1).
    """

    told = (1,)

    def __init__(
        self,
        channels: int = 48,
        depths: Sequence[int] = (1, 2, 4, 8),
        *,
        n_convolutions: int = 2,
        rounding: bool = False,
    ) -> None:
        super().__init__(
            FOLDED + 1,
            channels,
            FOLDED,
            depths,
            n_convolutions=n_convolutions,
            rounding=rounding,
        )

    def receptive_radius_px(self, depth: int) -> int:
        return folded_radius_px(self.n_grid_px(depth))

    def into(self, picture: Tensor, *told: Tensor) -> Tensor:
        return fold(picture, *told)

    def out_of(self, made: Tensor, picture: Tensor, *told: Tensor) -> Tensor:
        return picture - unfold(made)
