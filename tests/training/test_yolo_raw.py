"""What the service reads from the raw boxes of YOLO is what suppression in torch leaves of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.torchvision_cpu import nms
from service.decode import candidates
from service.manifest import Decode


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 0.8), st.floats(0.1, 0.9))
def test_raw_boxes_are_read_as_greedy_suppression_gives_them(seed: int, threshold: float, iou: float) -> None:
    """Two independent suppressions agree: OpenCV's in the service and torch's beside torchvision."""
    rng = np.random.default_rng(seed)
    centre, size = rng.uniform(0, 100, (2, 40)), rng.uniform(8, 60, (2, 40))
    scores = (rng.permutation(40) + 0.5) / 40
    raw = np.concatenate([centre, size, scores[None]]).astype(np.float32)
    kept = np.flatnonzero(raw[4] > np.float32(threshold))
    corners = np.concatenate([raw[:2] - raw[2:4] / 2, raw[:2] + raw[2:4] / 2]).T[kept]
    wanted = kept[nms(torch.from_numpy(corners), torch.from_numpy(raw[4, kept]), iou).numpy()]
    found = candidates({"boxes": raw}, Decode(kind="yolo", threshold=threshold, iou=iou, max_regions=40))
    assert [one.score for one in found] == pytest.approx(scores[wanted].tolist(), abs=1e-6)
    edges = np.array([one.box for one in found]).reshape(-1, 4)
    assert edges == pytest.approx(corners[np.searchsorted(kept, wanted)], abs=1e-4)
    assert {one.label for one in found} <= {0}


def test_boxes_of_different_labels_do_not_suppress_each_other() -> None:
    raw = np.array([[20, 20, 70], [20, 20, 70], [10, 10, 8], [10, 10, 6], [0.9, 0.1, 0.2], [0.1, 0.8, 0.7]], np.float32)
    found = candidates({"boxes": raw}, Decode(kind="yolo", threshold=0.3, iou=0.5))
    assert [(one.label, one.score) for one in found] == [
        (0, pytest.approx(0.9)),
        (1, pytest.approx(0.8)),
        (1, pytest.approx(0.7)),
    ]
    assert found[2].box == (66, 67, 74, 73)


def test_nothing_above_the_threshold_is_nothing_found() -> None:
    raw = np.array([[20], [20], [10], [10], [0.2]], np.float32)
    assert candidates({"boxes": raw}, Decode(kind="yolo", threshold=0.3)) == []
