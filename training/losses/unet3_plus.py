"""The hybrid loss of UNet3+ (Huang et al. 2020, arXiv 2004.08790): focal, MS-SSIM and IoU for pixels, patches, maps."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from training.losses.dice import soft_iou
from training.losses.focal import focal_loss
from training.losses.msssim import ms_ssim_loss
from training.losses.supervision import supervised


def unet3_plus_loss(
    output: Tensor | Sequence[Tensor], target: Tensor, *, gamma: float = 2.0, levels: Sequence[float] | None = None
) -> Tensor:
    """Focal + (1 - MS-SSIM) + (1 - IoU), each with weight 1, averaged over the deep-supervision outputs.

    ``levels`` are the outputs' weights, equal by default. The paper does not state the focal constants; ``gamma`` 2
    is that of Lin et al. Raises ValueError below 176 pixels a side.
    """
    return supervised(output, target, loss=hybrid, weights=levels, arguments={"gamma": gamma})


def hybrid(logits: Tensor, target: Tensor, *, gamma: float = 2.0) -> Tensor:
    """The hybrid loss of one output at input size."""
    return focal_loss(logits, target, gamma=gamma) + ms_ssim_loss(logits, target) + soft_iou(logits, target)
