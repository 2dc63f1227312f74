"""Volumes measured as one: lesions through slices, borders in mm, and nothing where slices are missing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.training.scored import SIDE, case, square
from training.metrics.surface import hd95
from training.scores import MEAN, Score
from training.slices import place_of, volume_of
from training.volume_scores import Slice, Volumes, score_volume


def one(name: str, guess: np.ndarray, truth: np.ndarray, category: str = "tumour", **facts: float) -> Slice:
    spaced = replace(case(name, "p", category, spacing=(0.5, 0.5)), **facts)
    return Slice(spaced, guess.astype(np.uint8), truth.astype(np.uint8))


def volume(**facts: float) -> list[Slice]:
    """A lesion through two of three slices, outlined in the second of them alone and five pixels aside."""
    nothing = square(0, 0)
    return [
        one("v_z004", nothing, nothing, "normal", **facts),
        one("v_z005", nothing, square(10), **facts),
        one("v_z006", square(15), square(10), **facts),
    ]


@pytest.mark.parametrize(
    ("name", "wanted", "place"), [("Duke_153_z007", "Duke_153", 7), ("a_z1_z123", "a_z1", 123), ("v_z0", "v", 0)]
)
def test_slices_are_known_by_their_names(name: str, wanted: str, place: int) -> None:
    assert (volume_of(case(name)), place_of(case(name))) == (wanted, place)


@pytest.mark.parametrize("name", ["benign (1)", "a_z"])
def test_other_pictures_are_no_slices(name: str) -> None:
    assert volume_of(case(name)) == ""
    with pytest.raises(ValueError, match=r"Found case .*; wanted a slice, called VOLUME_zNUMBER\. Rename it"):
        place_of(case(name))


def test_a_volume_is_one_picture_in_three_dimensions() -> None:
    (row,) = score_volume(["lesion"], volume(slice_spacing=2.0))
    assert (row.image, row.volume, row.is_volume, row.group, row.category) == ("v", "v", True, "p", "tumour")
    assert (row.truth_px, row.mask_px, row.overlap_px, row.pixels) == (200, 100, 50, 3 * SIDE**2)
    assert row.dice == pytest.approx(2 * 50 / 300)
    assert (row.lesions, row.lesions_found, row.false_positives) == (1, 1, 0), "one lesion through two slices"
    guess, truth = (np.stack([getattr(part, side) > 0 for part in volume()]) for side in ("guess", "truth"))
    assert row.hd95_mm == pytest.approx(hd95(guess, truth, (2.0, 0.5, 0.5)))
    assert 2.0 < row.hd95_mm <= math.hypot(2.5, 2.0), "the missed slice is 2 mm away, its far side 2.5 mm aside"
    assert row.hd95_px == pytest.approx(hd95(guess, truth, (1, 1, 1)))
    assert 0 < row.surface_dice_2px < 1
    assert math.isnan(row.solidity)


def test_slices_may_come_in_any_order() -> None:
    forwards, backwards = (score_volume(["lesion"], some)[0] for some in (volume(), volume()[::-1]))
    assert forwards.hd95_px == backwards.hd95_px


def test_millimetres_need_the_space_between_slices() -> None:
    (row,) = score_volume(["lesion"], volume())
    assert math.isnan(row.hd95_mm)
    assert row.hd95_px > 0


def test_a_volume_with_a_slice_missing_has_no_borders() -> None:
    first, _, last = volume(slice_spacing=2.0)
    (row,) = score_volume(["lesion"], [first, last])
    assert all(math.isnan(getattr(row, name)) for name in ("hd95_px", "hd95_mm", "surface_dice_2px"))
    assert row.dice == 0.5


def test_slices_of_two_sizes_are_no_volume() -> None:
    odd = one("v_z007", np.zeros((9, 9), bool), np.zeros((9, 9), bool))
    with pytest.raises(ValueError, match=r"Found slices of \[\(9, 9\), \(40, 40\)\] in volume v; wanted one size"):
        score_volume(["lesion"], [*volume(), odd])


def test_a_volume_is_measured_when_its_last_slice_has_come() -> None:
    slices = [*volume(), one("w_z000", square(10), square(10)), one("picture", square(10), square(10))]
    gathered = Volumes.of([part.case for part in slices], ["lesion"])
    given: list[list[Score]] = [gathered.add(part) for part in slices]
    assert [[row.image for row in some] for some in given] == [[], [], ["v"], ["w"], []]
    assert given[2][0].dice == score_volume(["lesion"], volume())[0].dice


def test_several_labels_have_a_mean_in_volumes_too() -> None:
    rows = score_volume(["one", "two"], volume())
    assert [row.label for row in rows] == ["one", "two", MEAN]
    assert rows[2].dice == rows[0].dice, "the label that is nowhere does not count"
