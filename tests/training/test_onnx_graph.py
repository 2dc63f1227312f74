"""The check that a graph computes what its network computes: what it lets pass, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tests import tiny_graphs
from training.onnx_graph import Difference, check_export, traced

SIDE = 32
SHAPE = (1, SIDE, SIDE)


class Scaled(nn.Module):
    """Logits 20 (x - 0.5), times a number."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, image: Tensor) -> Tensor:
        return self.by * 20 * (image - 0.5)


class Waved(nn.Module):
    """Two channels: one far from 0 that varies by ``height``, and the picture times ``by``."""

    def __init__(self, height: float, by: float = 100) -> None:
        super().__init__()
        self.height, self.by = height, by

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([0.5 + self.height * image, self.by * image], dim=1)


def against(found: nn.Module, wanted: nn.Module) -> Difference:
    """The graph of one network checked against another."""
    graph = traced(found.eval(), [SHAPE], ["image"], ["logits"]).SerializeToString()
    return check_export(wanted, graph, SHAPE)


def test_the_difference_is_relative_to_the_largest_output() -> None:
    """Off by 3e-5 of the largest of about 70: fine; by 3e-3: not."""
    graph = tiny_graphs.threshold(SIDE)
    assert check_export(Scaled(1), graph, SHAPE).relative == pytest.approx(0, abs=1e-6)
    assert check_export(Scaled(1 + 3e-5), graph, SHAPE).relative == pytest.approx(3e-5, rel=0.05)
    with pytest.raises(ValueError, match=r"differ by 3\.0e-03 of the largest output; wanted at most 1e-04"):
        check_export(Scaled(1 + 3e-3), graph, SHAPE)


def test_what_hardly_varies_is_held_to_how_far_it_does() -> None:
    """A wave of 1e-4 upside down is off by less than 1e-4 of the other channel's largest value."""
    assert against(Waved(1e-4), Waved(1e-4)).of_spread < 2e-3
    words = r"differ by .* of how far a channel varies; wanted at most 1e-02\. Do not ship"
    for wrong in (Waved(-1e-4), Waved(1.05e-4)):
        with pytest.raises(ValueError, match=words):
            against(wrong, Waved(1e-4))


def test_a_small_channel_beside_large_ones_is_held_to_its_own_spread() -> None:
    assert against(Waved(1e-4, by=640), Waved(1e-4, by=640)).relative < 1e-6
    with pytest.raises(ValueError, match="of how far a channel varies"):
        against(Waved(2e-3, by=640), Waved(1e-3, by=640))


def test_channels_that_are_constant_may_differ_by_rounding_alone() -> None:
    assert against(Waved(0, by=0), Waved(0, by=0)) == Difference(0, 0)
    rounded = Waved(0)
    rounded.forward = lambda image: Waved(0).forward(image) + 2e-7  # type: ignore[method-assign]
    found = against(Waved(0), rounded)
    assert 0 < found.of_spread < 0.01
    assert math.isfinite(found.relative)


def test_outputs_that_are_no_numbers_are_refused() -> None:
    class Lost(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image * torch.nan

    with pytest.raises(ValueError, match="differ by nan"):
        check_export(Lost(), tiny_graphs.same(["batch", *SHAPE]), SHAPE)


def test_examples_of_a_batch_that_are_mixed_are_refused() -> None:
    """Torch sees each example alone, ONNX Runtime all at once."""

    class Mixed(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image - image.mean(dim=0, keepdim=True)

    with pytest.raises(ValueError, match="of the largest output"):
        against(Mixed(), Mixed())
