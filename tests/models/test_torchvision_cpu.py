"""torchvision where its library does not load: it imports, and suppression does what it should."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models import torchvision_cpu
from models.torchvision_cpu import nms

BOXES = torch.tensor([[0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30], [0, 0, 4, 4]], dtype=torch.float32)
SCORES = torch.tensor([0.5, 0.9, 0.1, 0.3])


def test_the_better_of_two_overlapping_boxes_stays() -> None:
    assert nms(BOXES, SCORES, 0.5).tolist() == [1, 3, 2]
    assert nms(BOXES, SCORES, 0.9).tolist() == [1, 0, 3, 2]
    assert nms(BOXES, SCORES, 0.0).tolist() == [1, 2]


def test_nothing_gives_nothing() -> None:
    assert nms(torch.zeros(0, 4), torch.zeros(0), 0.5).shape == (0,)


def test_empty_boxes_suppress_nothing() -> None:
    assert nms(torch.zeros(3, 4), torch.tensor([0.1, 0.2, 0.3]), 0.5).tolist() == [2, 1, 0]


@st.composite
def _boxes(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    corner, size = rng.uniform(0, 40, (draw(st.integers(1, 30)), 2)), rng.uniform(1, 30, 2)
    scores = rng.permutation(len(corner)) / len(corner)
    return torch.from_numpy(np.concatenate([corner, corner + size], axis=1)), torch.from_numpy(scores)


@given(_boxes(), st.floats(0.05, 0.95))
def test_what_stays_overlaps_little_and_what_goes_overlaps_a_better_one(
    drawn: tuple[torch.Tensor, torch.Tensor], limit: float
) -> None:
    boxes, scores = drawn
    kept = nms(boxes, scores, limit).tolist()
    overlap = [[_overlap(one, other) for other in boxes.tolist()] for one in boxes.tolist()]
    assert kept == sorted(kept, key=lambda one: -scores[one])
    for one in range(len(boxes)):
        better = [other for other in kept if scores[other] > scores[one]]
        assert (one in kept) == all(overlap[one][other] <= limit for other in better)


def _overlap(one: list[float], other: list[float]) -> float:
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height)


def test_after_mending_torchvision_imports_and_suppresses() -> None:
    """In a process of its own: operators, once defined, stay. Holds as well where torchvision needs no mending."""
    script = (
        "from models.torchvision_cpu import mend\n"
        "assert mend() == mend()\n"
        "import torch, torchvision.models, torchvision.transforms.v2\n"
        "from torchvision.ops import nms\n"
        "boxes = torch.tensor([[0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30.0]])\n"
        "assert nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5).tolist() == [1, 2]\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)


@pytest.fixture
def _undefined(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has not met torchvision, and in which no operator may be defined."""

    def must_not() -> None:
        raise AssertionError("operators were defined")

    must_not.cache_info = torchvision_cpu._define.cache_info  # type: ignore[attr-defined]
    monkeypatch.setattr(torchvision_cpu, "_define", must_not)
    monkeypatch.setattr(torchvision_cpu.torch.ops, "torchvision", object())


@pytest.mark.usefixtures("_undefined")
def test_a_library_that_loads_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_cpu, "_library_loads", lambda package: True)
    torchvision_cpu.mend()


@pytest.mark.usefixtures("_undefined")
def test_a_cuda_build_of_torch_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_cpu, "_library_loads", lambda package: False)
    monkeypatch.setattr(torchvision_cpu.torch.version, "cuda", "13.0")
    torchvision_cpu.mend()


@pytest.mark.usefixtures("_undefined")
def test_without_torchvision_there_is_nothing_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_cpu.importlib.util, "find_spec", lambda name: None)
    torchvision_cpu.mend()
