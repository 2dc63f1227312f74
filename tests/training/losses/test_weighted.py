"""Weighted cross entropy, with weights from the training part alone."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from training.datasets.case import Case
from training.losses.weighted import class_weights, cross_entropy, presence_bce, training_weights, weighted_ce
from training.split import Split


def _unreadable(case: Case) -> np.ndarray:
    raise AssertionError(f"read the truth of {case.name}")


def _photograph(case: Case) -> np.ndarray:
    """Pixels of background, body, breast and nipple as frequent as in the photographs' published table."""
    return np.repeat(np.arange(4, dtype=np.uint8), (445, 422, 124, 10)).reshape(7, 143)


def test_the_weights_of_the_photographs() -> None:
    """44.5, 42.2, 12.4 and 1.0 % of the pixels: about 0.56, 0.59, 2.0 and 25."""
    train = Case("a", Path("a"), (), "", "a", 1, mask_reader=_photograph)
    held = Case("b", Path("b"), (), "", "b", 0, mask_reader=_unreadable)
    found = training_weights(Split((train,), (held,), (held,)), 4)
    assert found == pytest.approx([0.5624, 0.5930, 2.018, 25.03], rel=1e-3)


def test_equal_classes_weigh_1() -> None:
    assert class_weights([np.array([[0, 1]], np.uint8), np.array([[1, 0]], np.uint8)], 2) == [1, 1]


def test_a_class_value_that_nobody_declared() -> None:
    with pytest.raises(ValueError, match=r"Found class value 255 in a mask; wanted 0 to 1\. Map the labels"):
        class_weights([np.array([[0, 255]], np.uint8)], 2)


def test_a_class_without_a_pixel() -> None:
    with pytest.raises(ValueError, match=r"Found no pixel of class 1 in the training part; wanted some of each of 2"):
        class_weights([np.zeros((2, 2), np.uint8)], 2)


def test_plain_entropy_of_one_half_and_of_a_quarter() -> None:
    assert cross_entropy(torch.zeros(1, 1, 2, 2), torch.ones(1, 2, 2)).item() == pytest.approx(math.log(2))
    assert cross_entropy(torch.zeros(1, 4, 2, 2), torch.ones(1, 2, 2)).item() == pytest.approx(math.log(4))


def test_pixels_count_by_the_weight_of_their_class() -> None:
    """Two pixels with entropies a and b of weights 1 and 3: (a + 3 b) / 4."""
    logits, ids = torch.tensor([[2.0, 0.0], [0.0, 0.0]]).view(1, 2, 1, 2), torch.tensor([[[0, 1]]])
    a, b = math.log1p(math.exp(-2)), math.log(2)
    assert weighted_ce(logits, ids, weights=[1, 3]).item() == pytest.approx((a + 3 * b) / 4, abs=1e-6)
    torch.testing.assert_close(weighted_ce(logits, ids, weights=[2, 2]), cross_entropy(logits, ids))


def test_as_many_weights_as_classes() -> None:
    with pytest.raises(ValueError, match=r"Found 3 weights for 2 channels; wanted one per class\. Count the weights"):
        weighted_ce(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1), weights=[1, 1, 1])


def test_presence_with_one_logit_and_with_two() -> None:
    mask = torch.zeros(2, 1, 4, 4)
    mask[0, 0, 1, 2] = 1
    right = torch.tensor([[9.0], [-9.0]])
    assert presence_bce(right, mask) < 1e-3 < 8 < presence_bce(-right, mask)
    torch.testing.assert_close(presence_bce(torch.cat([-right, right], dim=1), mask), presence_bce(right, mask))


def test_presence_needs_a_logit_an_image() -> None:
    with pytest.raises(ValueError, match=r"Found presence logits of shape \(1, 1, 2, 2\); wanted \(batch, 1\) or"):
        presence_bce(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))
