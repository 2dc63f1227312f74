"""Losses of the depth map: level, shape, some classes only, and agreement with the segmentation's borders."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses.depth import class_depth_l1, depth_gradient, depth_l1, edge_consistency

RAMP = torch.linspace(0, 0.7, 8).expand(1, 1, 8, 8)


def test_a_shift_has_a_level_and_no_shape() -> None:
    assert depth_l1(RAMP + 0.25, RAMP).item() == pytest.approx(0.25, abs=1e-6)
    assert depth_gradient(RAMP + 0.25, RAMP).item() == pytest.approx(0, abs=1e-6)


def test_the_shape_of_a_ramp_against_a_plane() -> None:
    """Steps of 0.1: the Sobel kernel gives 0.8 in six columns, 0.4 in the outer two, and nothing along y."""
    assert depth_gradient(torch.zeros_like(RAMP), RAMP).item() == pytest.approx((6 * 0.8 + 2 * 0.4) / 8, abs=1e-5)


def test_only_the_breasts_count() -> None:
    ids = torch.zeros(1, 8, 8, dtype=torch.long)
    ids[0, 0, :2], ids[0, 1, :2] = 2, 3
    predicted = RAMP.clone()
    predicted[0, 0, 2:] += 5
    predicted[0, 0, 0, :2] += 0.4
    assert class_depth_l1(predicted, (ids, RAMP)).item() == pytest.approx(0.2, abs=1e-6)
    assert class_depth_l1(predicted, (ids.unsqueeze(1), RAMP), classes=[2]).item() == pytest.approx(0.4, abs=1e-6)


def test_without_a_pixel_of_the_class_it_is_0_and_still_connected() -> None:
    predicted = RAMP.clone().requires_grad_()
    loss = class_depth_l1(predicted, (torch.zeros(1, 8, 8), RAMP))
    loss.backward()
    assert loss.item() == 0
    assert not predicted.grad.any()


def test_borders_cost_where_the_depth_is_flat() -> None:
    logits = torch.zeros(1, 2, 8, 8)
    logits[:, 1, :, 3:] = torch.linspace(0, 4, 5)
    logits[:, 0, :, :3] = 9
    step = (torch.arange(8) >= 3).float().expand(1, 1, 8, 8)
    flat = edge_consistency(logits, torch.zeros_like(step))
    assert edge_consistency(logits, step) < flat
    softened = edge_consistency(logits, 0.1 * step, sharpness=1.0)
    assert flat * math.exp(-0.4) <= softened < flat


def test_a_uniform_picture_has_no_borders() -> None:
    """The picture's own border is none."""
    found = edge_consistency(torch.tensor([3.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 8, 8), RAMP)
    assert found.item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("loss", [depth_l1, depth_gradient, lambda p, d: class_depth_l1(p, (torch.zeros(1, 8, 8), d))])
def test_maps_of_another_size(loss: object) -> None:
    with pytest.raises(
        ValueError, match=r"Found a map of shape \(1, 1, 4, 4\) beside a depth of \(1, 1, 8, 8\); wanted"
    ):
        loss(torch.zeros(1, 1, 4, 4), RAMP)  # type: ignore[operator]
