"""Outlines from boxes: bright shapes are followed, what does not stand out becomes an ellipse, boxes stay the limit."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.image import Region
from tests.training.datasets.tiny_files import write
from training.datasets import cbis_ddsm
from training.datasets.masks import WrongSize
from training.datasets.outlines import Outlined, grown, inscribed

HEADER = "image,patient,side,view,pathology,boxes_ltrb_800,fold\n"


def mass(centre: tuple[int, int], axes: tuple[int, int], angle: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """A bright ellipse on noisy grey, and its truth, both (120, 100)."""
    truth = cv2.ellipse(np.zeros((120, 100), np.uint8), centre, axes, angle, 0, 360, 1, -1)
    noise = np.random.default_rng(1).normal(0, 4, truth.shape)
    return np.clip(90 + 50.0 * truth + noise, 0, 255).astype(np.uint8), truth


def box_of(truth: np.ndarray) -> Region:
    x, y, width, height = cv2.boundingRect(truth)
    return Region(x, y, x + width, y + height)


@pytest.mark.parametrize(("axes", "angle"), [((24, 16), 0), ((26, 14), 30), ((18, 18), 0), ((22, 15), 120)])
def test_a_mass_that_stands_out_is_followed(axes: tuple[int, int], angle: float) -> None:
    picture, truth = mass((50, 60), axes, angle)
    box = box_of(truth)
    found, wanted = grown(picture, box).astype(bool), truth[box.slices[1:]].astype(bool)
    assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.93


def test_where_nothing_stands_out_the_ellipse_is_drawn() -> None:
    plain, box = np.full((120, 100), 80, np.uint8), Region(20, 30, 60, 80)
    assert np.array_equal(grown(plain, box), inscribed(box))
    dark = 255 - mass((50, 60), (20, 20))[0]
    assert np.array_equal(grown(dark, Region(30, 40, 71, 81)), inscribed(Region(30, 40, 71, 81)))


def test_the_ellipse_touches_the_four_sides_and_fills_pi_of_four() -> None:
    shape = inscribed(Region(0, 0, 60, 90))
    assert shape.any(axis=0).all()
    assert shape.any(axis=1).all()
    assert shape.mean() == pytest.approx(np.pi / 4, abs=0.01)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 95), st.integers(0, 115), st.integers(1, 60), st.integers(1, 60), st.integers(0, 9))
def test_any_box_has_a_shape_of_its_size(left: int, top: int, width: int, height: int, seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (120, 100)).astype(np.uint8)
    box = Region(left, top, left + width, top + height).clipped(Region(0, 0, 100, 120))
    shape = grown(picture, box)
    assert shape.shape == (box.height, box.width)
    assert shape.any()
    assert shape.max() == 1


@pytest.fixture
def squashed(tmp_path: Path) -> Path:
    """One film of 800 x 800 with a bright disc in its box."""
    film = cv2.circle(np.full((800, 800), 60, np.uint8), (200, 400), 50, 190, -1)
    write(tmp_path / "a.png", film)
    (tmp_path / "index.csv").write_text(f'{HEADER}a.png,00001,LEFT,CC,BENIGN,"[[150, 350, 251, 451]]",2\n')
    return tmp_path


def test_the_squash_is_undone_for_picture_and_outline(squashed: Path) -> None:
    (case,) = cbis_ddsm.cases(squashed, outline="grown", aspect=0.5)
    picture, outline = case.read_image(), case.read_mask()
    assert picture.shape == outline.shape == (800, 400)
    assert ((picture > 125) == outline.astype(bool))[340:460, 70:130].mean() > 0.97
    assert abs(box_of(outline).width - 51) <= 2
    assert abs(box_of(outline).height - 101) <= 4
    (boxed,) = cbis_ddsm.cases(squashed, aspect=0.5)
    assert boxed.read_mask().sum() == 101 * 51
    assert inscribed(Region(0, 0, 51, 101)).sum() < 101 * 51


def test_what_makes_no_outline_is_said(squashed: Path) -> None:
    with pytest.raises(ValueError, match="Found outline 'star'; wanted one of box, ellipse, grown. Mend the recipe."):
        cbis_ddsm.cases(squashed, outline="star")
    with pytest.raises(ValueError, match="Found aspect 7; wanted width / height, 0.25 to 1. Mend the recipe."):
        cbis_ddsm.cases(squashed, aspect=7)
    (case,) = cbis_ddsm.cases(squashed)
    with pytest.raises(WrongSize, match=r"Found 800 x 800 \(height x width\) in .*a.png; wanted 700 x 800 as its"):
        Outlined(((1, 2, 30, 40),), (700, 800), 400, "ellipse")(case)
