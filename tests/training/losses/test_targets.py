"""What a target may look like, and how one that does not fit is told."""

from __future__ import annotations

import pytest
import torch

from training.losses.targets import activated, class_ids, indicator


def test_one_channel_is_a_sigmoid_and_several_are_a_softmax() -> None:
    p, g = activated(torch.zeros(1, 1, 2, 2), torch.tensor([[[0, 1], [1, 0]]]))
    assert (p == 0.5).all()
    assert g.tolist() == [[[[0, 1], [1, 0]]]]
    p, g = activated(torch.zeros(1, 4, 1, 2), torch.tensor([[[3, 0]]]))
    assert (p == 0.25).all()
    assert g[0, :, 0].T.tolist() == [[0, 0, 0, 1], [1, 0, 0, 0]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32])
def test_ids_come_with_or_without_a_channel_axis_in_any_type(dtype: torch.dtype) -> None:
    logits, ids = torch.zeros(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    assert torch.equal(class_ids(logits, ids.to(dtype)), ids)
    assert torch.equal(class_ids(logits, ids.unsqueeze(1).to(dtype)), ids)


def test_a_soft_truth_of_one_class_is_kept() -> None:
    assert indicator(torch.zeros(1, 1, 1, 2), torch.tensor([[[0.25, 1.0]]])).flatten().tolist() == [0.25, 1]


@pytest.mark.parametrize("value", [3, -1, 0.5])
def test_a_value_that_nobody_declared(value: float) -> None:
    target = torch.zeros(1, 2, 2)
    target[0, 1, 1] = value
    with pytest.raises(ValueError, match=rf"Found class value {value}.*; wanted whole numbers 0 to 2\. Map the labels"):
        class_ids(torch.zeros(1, 3, 2, 2), target)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_truth_on_another_grid(channels: int) -> None:
    with pytest.raises(
        ValueError, match=r"Found a target of shape \(1, .*4, 5\); wanted \(1, .*4, 4\)\. Give the truth"
    ):
        activated(torch.zeros(1, channels, 4, 4), torch.zeros(1, 4, 5))
