"""Every published sum against a number worked out by hand, with its own constants."""

from __future__ import annotations

import math

import pytest
import torch
from monai.losses import DiceCELoss

from training.losses import dice_bce
from training.losses.combined import bce_dice, pooled_dice_bce, stage1_loss, transunet_loss
from training.losses.monai_dice import dice_ce

ZERO = torch.zeros(1, 1, 8, 8)
LN2, LN4 = math.log(2), math.log(4)


def _quarter() -> torch.Tensor:
    target = torch.zeros(1, 1, 8, 8)
    target[..., :4, :4] = 1
    return target


def _tissue() -> torch.Tensor:
    ids = _quarter().long()
    ids[..., :4, 4:] = 2
    return ids


def test_dice_bce_of_the_cascade() -> None:
    assert pooled_dice_bce(ZERO, _quarter()).item() == pytest.approx(LN2 + 2 / 3, abs=1e-6)
    torch.testing.assert_close(pooled_dice_bce(ZERO, _quarter()), dice_bce(ZERO, _quarter()))


def test_foreground_counts_eleven_times_in_the_stand_alone_trainer() -> None:
    """16 pixels of 11 ln 2 and 48 of ln 2, over 64."""
    found = pooled_dice_bce(ZERO, _quarter(), pos_weight=11.0)
    assert found.item() == pytest.approx((16 * 11 + 48) / 64 * LN2 + 2 / 3, abs=1e-6)


def test_the_ultrasound_benchmark_halves_the_entropy() -> None:
    assert bce_dice(ZERO, _quarter()).item() == pytest.approx(0.5 * LN2 + 2 / 3, abs=1e-6)
    assert bce_dice(ZERO, _quarter(), bce=1.0, dice=0.0).item() == pytest.approx(LN2, abs=1e-6)


def test_transunet_halves_both_and_squares() -> None:
    """p = 1/4: sum p^2 = 4; Dice 16/36 of the background, 8/20 of two classes; the fourth class is absent."""
    dice = 1 - (16 / 36 + 8 / 20 + 8 / 20) / 3
    assert transunet_loss(torch.zeros(1, 4, 8, 8), _tissue()).item() == pytest.approx(0.5 * LN4 + 0.5 * dice, abs=1e-6)


def test_the_tissue_stage_halves_both() -> None:
    dice = 1 - (1 / 3 + 1 / 4 + 1 / 4) / 3
    assert stage1_loss(torch.zeros(1, 4, 8, 8), _tissue()).item() == pytest.approx(0.5 * LN4 + 0.5 * dice, abs=1e-6)


def test_dice_ce_is_the_squared_dice_and_the_entropy() -> None:
    """1 - 2 x 8 / (16 + 16) = 1/2, plus ln 2: a value above 1, so 1 - loss is no Dice."""
    assert dice_ce(ZERO, _quarter()).item() == pytest.approx(0.5 + LN2, abs=1e-5)
    assert dice_ce(ZERO, _quarter(), dice=2.0, ce=0.5).item() == pytest.approx(1 + LN2 / 2, abs=1e-5)


def test_dice_ce_is_monais_for_several_classes() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 8, 8)
    ids = torch.randint(0, 4, (2, 1, 8, 8))
    theirs = DiceCELoss(softmax=True, to_onehot_y=True, squared_pred=True)(logits, ids)
    torch.testing.assert_close(dice_ce(logits, ids.squeeze(1)), theirs)


@pytest.mark.parametrize("loss", [bce_dice, pooled_dice_bce, transunet_loss])
def test_absent_classes_can_be_counted_as_published(loss: object) -> None:
    nothing = torch.zeros(1, 1, 8, 8)
    skipped, counted = loss(ZERO, nothing), loss(ZERO, nothing, absent="count")  # type: ignore[operator]
    weight = 0.5 if loss is transunet_loss else 1.0
    assert (counted - skipped).item() == pytest.approx(weight, abs=1e-5)
