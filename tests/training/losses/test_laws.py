"""What every loss of a map obeys: range, invariance, finite slopes, least at the truth, and a name in the package."""

from __future__ import annotations

from functools import partial
from inspect import isclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import training.losses
from training.losses import WHERE
from training.losses.build import Loss

BOTH = (
    "bce_dice",
    "cross_entropy",
    "dice_ce",
    "focal_loss",
    "focal_tversky_loss",
    "image_dice",
    "pooled_dice",
    "soft_iou",
    "squared_dice",
    "transunet_loss",
    "tversky_loss",
)
ONE_CHANNEL = (*BOTH, "dice_bce", "pooled_dice_bce", "soft_dice")
SEVERAL = (*BOTH, "multiclass_dice", "stage1_loss", "weighted_ce")
LOSSES = [(name, 1) for name in ONE_CHANNEL] + [(name, 3) for name in SEVERAL]
every_loss = pytest.mark.parametrize(("name", "channels"), LOSSES)
few = settings(max_examples=6, deadline=None)
seeds = st.integers(0, 10**6)


def _loss(name: str) -> Loss:
    found = getattr(training.losses, name)
    return partial(found, weights=[0.5, 1.0, 4.0]) if name == "weighted_ce" else found


def _batch(seed: int, channels: int, scale: float = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(3, channels, 6, 5, generator=generator)
    target = torch.randint(0, max(channels, 2), (3, 1, 6, 5), generator=generator).float()
    target[seed % 3] = 0
    return logits, target


@every_loss
@few
@given(seeds, st.sampled_from([0.0, 3.0, 300.0]))
def test_values_are_not_negative_and_slopes_are_finite(name: str, channels: int, seed: int, scale: float) -> None:
    logits, target = _batch(seed, channels, scale)
    logits.requires_grad_()
    loss = _loss(name)(logits, target)
    (slope,) = torch.autograd.grad(loss, logits)
    assert loss.shape == ()
    assert loss.isfinite()
    assert loss >= -1e-6
    assert slope.isfinite().all()


@every_loss
@few
@given(seeds)
def test_neither_order_nor_mirrors_nor_a_shift_of_all_logits_matter(name: str, channels: int, seed: int) -> None:
    logits, target = _batch(seed, channels)
    loss = _loss(name)
    wanted = loss(logits, target)
    close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-6)
    close(loss(logits.flip(0), target.flip(0)), wanted)
    close(loss(logits.flip(-1), target.flip(-1)), wanted)
    if channels > 1:
        close(loss(logits + 2.5, target), wanted)


@every_loss
@few
@given(seeds)
def test_nothing_is_better_than_the_truth(name: str, channels: int, seed: int) -> None:
    logits, target = _batch(seed, channels)
    ids = target.long().squeeze(1)
    sure = 2 * target - 1 if channels == 1 else torch.nn.functional.one_hot(ids, channels).movedim(-1, 1)
    # Losses that count absent classes have a floor above 0; this batch has all classes in every image but one.
    assert _loss(name)(40.0 * sure, target) <= _loss(name)(logits, target) + 1e-5


@pytest.mark.parametrize("name", WHERE)
def test_every_name_lies_in_the_package(name: str) -> None:
    found = getattr(training.losses, name)
    assert callable(found)
    assert isclass(found) == (name == "LearnedSum")


def test_another_name_does_not() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'envelope_loss'"):
        _ = training.losses.envelope_loss
