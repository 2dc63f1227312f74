"""Where networks look: the whole picture, a localiser's boxes, true boxes; nothing is seen outside of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from service.image import Region
from tests.training import tiny_runs
from tests.training.tiny_runs import Runs
from training.choices import Regions
from training.datasets.busi import cases
from training.datasets.case import Case, read_grey
from training.evaluate import true_boxes
from training.looking import LESION, Subject
from training.phantoms.tiny import cases as phantoms
from training.predict import Predictor, predictor
from training.prompts import points_inside
from training.state import build_network


@pytest.fixture(scope="module")
def lesion(small_busi: Path) -> Case:
    return next(case for case in cases(small_busi) if case.category == "malignant")


@pytest.fixture(scope="module")
def normal(small_busi: Path) -> Case:
    return next(case for case in cases(small_busi) if case.category == "normal")


def subject(run: Path, regions: Regions, boxes: dict[str, list[Region]] | None = None) -> Subject:
    return Subject(predictor(run, device="cpu"), regions, boxes or {})


@pytest.mark.parametrize("name", ["whole", "localiser"])
def test_whole_pictures_are_seen_as_the_predictor_sees_them(name: str, runs: Runs, lesion: Case) -> None:
    guess = subject(getattr(runs, name), Regions.none).guess(lesion)
    wanted = predictor(getattr(runs, name), device="cpu")(lesion.read_image())[0]
    assert np.array_equal(guess.foreground, wanted)
    assert np.array_equal(guess.labels, wanted > 0.5)
    assert np.array_equal(guess.truth, lesion.read_mask())
    assert guess.boxes is None


def test_a_network_of_crops_may_look_at_the_whole_and_one_of_the_whole_at_crops(runs: Runs, lesion: Case) -> None:
    everywhere = subject(runs.crop, Regions.none).guess(lesion)
    assert (everywhere.foreground > 0).all(), "every pixel was seen"
    boxes = true_boxes(lesion.read_mask())
    within = subject(runs.whole, Regions.truth).guess(lesion)
    assert within.boxes == boxes
    outside = np.ones(within.truth.shape, bool)
    outside[boxes[0].slices[1:]] = False
    assert not within.foreground[outside & ~_grown(boxes[0], outside.shape)].any()
    assert within.foreground[boxes[0].slices[1:]].any()


def _grown(box: Region, shape: tuple[int, ...]) -> np.ndarray:
    """True in the box with its own side around it on each side: no look reaches further."""
    side = max(box.width, box.height)
    mask = np.zeros(shape, bool)
    mask[max(0, box.top - side) : box.bottom + side, max(0, box.left - side) : box.right + side] = True
    return mask


def test_behind_a_detector_its_boxes_count_and_none_means_nothing(runs: Runs, lesion: Case) -> None:
    (box, *_) = true_boxes(lesion.read_mask())
    there = subject(runs.crop, Regions.detector, {lesion.name: [box]}).guess(lesion)
    truth = subject(runs.crop, Regions.truth).guess(lesion)
    assert np.array_equal(there.labels, truth.labels)
    nowhere = subject(runs.crop, Regions.detector, {lesion.name: []}).guess(lesion)
    assert not nowhere.labels.any()
    assert not nowhere.foreground.any()


def test_a_case_that_the_detector_never_saw_is_no_miss(runs: Runs, lesion: Case) -> None:
    with pytest.raises(ValueError, match=r"Found no boxes for malignant .*; wanted a localiser's, an empty list"):
        subject(runs.crop, Regions.detector).guess(lesion)


def test_true_boxes_of_a_normal_picture_are_none(runs: Runs, normal: Case) -> None:
    guess = subject(runs.crop, Regions.truth).guess(normal)
    assert not guess.labels.any()
    assert guess.boxes == ()


def test_a_classifier_has_no_masks_to_measure(lesion: Case) -> None:
    recipe = tiny_runs.recipe("classifier", "classify")
    network = Predictor(recipe, build_network(recipe).eval(), torch.device("cpu"))
    with pytest.raises(ValueError, match="Found task classify; wanted one that outlines"):
        Subject(network, Regions.none, {}).guess(lesion)


def test_classes_are_looked_for_where_the_network_looks(lesion: Case, normal: Case) -> None:
    network = {"path": "models.compact_unet.CompactClassifier", "arguments": {"widths": [4, 8, 8]}}
    recipe = tiny_runs.recipe("classifier", "classify", network=network)
    classifier = Predictor(recipe, build_network(recipe).eval(), torch.device("cpu"))
    image, boxes = lesion.read_image(), true_boxes(lesion.read_mask())
    at_truth = Subject(classifier, Regions.truth, {}).classes(lesion)
    assert at_truth is not None
    np.testing.assert_array_equal(at_truth, classifier(image, boxes=boxes))
    everywhere = Subject(classifier, Regions.none, {}).classes(lesion)
    assert not np.array_equal(everywhere, at_truth)
    behind = {lesion.name: list(boxes), normal.name: []}
    np.testing.assert_array_equal(Subject(classifier, Regions.detector, behind).classes(lesion), at_truth)
    assert Subject(classifier, Regions.detector, behind).classes(normal) is None
    assert Subject(classifier, Regions.truth, {}).classes(normal) is not None, "shown whole"


def test_what_outlines_has_no_classes(runs: Runs, lesion: Case) -> None:
    with pytest.raises(ValueError, match="Found task whole; wanted classify. Measure what outlines by its masks"):
        subject(runs.whole, Regions.none).classes(lesion)


def test_several_labels_are_decided_together_and_ignored_pixels_are_nothing(lesion: Case) -> None:
    recipe = tiny_runs.recipe(
        "labels",
        "labels",
        classes=["background", "rim", "inside"],
        network={"path": "models.compact_unet.CompactUNet", "arguments": {"widths": [4, 8, 8], "classes": 3}},
    )
    network = Predictor(recipe, build_network(recipe).eval(), torch.device("cpu"))
    labelled = replace(lesion, mask_reader=lambda case: _three_and_ignored())
    one = Subject(network, Regions.none, {})
    guess = one.guess(labelled)
    assert one.names == ("rim", "inside")
    assert guess.truth.max() == 2
    ignored = _three_and_ignored() == 255
    assert not guess.truth[ignored].any()
    assert not guess.labels[ignored].any()
    probability = network(lesion.read_image())
    assert np.array_equal(guess.labels[~ignored], probability.argmax(axis=0)[~ignored])
    assert guess.foreground == pytest.approx(1 - probability[0], abs=1e-6)


def _three_and_ignored() -> np.ndarray:
    mask = np.zeros((112, 144), np.uint8)
    mask[20:60, 20:60], mask[30:50, 30:50], mask[:10] = 1, 2, 255
    return mask


def test_one_label_is_called_a_lesion(runs: Runs) -> None:
    assert subject(runs.whole, Regions.none).names == (LESION,)


SEEN = {"size": [64, 64], "channels": 3}


def test_a_prompted_network_is_told_boxes_even_of_the_whole_picture(lesion: Case) -> None:
    network = {"path": "models.sam.tiny", "arguments": {}}
    recipe = tiny_runs.recipe("sam", "prompt", network=network, input=SEEN)
    prompted = Predictor(recipe, build_network(recipe).eval(), torch.device("cpu"))
    everywhere = Subject(prompted, Regions.none, {}).guess(lesion)
    assert everywhere.boxes == (Region(0, 0, 144, 112),)
    assert np.array_equal(everywhere.foreground, prompted(lesion.read_image(), boxes=[(0, 0, 144, 112)])[0])
    truth = Subject(prompted, Regions.truth, {}).guess(lesion)
    assert tuple(truth.boxes or ()) == true_boxes(lesion.read_mask())
    assert not np.array_equal(truth.foreground, everywhere.foreground)


def prompted_by(source: str, points: int) -> Predictor:
    network = {"path": "models.sam.tiny", "arguments": {}}
    prompts = {"source": source, "points": points, "box": False}
    recipe = tiny_runs.recipe("sam", "prompt", network=network, input=SEEN, prompts=prompts)
    return Predictor(recipe, build_network(recipe).eval(), torch.device("cpu"))


def two_lesions(lesion: Case) -> Case:
    mask = np.zeros((112, 144), np.uint8)
    mask[20:40, 20:40] = mask[60:100, 60:120] = 1
    mask[2, 2] = 1
    return replace(lesion, mask_reader=lambda case: mask)


def test_a_network_taught_by_points_is_measured_by_points_inside_the_truth(lesion: Case) -> None:
    """The larger lesion, then the other; a speck of BUSI is none."""
    network, case = prompted_by("components", 1), two_lesions(lesion)
    guess = Subject(network, Regions.truth, {}).guess(case)
    boxes = [Region(60, 60, 120, 100), Region(20, 20, 40, 40)]
    assert guess.boxes == boxes
    points = [points_inside(part, 1) for part in (box_mask(boxes[0]), box_mask(boxes[1]))]
    wanted = network(case.read_image(), boxes=boxes, points=points)
    np.testing.assert_array_equal(guess.probability, wanted)
    # Behind a detector the points are those of its boxes, since nobody knows the mask.
    found = [Region(50, 50, 110, 90)]
    behind = Subject(network, Regions.detector, {case.name: found}).guess(case)
    np.testing.assert_array_equal(behind.probability, network(case.read_image(), boxes=found))


def test_one_prompt_may_mean_all_lesions(lesion: Case) -> None:
    guess = Subject(prompted_by("enclosing", 0), Regions.truth, {}).guess(two_lesions(lesion))
    assert guess.boxes == [Region(2, 2, 120, 100)]


def box_mask(box: Region) -> np.ndarray:
    mask = np.zeros((112, 144), np.uint8)
    mask[box.slices[1:]] = 1
    return mask


def test_depth_goes_with_the_picture(tmp_path: Path) -> None:
    (case,) = phantoms(tmp_path, kind="photograph_merged", count=1)
    classes = ["background", "body", "breast", "nipple"]
    network = {"path": "models.sam_depth_fusion.tiny", "arguments": {"classes": 4}}
    recipe = tiny_runs.recipe("fused", "fuse", network=network, input=SEEN, classes=classes)
    fused = Predictor(recipe, build_network(recipe).eval(), torch.device("cpu"))
    guess = Subject(fused, Regions.none, {}).guess(case)
    wanted = fused(case.read_image(), depth=read_grey(case.inputs["depth"]))
    assert np.array_equal(guess.labels, wanted.argmax(axis=0))
    assert np.array_equal(guess.truth, case.read_mask())
