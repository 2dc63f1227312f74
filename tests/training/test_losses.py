"""Losses: hand-made numbers, limits and gradients."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses import dice_bce, soft_dice
from training.tasks import classify_loss, classify_score, localise_loss, localise_score, segment_score

SURE = 30.0


def _square(batch: int = 1) -> torch.Tensor:
    """A target with a square in the first image of the batch, nothing in the others."""
    target = torch.zeros(batch, 1, 8, 8)
    target[0, 0, 2:6, 2:6] = 1
    return target


def _logits(target: torch.Tensor) -> torch.Tensor:
    return SURE * (2 * target - 1)


def test_soft_dice_of_the_truth_is_0_and_of_its_opposite_1() -> None:
    target = _square()
    assert soft_dice(_logits(target), target).item() == pytest.approx(0, abs=1e-5)
    assert soft_dice(-_logits(target), target).item() == pytest.approx(1, abs=1e-5)


def test_soft_dice_of_one_half_everywhere() -> None:
    """p = 1/2 on 64 pixels, 16 of them true: 1 - 2 * 8 / (32 + 16)."""
    assert soft_dice(torch.zeros(1, 1, 8, 8), _square()).item() == pytest.approx(2 / 3, abs=1e-6)


def test_images_without_foreground_do_not_count_in_dice() -> None:
    target = _square(3)
    assert soft_dice(_logits(target), target).item() == pytest.approx(0, abs=1e-5)
    assert soft_dice(torch.zeros(3, 1, 8, 8), target).item() == pytest.approx(2 / 3, abs=1e-6)
    logits = torch.zeros(2, 1, 8, 8, requires_grad=True)
    loss = soft_dice(logits, torch.zeros(2, 1, 8, 8))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_cross_entropy_punishes_false_positives_where_dice_cannot() -> None:
    empty = torch.zeros(1, 1, 8, 8)
    assert dice_bce(torch.full_like(empty, SURE), empty).item() == pytest.approx(SURE, abs=1e-4)
    assert dice_bce(torch.full_like(empty, -SURE), empty).item() == pytest.approx(0, abs=1e-4)


def test_dice_bce_is_the_sum_of_both() -> None:
    assert dice_bce(torch.zeros(1, 1, 8, 8), _square()).item() == pytest.approx(math.log(2) + 2 / 3, abs=1e-6)


def test_weights_decide_how_much_an_image_counts_in_the_cross_entropy() -> None:
    logits, empty = torch.tensor([2.0, -3.0]).view(2, 1, 1, 1).expand(2, 1, 8, 8), torch.zeros(2, 1, 8, 8)
    each = [math.log1p(math.exp(2)), math.log1p(math.exp(-3))]
    for weight in ([1.0, 1.0], [1.0, 0.2], [0.0, 1.0], [5.0, 1.0]):
        wanted = sum(w * one for w, one in zip(weight, each, strict=True)) / sum(weight)
        assert dice_bce(logits, empty, torch.tensor(weight)).item() == pytest.approx(wanted, abs=1e-6)
    assert dice_bce(logits, empty).item() == pytest.approx(sum(each) / 2, abs=1e-6)


def test_an_empty_view_teaches_the_localisers_map_nothing() -> None:
    """SURE wrong all over the empty one of two views costs nothing, as long as the presence logits are right."""
    target, category = _square(2), torch.tensor([1, 0])
    logits = _logits(target)
    logits[1] = SURE
    right = torch.tensor([[SURE], [-SURE]])
    loss = localise_loss((logits, right), target, category).item()
    assert loss == pytest.approx(0, abs=1e-3)


def test_a_batch_of_empty_views_teaches_presence_only() -> None:
    target, category = torch.zeros(2, 1, 8, 8), torch.tensor([0, 0])
    right, wrong = torch.full((2, 1), -SURE), torch.full((2, 1), SURE)
    assert localise_loss((torch.zeros(2, 1, 8, 8), right), target, category).item() == pytest.approx(0, abs=1e-3)
    assert localise_loss((torch.zeros(2, 1, 8, 8), wrong), target, category).item() == pytest.approx(SURE / 2, abs=1e-3)


def test_a_step_along_the_gradient_lowers_the_loss() -> None:
    logits, target = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)), _square(2)
    logits.requires_grad_()
    loss = dice_bce(logits, target)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert dice_bce(logits - gradient, target) < loss


def test_huge_logits_give_finite_losses() -> None:
    target = _square()
    assert torch.isfinite(dice_bce(1e4 * (1 - 2 * target), target))


def test_localising_adds_half_the_cross_entropy_of_presence() -> None:
    target, category = _square(2), torch.tensor([1, 0])
    silent = torch.zeros(2, 1)
    wanted = dice_bce(_logits(target), target).item() + 0.5 * math.log(2)
    assert localise_loss((_logits(target), silent), target, category).item() == pytest.approx(wanted, abs=1e-5)
    right = torch.tensor([[SURE], [-SURE]])
    assert localise_loss((_logits(target), right), target, category).item() == pytest.approx(0, abs=1e-4)


def test_the_score_of_a_localiser_is_dice_or_silence_where_nothing_is() -> None:
    target, category = _square(3), torch.tensor([1, 0, 0])
    presence = torch.tensor([[1.0], [-1.0], [1.0]])
    assert localise_score((_logits(target), presence), target, category).tolist() == [1, 1, 0]


def test_the_score_of_a_segmenter_leaves_out_crops_without_a_lesion() -> None:
    target = _square(2)
    score = segment_score(_logits(target), target, torch.tensor([1, 0]))
    assert score[0] == 1
    assert score[1].isnan()


def test_ambiguous_cases_neither_teach_nor_count() -> None:
    output, target = torch.tensor([[4.0, 0, 0], [0, 0, 4.0]]), torch.zeros(2, 1, 8, 8)
    one = classify_loss(output[:1], target[:1], torch.tensor([0]))
    both = classify_loss(output, target, torch.tensor([0, -1]))
    assert torch.equal(one, both)
    score = classify_score(output, target, torch.tensor([0, -1]))
    assert score[0] == 1
    assert score[1].isnan()
    assert classify_score(output, target, torch.tensor([1, 2])).tolist() == [0, 1]
