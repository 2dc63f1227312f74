"""What SAM is told: laws of boxes and points, and that picture, mask and prompt stay on one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from models.sam import tiny
from service.errors import BadParameter
from service.image import Point, Region
from service.manifest import InputSpec, Window
from service.preprocess import place, prepare
from service.stages import network_box
from training.datasets.case import Case
from training.prompts import (
    CANVAS,
    JITTER,
    MEDSAM_INPUT,
    SAM_INPUT,
    Prompts,
    PromptSamples,
    View,
    outwards,
    points_inside,
    points_of_box,
    prompted,
    target_of,
)
from training.regions import lesion_boxes
from training.samples import Loaded

SPEC = InputSpec(size=(64, 64), channels=3, window=Window(kind="range", low=0, high=255))
LETTERBOX = SPEC.model_copy(update={"letterbox": True})


def loaded(mask: np.ndarray, name: str = "one") -> Loaded:
    """A case whose picture is white where its mask is."""
    case = Case(name, Path(f"{name}.png"), (), "", name, 0)
    return Loaded(case, mask * np.uint8(255), mask.astype(np.uint8))


def drawn(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (40, 60)) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = 1
    return mask


TWO = drawn((4, 5, 12, 11), (30, 10, 50, 30))


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    """A few rectangles, which may touch, on a picture of any shape."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    mask = np.zeros((height, width), np.uint8)
    for _ in range(draw(st.integers(0, 4))):
        left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        mask[top : top + draw(st.integers(1, 12)), left : left + draw(st.integers(1, 12))] = 1
    return mask


@given(masks())
def test_every_lesion_has_its_own_tight_box(mask: np.ndarray) -> None:
    each = prompted(loaded(mask), "components")
    assert sorted(one.box for one in each) == sorted(lesion_boxes(mask))
    areas = [int(one.mask.sum()) for one in each]
    assert areas == sorted(areas, reverse=True)
    together = sum((one.mask.astype(int) for one in each), np.zeros(mask.shape, int))
    np.testing.assert_array_equal(together, mask)
    for one in each:
        assert Region.around(one.mask[np.newaxis]) == one.box


@given(masks())
def test_one_box_encloses_all_lesions(mask: np.ndarray) -> None:
    found = prompted(loaded(mask), "enclosing")
    assert len(found) == bool(mask.any())
    for one in found:
        np.testing.assert_array_equal(one.mask, mask)
        outside = mask.copy()
        outside[one.box.slices[1:]] = 0
        assert not outside.any()


@given(masks())
def test_the_whole_picture_means_all_of_it(mask: np.ndarray) -> None:
    (one,) = prompted(loaded(mask), "whole")
    assert one.box == Region(0, 0, mask.shape[1], mask.shape[0])
    np.testing.assert_array_equal(one.mask, mask)


def test_a_localisers_box_means_the_lesions_it_meets() -> None:
    boxes = (Region(48, 5, 80, 15), Region(0, 0, 60, 40), Region(0, 30, 10, 40))
    partly, both, none = prompted(loaded(TWO), "detector", boxes)
    assert partly.box == Region(48, 5, 60, 15)
    np.testing.assert_array_equal(partly.mask, drawn((30, 10, 50, 30)))
    np.testing.assert_array_equal(both.mask, TWO)
    assert not none.mask.any()
    assert prompted(loaded(TWO), "detector") == []
    with pytest.raises(BadParameter, match="wanted a box that meets the picture"):
        prompted(loaded(TWO), "detector", (Region(70, 0, 80, 9),))


@pytest.mark.parametrize("spec", [SPEC, LETTERBOX])
@given(mask=masks().filter(np.any), most=st.integers(0, 30), seed=st.integers(0, 2**32 - 1))
def test_jitter_moves_each_side_outwards_and_not_off_the_picture(
    mask: np.ndarray, spec: InputSpec, most: int, seed: int
) -> None:
    placement, prompts = place(mask.shape, spec), Prompts(jitter=most, canvas=128)
    box = network_box(lesion_boxes(mask)[0], placement)
    moved, again = (outwards(box, placement, np.random.default_rng(seed), prompts, spec) for _ in range(2))
    assert np.array_equal(moved, again)
    steps = (box - moved) * (1, 1, -1, -1)
    # Half a pixel of the network's 64 is one of the canvas's 128.
    assert (steps >= -1e-5).all()
    assert (steps <= most / 2 + 1e-5).all()
    whole = network_box(Region(0, 0, mask.shape[1], mask.shape[0]), placement)
    assert (moved[:2] >= whole[:2] - 1e-5).all()
    assert (moved[2:] <= whole[2:] + 1e-5).all()


@pytest.mark.parametrize(("jitter", "canvas", "pixels"), [(JITTER, CANVAS, 4), (20, 1024, 1)])
def test_jitter_is_of_the_originals_pixels_each_as_likely(jitter: int, canvas: int, pixels: int) -> None:
    """On 1024 pixels the tutorial's 0 to 19 of 256 are 0, 4, ... 76, and MedSAM's 0 to 20 are those themselves."""
    spec = SAM_INPUT
    placement, rng = place((700, 1400), spec), np.random.default_rng(0)
    box, prompts = np.array([500, 500, 600, 600], np.float32), Prompts(jitter=jitter, canvas=canvas)
    moved = np.stack([outwards(box, placement, rng, prompts, spec) for _ in range(2000)])
    steps = (box - moved) * (1, 1, -1, -1)
    assert set(np.unique(steps[:, 0])) == {pixels * step for step in range(jitter + 1)}
    assert steps.mean() == pytest.approx(pixels * jitter / 2, rel=0.05)
    # The four sides do not move together.
    assert abs(np.corrcoef(steps.T)[np.triu_indices(4, 1)]).max() < 0.1


def test_jitter_does_not_depend_on_how_large_the_picture_is() -> None:
    """The same picture twice as large is told the same boxes."""
    small, large = loaded(TWO), loaded(np.kron(TWO, np.ones((2, 2), np.uint8)))
    told_of = [PromptSamples([one], Prompts(), View(SPEC), seed=0)[0][0][1] for one in (small, large)]
    torch.testing.assert_close(*told_of)


@given(masks(), st.integers(0, 5), st.none() | st.integers(0, 1000))
def test_points_lie_in_the_mask_and_differ(mask: np.ndarray, count: int, seed: int | None) -> None:
    points = points_inside(mask, count, None if seed is None else np.random.default_rng(seed))
    assert len(points) == len(set(points)) == min(count, int(mask.sum()))
    assert all(mask[point.y, point.x] and point.inside for point in points)


def test_the_first_point_is_the_deepest() -> None:
    (point,) = points_inside(TWO, 1)
    assert Region(38, 18, 42, 22).overlap(point.region) == point.region
    # A mask up to the picture's edge is not deeper for it.
    (point,) = points_inside(drawn((0, 0, 9, 9)), 1)
    assert point == Point(4, 4)
    drawn_twice = {tuple(points_inside(TWO, 1, np.random.default_rng(seed))) for seed in range(20)}
    assert len(drawn_twice) > 10


@pytest.mark.parametrize("spec", [SPEC, LETTERBOX])
@given(mask=masks().filter(np.any))
def test_the_target_lies_on_the_picture(mask: np.ndarray, spec: InputSpec) -> None:
    """A picture that is its own mask goes through the network's geometry to the same place."""
    one = loaded(mask)
    tensor, _ = prepare(one.image[..., np.newaxis].astype(np.float32), spec)
    np.testing.assert_allclose(target_of(one.mask, spec)[0], tensor[0], atol=1e-5)


@pytest.mark.parametrize("spec", [SPEC, LETTERBOX])
@given(mask=masks().filter(np.any))
def test_a_true_box_is_that_of_the_target(mask: np.ndarray, spec: InputSpec) -> None:
    samples = PromptSamples([loaded(mask)], Prompts(source="enclosing"), View(spec))
    (_, boxes), target, category = samples[0]
    left, top, right, bottom = boxes[0].tolist()
    ys, xs = np.nonzero(target[0].numpy() > 1e-6)
    # Enlarging blurs the edge by half a source pixel, shrinking by one of the network's.
    slack = max(1, 64 / mask.shape[0], 64 / mask.shape[1])
    found = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert np.abs(np.array(found) - (left, top, right, bottom)).max() <= slack
    assert category == 1


def samples(**changes: Any) -> PromptSamples:
    about: dict[str, Any] = {"training": True, **changes}
    prompts = Prompts.model_validate(about.pop("prompts", {}))
    view, seed = View(SPEC, about.pop("embed", None)), 0 if about.pop("training") else None
    return PromptSamples([loaded(TWO), loaded(TWO * 0, "normal")], prompts, view, seed=seed, **about)


def test_each_lesion_is_a_sample_and_a_normal_picture_none() -> None:
    every = samples(training=False)
    assert len(every) == 2
    (image, boxes), target, _ = every[0]
    assert (image.shape, boxes.shape, target.shape) == ((3, 64, 64), (1, 4), (1, 64, 64))
    # The larger one first; 64 network pixels over 60 x 40.
    assert boxes[0].tolist() == pytest.approx([30 * 64 / 60, 10 * 64 / 40, 50 * 64 / 60, 30 * 64 / 40])
    assert target[0, 32, 40] == 1
    assert target[0, 12, 8] == 0
    assert len(samples(prompts={"source": "enclosing"})) == 1
    assert len(samples(prompts={"source": "whole"})) == 2
    assert len(samples(prompts={"source": "detector"}, boxes={"normal": (Region(0, 0, 9, 9),)})) == 1


def test_jitter_is_for_training_alone() -> None:
    taught, shown = samples(), samples(training=False)
    (_, first), _, _ = taught[0]
    assert torch.equal(first, taught[0][0][1])
    taught.epoch = 1
    assert not torch.equal(first, taught[0][0][1])
    assert torch.equal(shown[0][0][1], shown[0][0][1])
    shown.epoch = 1
    assert shown[0][0][1].tolist() == samples(training=False)[0][0][1].tolist()
    still = samples(prompts={"jitter": 0})
    assert torch.equal(still[0][0][1], shown[0][0][1])


def test_a_localisers_box_is_not_moved() -> None:
    boxes = {"one": (Region(29, 9, 51, 31),)}
    taught, shown = (
        samples(prompts={"source": "detector"}, boxes=boxes, training=training) for training in (True, False)
    )
    assert torch.equal(taught[0][0][1], shown[0][0][1])
    ((_, box), _, category) = samples(prompts={"source": "detector"}, boxes={"one": (Region(0, 35, 5, 40),)})[0]
    assert box.shape == (1, 4)
    assert category == 0


def test_points_are_told_with_the_box_or_without() -> None:
    (_, points, labels), _, _ = samples(training=False, prompts={"points": 2, "box": False})[0]
    assert labels.tolist() == [1, 1, -1, -1]
    assert torch.equal(points[2:], torch.zeros(2, 2))
    (_, both, told), _, _ = samples(training=False, prompts={"points": 2})[0]
    assert told.tolist() == [2, 3, 1, 1]
    assert torch.equal(both[2:], points[:2])


def test_a_jittered_box_beside_points_keeps_its_corners() -> None:
    taught, shown = (samples(prompts={"points": 1}, training=training)[0][0] for training in (True, False))
    (_, points, labels), (_, still, _) = taught, shown
    assert labels.tolist() == [2, 3, 1]
    assert (points[0] <= still[0]).all()
    assert (points[1] >= still[1]).all()
    assert not torch.equal(points[:2], still[:2])


@pytest.mark.parametrize("training", [True, False])
def test_nobody_tells_where_the_lesion_lies_in_a_localisers_box(training: bool) -> None:
    """The points are the box's own, its middle first, whether it is right or wrong."""
    about = {"source": "detector", "points": 1, "box": False}
    for box, middle in ((Region(28, 8, 51, 31), (39, 19)), (Region(0, 35, 5, 40), (2, 37))):
        (_, points, labels), _, _ = samples(training=training, prompts=about, boxes={"one": (box,)})[0]
        assert labels.tolist() == [1, -1, -1]
        wanted = [(middle[0] + 0.5) * 64 / 60 - 0.5, (middle[1] + 0.5) * 64 / 40 - 0.5]
        assert points[0].tolist() == pytest.approx(wanted, abs=1e-4)
    assert points_of_box(Region(10, 20, 13, 23), 1) == [Point(11, 21)]
    assert points_of_box(Region(10, 20, 13, 23), 0) == []


@torch.no_grad()
@pytest.mark.parametrize("prompts", [{}, {"points": 1}])
def test_batches_are_what_sam_takes(prompts: dict[str, Any]) -> None:
    for inputs, target, _ in DataLoader(samples(prompts=prompts), batch_size=2):
        assert tiny()(*inputs).shape == target.shape == (2, 1, 64, 64)


def test_an_embedding_stands_for_its_picture() -> None:
    seen: list[tuple[int, ...]] = []

    def embed(picture: np.ndarray) -> torch.Tensor:
        seen.append(picture.shape)
        return torch.zeros(16, 8, 8)

    (embedding, _), _, _ = samples(embed=embed)[0]
    assert embedding.shape == (16, 8, 8)
    assert seen == [(40, 60, 1)]


def test_inputs_follow_the_two_conventions() -> None:
    rng = np.random.default_rng(0)
    grey = cv2.GaussianBlur(rng.integers(20, 200, (300, 400), np.uint8), (0, 0), 3)[..., np.newaxis]
    tensor, placement = prepare(grey, MEDSAM_INPUT)
    assert tensor.shape == (3, 1024, 1024)
    assert (tensor.min(), tensor.max()) == (0, 1)
    assert (placement.width, placement.height) == (1024, 1024)
    tensor, placement = prepare(np.full((300, 400, 1), 255, np.uint8), SAM_INPUT)
    assert (placement.width, placement.height) == (1024, 768)
    np.testing.assert_allclose(
        tensor[:, 512, 512], (255 - np.array([123.675, 116.28, 103.53])) / [58.395, 57.12, 57.375], rtol=1e-5
    )
