"""Lesions moved to other tissue: truth goes along, nothing else changes, no seam is left."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.image import Region
from tests.training.test_samples import loaded, recipe
from training import transplant
from training.phantoms.ultrasound import ultrasound_phantom
from training.regions import lesion_boxes
from training.samples import Samples

SIZE = (120, 160)
LESION = ultrasound_phantom(seed=4, size=SIZE, kind="malignant")
TISSUE = ultrasound_phantom(seed=9, size=SIZE, lesions=0)


def _graft() -> transplant.Graft:
    graft = transplant.cut(LESION.image, LESION.mask)
    assert graft is not None
    return graft


def test_a_graft_is_the_lesion_with_its_rim() -> None:
    graft = _graft()
    assert graft.mask.sum() == LESION.mask.sum()
    assert graft.image.shape == graft.mask.shape
    rows = np.flatnonzero(LESION.mask.any(axis=1))
    assert 0 <= graft.depth <= rows[0] / SIZE[0]


def test_a_picture_without_a_lesion_gives_no_graft() -> None:
    assert transplant.cut(TISSUE.image, TISSUE.mask) is None
    speck = np.zeros(SIZE, np.uint8)
    speck[5:7, 5:7] = 1
    assert transplant.cut(TISSUE.image, speck) is None


@given(st.integers(0, 2**32 - 1))
def test_what_is_pasted_lies_where_the_mask_says(seed: int) -> None:
    image, mask = transplant.paste(TISSUE.image, TISSUE.mask, _graft(), np.random.default_rng(seed))
    assert image.dtype == mask.dtype == np.uint8
    assert image.shape == mask.shape == SIZE
    changed = image != TISSUE.image
    assert mask.any() == changed.any()
    assert not changed[_far_from(mask)].any()


def _far_from(mask: np.ndarray) -> np.ndarray:
    """True further from the lesion than its own size: no rim reaches there."""
    far = np.ones(mask.shape, bool)
    if mask.any():
        grid = Region(0, 0, mask.shape[1], mask.shape[0])
        far[lesion_boxes(mask)[0].grown(1.0, grid).slices[1:]] = False
    return far


def test_a_lesion_is_never_pasted_upon_another() -> None:
    full = np.ones(SIZE, np.uint8)
    image, mask = transplant.paste(LESION.image, full, _graft(), np.random.default_rng(0))
    assert image is LESION.image
    assert mask is full


def test_nothing_is_pasted_outside_the_scanned_area() -> None:
    black = np.zeros(SIZE, np.uint8)
    image, mask = transplant.paste(black, black, _graft(), np.random.default_rng(0))
    assert not image.any()
    assert not mask.any()


@given(st.integers(0, 2**32 - 1))
def test_a_soft_deformation_moves_truth_with_the_picture(seed: int) -> None:
    field = transplant.deformation(SIZE, np.random.default_rng(seed))
    moved = field.warp(LESION.mask, labels=True)
    assert set(np.unique(moved)) <= {0, 1}
    # The picture of the mask itself goes the same way: half grey lies within a pixel of the label's edge.
    grey = field.warp((LESION.mask * 200).astype(np.uint8))
    assert np.abs((grey > 100).astype(int) - moved).mean() < 0.03


def test_only_grey_pictures_in_eight_bits_give_lesions() -> None:
    with pytest.raises(ValueError, match=r"Found a picture of uint16 .* wanted grey in 8 bits.*Set augment.paste to 0"):
        transplant.grafts([(LESION.image.astype(np.uint16), LESION.mask)])


def test_paste_is_for_lesions_only() -> None:
    with pytest.raises(ValidationError, match="augment.paste is for lesions, task classify has others: wanted 0"):
        recipe("classify", augment={"paste": 0.5})


def test_training_sees_pasted_lesions_and_says_so_in_the_target() -> None:
    still = {"scale": [1, 1], "stretch": 1, "shift": 0, "rotation": 0, "echo": 0, "photometric": 0, "burn_in": 0}
    pasting = recipe("localise", augment=still | {"paste": 1.0, "elastic": 0.5})
    samples = Samples(loaded(("malignant", "normal")), pasting, training=True)
    seen = []
    for samples.epoch in range(12):
        _, target, category = samples[1]
        assert bool(category) == bool(target.mean() > 0.001)
        seen.append(int(category))
    assert 1 in seen


def test_nothing_is_pasted_into_validation() -> None:
    cases = loaded(("malignant", "normal"))
    for paste in (0.0, 1.0):
        samples = Samples(cases, recipe("localise", augment={"paste": paste, "elastic": paste}), training=False)
        assert not samples[1][1].any()
