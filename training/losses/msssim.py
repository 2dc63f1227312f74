"""Multi-scale structural similarity of a probability map and its truth (Wang et al. 2003)."""

from __future__ import annotations

from monai.metrics.regression import compute_ssim_and_cs
from torch import Tensor
from torch.nn import functional

from training.losses.targets import activated

WINDOW, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03
LEVELS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SMALLEST = WINDOW * 2 ** (len(LEVELS) - 1)
# Anti-correlated maps have negative terms, whose powers are no numbers; at 0 their slope has no bound.
LEAST = 1e-6


def ms_ssim_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - MS-SSIM, mean over the batch: Gaussian window 11, sigma 1.5, five levels, C1 = 0.01^2, C2 = 0.03^2.

    0 for the truth itself, up to 1. Raises ValueError below 176 pixels a side, where the coarsest level is smaller
    than the window.
    """
    _check_size(min(logits.shape[2:]))
    p, g = activated(logits, target)
    return 1 - ms_ssim(p, g).mean()


def ms_ssim(one: Tensor, other: Tensor) -> Tensor:
    """MS-SSIM (batch,) of two maps (batch, channels, height, width) with values 0 to 1, sides at least 176."""
    product = one.new_ones(len(one))
    for level, power in enumerate(LEVELS):
        ssim, contrast = compute_ssim_and_cs(one, other, 2, (WINDOW, WINDOW), (SIGMA, SIGMA), k1=K1, k2=K2)
        term = ssim if level == len(LEVELS) - 1 else contrast
        product = product * term.flatten(1).mean(dim=1).clamp(min=LEAST) ** power
        one, other = functional.avg_pool2d(one, 2), functional.avg_pool2d(other, 2)
    return product


def _check_size(side: int) -> None:
    if side < SMALLEST:
        raise ValueError(
            f"Found a side of {side} px; wanted at least {SMALLEST}, a window of {WINDOW} at the fifth level. Train on "
            "larger inputs or choose a loss without MS-SSIM, such as training.losses.dice_bce."
        )
