"""Focal and Tversky losses against numbers worked out by hand, and their slopes where all is right."""

from __future__ import annotations

import math

import pytest
import torch
from monai.losses import FocalLoss

from training.losses.focal import focal_loss, focal_tversky_loss, tversky_loss

ZERO = torch.zeros(1, 1, 8, 8)


def _quarter() -> torch.Tensor:
    target = torch.zeros(1, 1, 8, 8)
    target[..., :4, :4] = 1
    return target


def test_focal_of_one_half() -> None:
    assert focal_loss(ZERO, _quarter()).item() == pytest.approx(math.log(2) / 8, abs=1e-7)
    assert focal_loss(ZERO, _quarter(), alpha=0.25, gamma=2).item() == pytest.approx(math.log(2) / 16, abs=1e-7)
    classes = focal_loss(torch.zeros(1, 4, 8, 8), _quarter())
    assert classes.item() == pytest.approx(0.75**3 * math.log(4), abs=1e-6)


def test_focal_without_focus_is_the_cross_entropy() -> None:
    assert focal_loss(ZERO, _quarter(), gamma=0).item() == pytest.approx(math.log(2), abs=1e-7)


def test_focal_is_monais() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 1, 8, 8) * 3
    target = (torch.rand(2, 1, 8, 8) > 0.5).float()
    torch.testing.assert_close(focal_loss(logits, target, gamma=2.0), FocalLoss(gamma=2.0)(logits, target))


def test_tversky_of_one_half() -> None:
    """TP 8, FN 8, FP 24."""
    index = 8 / (8 + 0.7 * 8 + 0.3 * 24)
    assert tversky_loss(ZERO, _quarter()).item() == pytest.approx(1 - index, abs=1e-6)
    assert focal_tversky_loss(ZERO, _quarter()).item() == pytest.approx((1 - index) ** 0.75, abs=1e-6)


def test_tversky_of_equal_weights_is_dice() -> None:
    assert tversky_loss(ZERO, _quarter(), alpha=0.5).item() == pytest.approx(2 / 3, abs=1e-6)


def test_misses_cost_more_than_false_positives() -> None:
    truth = 2 * _quarter() - 1
    miss, extra = truth.clone(), truth.clone()
    miss[..., 0, :2], extra[..., 7, :2] = -1, 1
    assert tversky_loss(20 * miss, _quarter()) > tversky_loss(20 * extra, _quarter())


def test_classes_that_are_absent_from_the_batch() -> None:
    logits, ids = torch.zeros(1, 3, 8, 8), _quarter()
    skipped, counted = (tversky_loss(logits, ids, absent=absent) for absent in ("skip", "count"))
    assert counted.item() == pytest.approx((2 * skipped.item() + 1) / 3, abs=1e-5)


@pytest.mark.parametrize("loss", [focal_loss, tversky_loss, focal_tversky_loss])
def test_the_slope_at_the_truth_is_finite(loss: object) -> None:
    """The power 3/4 has an infinite slope at 0."""
    logits = (100 * (2 * _quarter() - 1)).requires_grad_()
    value = loss(logits, _quarter(), gamma=0.75) if loss is not tversky_loss else loss(logits, _quarter())  # type: ignore
    (slope,) = torch.autograd.grad(value, logits)
    assert value.item() == pytest.approx(0, abs=1e-4)
    assert slope.isfinite().all()
