"""Soft Dice in its four forms and soft IoU: hand-made numbers, MONAI's values, and the decision on absent classes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DiceLoss

from training.losses.dice import image_dice, multiclass_dice, pooled_dice, soft_dice, soft_iou, squared_dice

HALF = torch.zeros(1, 1, 8, 8)


def _square(*sides: int) -> torch.Tensor:
    """One 8 x 8 image a number, with a rectangle of 4 x that many pixels."""
    target = torch.zeros(len(sides), 1, 8, 8)
    for index, side in enumerate(sides):
        target[index, 0, :4, :side] = 1
    return target


def _tissue() -> torch.Tensor:
    """Ids of one 8 x 8 image: 32 pixels of class 0, 16 each of 1 and 2, none of 3."""
    ids = torch.zeros(1, 8, 8, dtype=torch.long)
    ids[0, :4, :4], ids[0, :4, 4:] = 1, 2
    return ids


def test_the_forms_of_one_half_everywhere() -> None:
    """p = 1/2 on 64 pixels, 16 of them true."""
    target = _square(4)
    assert pooled_dice(HALF, target).item() == pytest.approx(1 - 2 * 8 / (32 + 16), abs=1e-6)
    assert image_dice(HALF, target).item() == pytest.approx(1 - 2 * 8 / (32 + 16), abs=1e-6)
    assert squared_dice(HALF, target).item() == pytest.approx(1 - 2 * 8 / (64 / 4 + 16), abs=1e-6)
    assert soft_iou(HALF, target).item() == pytest.approx(1 - 8 / (32 + 16 - 8), abs=1e-6)


def test_pooling_weights_images_by_their_pixels() -> None:
    """16 and 32 true pixels: sums of both images, or the mean of 2/3 and 1/2."""
    target, logits = _square(4, 8), torch.zeros(2, 1, 8, 8)
    assert pooled_dice(logits, target).item() == pytest.approx(1 - 2 * 24 / (64 + 48), abs=1e-6)
    assert image_dice(logits, target).item() == pytest.approx((2 / 3 + 1 / 2) / 2, abs=1e-6)
    assert squared_dice(logits, target, pooled=True).item() == pytest.approx(1 - 2 * 24 / (32 + 48), abs=1e-6)


def test_classes_with_the_background_and_without_the_absent_one() -> None:
    """p = 1/4 of four classes: Dice 1/3, 1/4, 1/4 and, for the absent class, 0."""
    logits = torch.zeros(1, 4, 8, 8)
    assert multiclass_dice(logits, _tissue()).item() == pytest.approx(1 - (1 / 3 + 1 / 4 + 1 / 4) / 3, abs=1e-6)
    counted = multiclass_dice(logits, _tissue(), absent="count")
    assert counted.item() == pytest.approx(1 - (1 / 3 + 1 / 4 + 1 / 4) / 4, abs=1e-6)


def test_an_absent_class_that_is_counted_costs_1_and_teaches_nothing() -> None:
    logits = torch.zeros(1, 1, 8, 8, requires_grad=True)
    loss = pooled_dice(logits, torch.zeros(1, 1, 8, 8), absent="count")
    (slope,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(1, abs=1e-6)
    assert slope.abs().max() < 1e-7


@pytest.mark.parametrize("loss", [pooled_dice, image_dice, squared_dice, soft_iou])
def test_nothing_at_all_skipped_is_0_with_a_gradient_of_0(loss: object) -> None:
    logits = torch.randn(2, 1, 8, 8, requires_grad=True)
    value = loss(logits, torch.zeros(2, 1, 8, 8))  # type: ignore[operator]
    (slope,) = torch.autograd.grad(value, logits)
    assert value.item() == 0
    assert not slope.any()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_counted_dice_is_monais(seed: int, pooled: bool, squared: bool) -> None:
    torch.manual_seed(seed)
    logits, ids = torch.randn(3, 4, 6, 5) * 3, torch.randint(0, 4, (3, 1, 6, 5))
    theirs = DiceLoss(softmax=True, to_onehot_y=True, squared_pred=squared, batch=pooled)(logits, ids)
    if squared:
        ours = squared_dice(logits, ids, pooled=pooled, absent="count")
    else:
        ours = (pooled_dice if pooled else image_dice)(logits, ids, absent="count")
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_soft_dice_is_dice_per_image_where_a_lesion_is() -> None:
    logits, target = torch.randn(3, 1, 8, 8), _square(4, 0, 2)
    torch.testing.assert_close(soft_dice(logits, target), image_dice(logits, target))


def test_one_channel_has_no_background() -> None:
    with pytest.raises(
        ValueError, match=r"Found 1 channel; wanted one per class, background included\. Use pooled_dice"
    ):
        multiclass_dice(HALF, _square(4))


def test_another_word_for_absent_classes() -> None:
    with pytest.raises(ValueError, match=r"Found absent='drop'; wanted 'skip' or 'count'\. Choose"):
        pooled_dice(HALF, _square(4), absent="drop")  # type: ignore[arg-type]
