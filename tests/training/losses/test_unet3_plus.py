"""The hybrid loss of UNet3+: its constants, its parts, its smallest input and its several outputs."""

from __future__ import annotations

import pytest
import torch
from monai.metrics.regression import compute_ms_ssim

from tests.training.drawn import disc
from training.losses.dice import soft_iou
from training.losses.focal import focal_loss
from training.losses.msssim import LEVELS, ms_ssim, ms_ssim_loss
from training.losses.unet3_plus import hybrid, unet3_plus_loss

SIDE = 176
TRUTH = torch.from_numpy(disc(40, 80, 90, side=SIDE)).float()[None, None]


def test_the_levels_are_those_of_the_paper() -> None:
    assert LEVELS == (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def test_ms_ssim_is_monais_where_the_maps_agree() -> None:
    torch.manual_seed(0)
    one = (TRUTH * 0.8 + 0.1 * torch.rand_like(TRUTH)).expand(2, -1, -1, -1)
    other = TRUTH.expand(2, -1, -1, -1)
    torch.testing.assert_close(ms_ssim(one, other), compute_ms_ssim(one, other, 2).flatten(), rtol=1e-5, atol=1e-6)


def test_the_truth_has_similarity_1() -> None:
    assert ms_ssim(TRUTH, TRUTH).item() == pytest.approx(1, abs=1e-6)
    assert ms_ssim_loss(60 * (2 * TRUTH - 1), TRUTH).item() == pytest.approx(0, abs=1e-6)


def test_opposite_maps_have_a_finite_slope() -> None:
    """Their terms are negative, and a power of a negative number is none."""
    logits = (-8 * (2 * TRUTH - 1)).requires_grad_()
    loss = ms_ssim_loss(logits, TRUTH)
    (slope,) = torch.autograd.grad(loss, logits)
    assert 0.9 < loss.item() <= 1
    assert slope.isfinite().all()


def test_an_input_below_the_coarsest_window() -> None:
    small = torch.zeros(1, 1, 175, 200)
    with pytest.raises(
        ValueError, match=r"Found a side of 175 px; wanted at least 176, a window of 11 at the fifth level"
    ):
        unet3_plus_loss(small, small)


def test_the_hybrid_is_the_sum_of_its_parts() -> None:
    torch.manual_seed(0)
    logits = torch.randn_like(TRUTH) + TRUTH
    parts = focal_loss(logits, TRUTH, gamma=2.0) + ms_ssim_loss(logits, TRUTH) + soft_iou(logits, TRUTH)
    torch.testing.assert_close(hybrid(logits, TRUTH), parts)


def test_several_outputs_are_averaged_by_their_weights() -> None:
    good, bad = 6 * (2 * TRUTH - 1), torch.zeros_like(TRUTH)
    one, other = unet3_plus_loss(good, TRUTH), unet3_plus_loss(bad, TRUTH)
    torch.testing.assert_close(unet3_plus_loss((good, bad), TRUTH), (one + other) / 2)
    torch.testing.assert_close(unet3_plus_loss((good, bad), TRUTH, levels=[3, 1]), (3 * one + other) / 4)
