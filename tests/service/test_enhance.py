"""What the original methods did to mammograms: contrast, breast mask, side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.enhance import adaptive_clahe, breast_mask, canonical_side, median_clahe
from service.errors import UnusableImage

Grey = NDArray[np.uint8]
TISSUE = Path(__file__).parents[2].parent / "shared/data/mammography_tissue_ddsm"
SIDES = st.integers(1, 40)


def mammogram(height: int = 240, width: int = 120, *, spread: float = 6, seed: int = 1) -> tuple[Grey, Grey]:
    """A breast at the left edge, (picture, truth): dark air with a bright label, fatty tissue, a dense core."""
    rng = np.random.default_rng(seed)
    truth: Grey = np.zeros((height, width), np.uint8)
    cv2.ellipse(truth, (0, height // 2), (width * 2 // 3, height // 3), 0, 0, 360, 1, -1)
    core: Grey = np.zeros_like(truth)
    cv2.ellipse(core, (width // 4, height // 2), (width // 6, height // 8), 0, 0, 360, 1, -1)
    picture = 5 + 50 * truth + 120 * core + rng.normal(0, spread, truth.shape) * truth
    picture[4:14, width - 20 : width - 6] = 250
    return np.clip(picture, 0, 255).astype(np.uint8), truth


def waves(depth: float, height: int = 240, width: int = 120) -> Grey:
    """Broad waves about 100 of that amplitude."""
    rows, columns = np.mgrid[:height, :width]
    return np.round(100 + depth * np.sin(rows / 9) * np.sin(columns / 9)).astype(np.uint8)


def overlap(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(((a > 0) & (b > 0)).sum() / max(1, ((a > 0) | (b > 0)).sum()))


def test_the_median_comes_before_clahe() -> None:
    picture, _ = mammogram()
    expected = cv2.createCLAHE(clipLimit=1.5, tileGridSize=(8, 8)).apply(cv2.medianBlur(picture, 3))
    np.testing.assert_array_equal(median_clahe(picture), expected)
    speck = np.zeros((64, 64), np.uint8)
    speck[30, 30] = 255
    assert len(np.unique(median_clahe(speck))) == 1


def test_a_higher_limit_gives_more_contrast() -> None:
    picture = waves(4)
    spreads = [median_clahe(picture, clip).std() for clip in (0.5, 1.5, 6.0)]
    assert picture.std() < spreads[0] < spreads[1] < spreads[2]
    assert not np.array_equal(median_clahe(picture), median_clahe(picture, tiles=(2, 2)))


def test_the_breast_is_found_with_its_fatty_tissue_and_never_the_air() -> None:
    picture, truth = mammogram()
    assert picture.mean() < 128
    assert overlap(breast_mask(picture), truth) > 0.95
    assert set(np.unique(breast_mask(picture))) == {0, 1}


def test_a_breast_that_fills_most_of_the_picture_is_not_inverted() -> None:
    picture = np.full((200, 100), 180, np.uint8)
    picture[:, 80:] = 4
    assert picture.mean() > 128
    assert overlap(breast_mask(picture), picture > 100) > 0.97


def test_label_and_film_frame_are_no_breast() -> None:
    picture, truth = mammogram()
    picture[:2] = picture[-2:] = 255
    picture[:, -2:] = 255
    assert overlap(breast_mask(picture), truth) > 0.95


@pytest.mark.parametrize("value", [0, 7, 255])
def test_nothing_is_found_where_nothing_stands_out(value: int) -> None:
    flat = np.full((50, 40), value, np.uint8)
    assert not breast_mask(flat).any()
    assert canonical_side(flat)[1] is False
    assert len(np.unique(adaptive_clahe(flat))) == 1


def test_the_chest_wall_goes_to_the_left() -> None:
    picture, _ = mammogram()
    same, flipped = canonical_side(picture)
    assert flipped is False
    np.testing.assert_array_equal(same, picture)
    back, flipped = canonical_side(picture[:, ::-1])
    assert flipped is True
    np.testing.assert_array_equal(back, picture)
    assert back.flags.c_contiguous


def test_adaptive_clahe_works_harder_on_a_flat_breast() -> None:
    def gain(depth: float) -> float:
        _, truth = mammogram()
        picture = np.where(truth > 0, waves(depth), 5).astype(np.uint8)
        picture[:3, -3:] = 255
        inner = cv2.erode(truth, np.ones((31, 31), np.uint8)) > 0
        return float(adaptive_clahe(picture)[inner].std() / picture[inner].std())

    assert gain(3) > 1.5 * gain(50)


def test_adaptive_clahe_leaves_the_air_and_uses_the_whole_range() -> None:
    picture, truth = mammogram()
    out = adaptive_clahe(picture)
    far = cv2.dilate(truth, np.ones((41, 41), np.uint8)) == 0
    far &= picture < 50
    assert np.ptp(out[far]) <= 1
    assert (out.min(), out.max()) == (0, 255)


@given(SIDES, SIDES, st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("method", [median_clahe, adaptive_clahe, breast_mask, lambda grey: canonical_side(grey)[0]])
def test_any_size_keeps_its_size_and_the_source(
    method: Callable[[Grey], Grey], height: int, width: int, seed: int
) -> None:
    grey = np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)
    before = grey.copy()
    out = method(grey)
    assert (out.shape, out.dtype) == ((height, width), np.uint8)
    np.testing.assert_array_equal(grey, before)


@given(st.integers(0, 2**32 - 1))
def test_mirroring_twice_or_a_mirrored_picture_ends_the_same(seed: int) -> None:
    picture, _ = mammogram(80, 60, seed=seed)
    np.testing.assert_array_equal(canonical_side(picture)[0], canonical_side(picture[:, ::-1])[0])
    assert canonical_side(canonical_side(picture)[0])[1] is False


@pytest.mark.parametrize("method", [median_clahe, adaptive_clahe, breast_mask, canonical_side])
@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint16), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), "u1")])
def test_another_type_is_refused(method: Callable[[Any], Any], wrong: Any) -> None:
    with pytest.raises(UnusableImage, match=r"Found .* of shape .*; wanted uint8 grey \(height, width\)"):
        method(wrong)


@pytest.mark.skipif(not TISSUE.is_dir(), reason="needs ../shared/data/mammography_tissue_ddsm")
def test_on_film_mammograms_the_mask_meets_the_experts_outline() -> None:
    overlaps = []
    for path in sorted((TISSUE / "images").glob("*.png"))[::6]:
        picture = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)
        truth = np.asarray(cv2.imread(str(TISSUE / "masks" / f"{path.stem}_LI.png"), cv2.IMREAD_GRAYSCALE)) > 64
        overlaps.append(overlap(breast_mask(picture), truth))
        assert canonical_side(picture)[1] == (truth[:, -10:].mean() > truth[:, :10].mean())
    assert np.mean(overlaps) > 0.9
