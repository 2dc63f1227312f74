"""What a network is shown of a case: regions of a localiser, label maps, depth, categories, deep pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from service.image import Region, crop
from service.preprocess import prepare
from service.stages import looked_at
from tests.training.test_samples import SIZE, loaded, recipe
from training.datasets.busi import SLIVER
from training.datasets.case import Case
from training.regions import lesion_boxes
from training.samples import Loaded, Samples, load
from training.tasks import AMBIGUOUS, MISSED, SILENT

# ---- regions --------------------------------------------------------------------------------------------------------


def test_a_localisers_boxes_are_looked_at_in_validation_and_in_their_share_of_training() -> None:
    (one,) = loaded(["benign"])
    found = {one.case.name: (Region(60, 50, 100, 90), Region(0, 0, 30, 30))}
    plain = {"look": {}, "augment": {"scale": [1, 1], "stretch": 1, "shift": 0, "rotation": 0, "photometric": 0}}
    always = recipe("segment", boxes_share=1.0, negatives=0.0, **plain)
    samples = Samples([one], always, training=True, boxes=found)
    seen = set()
    for epoch in range(12):
        samples.epoch = epoch
        seen.add(samples._region(one, np.random.default_rng(epoch)))
    assert seen == set(found[one.case.name])
    never = Samples([one], recipe("segment", boxes_share=0.0, negatives=0.0, **plain), training=True, boxes=found)
    assert not {never._region(one, np.random.default_rng(epoch)) for epoch in range(12)} & seen
    validation = Samples([one], always, training=False, boxes=found)
    wanted, _ = prepare(crop(one.image[None], Region(60, 50, 100, 90))[0][..., None], always.input)
    assert np.array_equal(validation[0][0].numpy(), wanted)


def test_where_a_localiser_found_nothing_the_true_box_is_looked_at() -> None:
    (one,) = loaded(["benign"])
    block = recipe("segment", look={})
    samples = Samples([one], block, training=False, boxes={one.case.name: ()})
    assert samples._region(one, np.random.default_rng(0)) == lesion_boxes(one.mask)[0]


@pytest.mark.parametrize(("task", "known"), [("segment", 1), ("classify", 0)])
def test_validation_says_what_the_localiser_decided(task: str, known: int) -> None:
    lesion, normal = loaded(["benign", "normal"])
    (box,) = lesion_boxes(lesion.mask)
    away = Region(0, 0, 9, 9)
    assert away.overlap(box.grown(0.5, lesion.grid, 48).squared()) is None, "these phantoms leave the corner free"
    block = recipe(task, look={})

    def category(one: Loaded, found: dict[str, tuple[Region, ...]], *, training: bool = False) -> int:
        return int(Samples([one], block, training=training, boxes=found)[0][2])

    name = lesion.case.name
    assert category(lesion, {name: (box,)}) == known
    assert category(lesion, {name: ()}) == category(lesion, {name: (away,)}) == MISSED
    assert category(lesion, {}) == category(lesion, {"another": ()}) == known, "it never looked at this picture"
    assert category(normal, {normal.case.name: ()}) == SILENT
    assert category(normal, {normal.case.name: (away,)}) == (0 if task == "segment" else 2)
    taught = recipe(task, look={}, negatives=0.0)
    assert int(Samples([lesion], taught, training=True, boxes={name: ()})[0][2]) == known, "in training it may learn"


def test_an_ambiguous_lesion_stays_so_whatever_the_localiser_says() -> None:
    (one,) = loaded(["benign"], ambiguous=True)
    samples = Samples([one], recipe("classify"), training=False, boxes={one.case.name: ()})
    assert int(samples[0][2]) == AMBIGUOUS


def test_how_small_a_sliver_is_none_depends_on_the_data_set() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[0, 0] = 1
    one = _labelled(mask, mask)
    busi = replace(one, case=replace(one.case, sliver=SLIVER))
    for case, present in ((one, 1), (busi, 0)):
        assert int(Samples([case], recipe("whole"), training=False)[0][2]) == present


def test_masked_out_everything_but_the_region_is_black() -> None:
    (one,) = loaded(["malignant"])
    block = recipe(
        "segment", region="mask_out", look={"margin": 0.1}, input={"size": [*SIZE], "window": {"kind": "full"}}
    )
    image, target, _ = Samples([one], block, training=False)[0]
    region = looked_at(lesion_boxes(one.mask)[0], block.look, one.grid)
    outside = np.ones(SIZE, bool)
    outside[region.slices[1:]] = False
    assert (image.numpy()[0][outside] == 0).all()
    assert np.array_equal(image.numpy()[0][~outside], (one.image / 255).astype(np.float32)[~outside])
    assert np.array_equal(target.numpy()[0] > 0.5, one.mask > 0)


# ---- label maps, depth, categories ----------------------------------------------------------------------------------


def _labelled(image: np.ndarray, mask: np.ndarray, category: str = "", **inputs: np.ndarray) -> Loaded:
    return Loaded(Case("one", Path("none.png"), (), category, "one", 1), image, mask, inputs)


def _torso() -> Loaded:
    """Left of the middle label 1, right of it 2, in a picture twice as wide as high."""
    mask = np.zeros((40, 80), np.uint8)
    mask[10:30, 10:30], mask[10:30, 50:70] = 1, 2
    image = np.stack([mask * 50, mask * 100, mask * 20], axis=-1).astype(np.uint8)
    return _labelled(image, mask, depth=np.full((40, 80), 128, np.uint8))


CLASSES_OF_TORSO = {"classes": ["background", "left", "right"], "input": {"size": [32, 32], "channels": 3}}
FLIPPED = {"scale": [1, 1], "stretch": 1, "shift": 0, "rotation": 0, "photometric": 0, "burn_in": 0, "flips": [1, 0]}


def test_a_label_map_is_letterboxed_as_its_picture_is() -> None:
    spec = {"size": [32, 32], "channels": 3, "window": {"kind": "full"}, "letterbox": True}
    image, target, present = Samples(
        [_torso()], recipe("labels", **{**CLASSES_OF_TORSO, "input": spec}), training=False
    )[0]
    assert image.shape == (3, 32, 32)
    assert target.shape == (32, 32)
    assert target.dtype == torch.int64
    assert int(present) == 1
    # The picture lies in rows 8 to 24; around it there is nothing to see and background.
    assert (target[:8] == 0).all()
    assert (target[24:] == 0).all()
    assert np.array_equal(image[0].numpy() > 0, target.numpy() > 0)


@pytest.mark.parametrize(("swaps", "left"), [([], 2), ([[1, 2]], 1)])
def test_a_mirrored_picture_swaps_left_and_right(swaps: list[list[int]], left: int) -> None:
    block = recipe("labels", **CLASSES_OF_TORSO, swaps=swaps, augment=FLIPPED)
    _, target, _ = Samples([_torso()], block, training=True)[0]
    assert set(target[:, :16].unique().tolist()) == {0, left}
    assert set(target[:, 16:].unique().tolist()) == {0, 3 - left}


def test_depth_is_a_channel_behind_the_colours_and_a_target() -> None:
    block = recipe("fuse", **CLASSES_OF_TORSO)
    for training in (True, False):
        image, (labels, depth), _ = Samples([_torso()], block, training=training)[0]
        assert image.shape == (4, 32, 32)
        assert image.shape[0] == block.channels
        assert torch.equal(image[3:], depth)
        assert labels.shape == (32, 32)
    assert torch.allclose(depth, torch.tensor(128 / 255))


def test_a_photograph_without_depth_is_named() -> None:
    torso = _torso()
    without = _labelled(torso.image, torso.mask)
    with pytest.raises(ValueError, match="Found no depth of case one; wanted a file beside none.png. Make it with"):
        Samples([without], recipe("fuse", **CLASSES_OF_TORSO), training=False)[0]


def test_the_whole_picture_is_of_its_category_whatever_is_seen_of_the_lesion() -> None:
    blank = _labelled(np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8), "malignant")
    whole = recipe("classify", region="whole")
    assert int(Samples([blank], whole, training=False)[0][2]) == 1
    assert int(Samples([blank], recipe("classify"), training=False)[0][2]) == 2


def test_a_crop_without_lesion_does_not_count_where_there_is_no_such_class() -> None:
    blank = _labelled(np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8), "malignant")
    two = recipe("classify", classes=["benign", "malignant"])
    assert int(Samples([blank], two, training=False)[0][2]) == -1


def test_an_unknown_category_is_named() -> None:
    odd = _labelled(np.zeros((40, 40), np.uint8), np.ones((40, 40), np.uint8), "cyst")
    with pytest.raises(ValueError, match="Found category 'cyst' of case one; wanted one of benign, malignant, normal"):
        Samples([odd], recipe("classify"), training=False)[0]


def test_a_mask_of_another_size_than_its_picture_is_refused(tmp_path: Path) -> None:
    for name, size in (("image", (40, 50)), ("mask", (40, 49))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros(size, np.uint8))
    case = Case("one", tmp_path / "image.png", (tmp_path / "mask.png",), "", "one", 1)
    with pytest.raises(ValueError, match=r"Found a mask of \(40, 49\) for .*image.png of \(40, 50\); wanted one size"):
        load([case])


def test_deep_pictures_are_seen_at_their_depth_and_varied_in_eight_bits() -> None:
    ramp = np.linspace(0, 60000, 40 * 40).reshape(40, 40)
    for kind in (np.uint16, np.float32):
        one = _labelled(ramp.astype(kind), np.zeros((40, 40), np.uint8))
        image, _, _ = Samples([one], recipe("whole"), training=True)[0]
        assert image.isfinite().all()
        wanted, _ = prepare(one.image[..., None], recipe("whole").input)
        assert np.array_equal(Samples([one], recipe("whole"), training=False)[0][0].numpy(), wanted)


def test_ignored_pixels_are_background_where_one_lesion_counts() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[:20], mask[20:] = 255, 3
    one = _labelled(np.zeros((40, 40), np.uint8), mask)
    _, target, _ = Samples([one], recipe("whole", input={"size": [40, 40]}), training=False)[0]
    assert target[0, :20].max() == 0
    assert target[0, 20:].min() == 1
