"""Simulated findings in given mammograms: exact, physical, and never where they must not be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.phantoms.mammogram_findings import MARGINS, ClusterRanges, Margin, MassRanges, cluster, mass
from training.phantoms.mammogram_insert import Inserted, Ranges, Where, insert, response_of

SIZE = (240, 160)
REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "mammography_tissue_ddsm"
PLAIN = MassRanges(diameter=(20, 40), unit="px", texture=(0, 0), displaced=(0, 0))
CLUSTER = ClusterRanges(diameter=(15, 30), unit="px")


def film(seed: int = 0) -> np.ndarray:
    """Half an ellipse of uneven tissue on dark air."""
    rng = np.random.default_rng(seed)
    breast = np.zeros(SIZE, np.uint8)
    cv2.ellipse(breast, (0, SIZE[0] // 2), (130, 100), 0, 0, 360, 1, -1)
    tissue = 110 + cv2.GaussianBlur(rng.normal(0, 120, SIZE), (0, 0), 4) + rng.normal(0, 2, SIZE)
    return np.where(breast > 0, np.clip(tissue, 60, 200), 6).astype(np.uint8)


BREAST = film() > 20


def put(ranges: Ranges = PLAIN, seed: int = 0, **where: object) -> Inserted:
    return insert(film(), np.random.default_rng(seed), ranges, Where(**{"breast": BREAST, **where}))  # type: ignore[arg-type]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_nothing_changes_outside_the_support_and_the_mask_lies_in_it(seed: int, calcifications: bool) -> None:
    before = film()
    found = put(CLUSTER if calcifications else PLAIN, seed)
    assert found.image.dtype == before.dtype
    assert np.array_equal(found.image[~found.support], before[~found.support])
    assert (found.support | (found.mask == 0)).all()
    assert (found.region >= found.mask).all()
    assert BREAST[found.support].all()
    assert found.mask.any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_what_is_forbidden_is_never_touched(seed: int, calcifications: bool) -> None:
    forbidden = np.zeros(SIZE, np.uint8)
    forbidden[:120] = 1
    found = put(CLUSTER if calcifications else PLAIN, seed, forbidden=forbidden)
    assert not (found.support & (forbidden > 0)).any()
    assert not found.region[:120].any()


def test_equal_seeds_give_equal_pixels_and_the_given_picture_stays() -> None:
    picture = film()
    one, two = (insert(picture, np.random.default_rng(4), PLAIN) for _ in range(2))
    assert np.array_equal(picture, film())
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.mask, two.mask)
    assert not np.array_equal(one.image, insert(picture, np.random.default_rng(5), PLAIN).image)


def test_a_mass_multiplies_the_exposure_whatever_lies_behind_it() -> None:
    """On two even backgrounds the same mass adds the same attenuation, up to rounding to 16 bits."""
    added = []
    for level in (20_000, 40_000):
        picture = np.full(SIZE, level, np.uint16)
        picture[0, 0] = 65_535
        found = insert(picture, np.random.default_rng(3), PLAIN, Where(breast=np.ones(SIZE, bool)))
        response = response_of(picture)
        added.append(response.attenuation(found.image) - response.attenuation(picture))
        assert float(added[-1].max()) == pytest.approx(found.contrast, abs=2e-3)
    assert np.abs(added[0] - added[1]).max() < 2e-3


def test_contrast_is_less_where_the_film_is_nearly_white() -> None:
    ranges = replace(PLAIN, contrast=(0.6, 0.6))
    gains = []
    for level in (120, 240):
        picture = np.full(SIZE, level, np.uint8)
        found = insert(picture, np.random.default_rng(0), ranges, Where(breast=np.ones(SIZE, bool)))
        gains.append(int(found.image.max()) - level)
    assert gains[0] > 25 > 12 > gains[1] > 0


def test_the_mask_ends_where_the_mass_has_a_quarter_of_its_peak() -> None:
    picture = np.full(SIZE, 100, np.uint8)
    ranges = replace(PLAIN, contrast=(0.8, 0.8), margins=("circumscribed",))
    found = insert(picture, np.random.default_rng(2), ranges, Where(breast=np.ones(SIZE, bool)))
    response = response_of(picture)
    added = response.attenuation(found.image) - response.attenuation(picture)
    assert np.mean((added >= 0.25 * 0.8) == (found.mask > 0)) > 0.998


def test_the_added_noise_has_the_grain_of_the_picture() -> None:
    """In an even grainy picture the grain inside the mass stays near that outside."""
    rng = np.random.default_rng(0)
    picture = np.clip(rng.normal(110, 6, SIZE), 0, 255).astype(np.uint8)
    ranges = replace(PLAIN, contrast=(0.5, 0.5), margins=("circumscribed",), diameter=(60, 60), thickness=(0.35, 0.35))
    found = insert(picture, rng, ranges, Where(breast=np.ones(SIZE, bool)))
    fine = found.image.astype(float) - cv2.GaussianBlur(found.image.astype(float), (0, 0), 1.5)
    inside = cv2.erode(found.mask, np.ones((15, 15), np.uint8)) > 0
    assert 0.9 < fine[inside].std() / fine[~found.support].std() < 1.5


@pytest.mark.parametrize("margin", MARGINS)
def test_masses_are_as_large_and_as_strong_as_stated(margin: Margin) -> None:
    rng = np.random.default_rng(1)
    ranges = MassRanges(margins=(margin,))
    for _ in range(8):
        found = mass(50, ranges, rng)
        diameter = 2 * np.sqrt(found.mask.sum() / np.pi)
        assert 0.75 * 50 < diameter < 1.45 * 50
        assert found.kind == margin
        assert ranges.contrast[0] <= found.contrast <= ranges.contrast[1]
        assert ranges.displaced[0] <= found.displaced <= ranges.displaced[1]
        assert found.share.max() == 1
        assert found.share.shape == found.mask.shape
        assert not found.share[[0, -1]].any()


def test_margins_differ() -> None:
    """Solidity falls from circumscribed to spiculated; ill-defined edges are the least steep."""

    def mean(margin: Margin, what: str) -> float:
        rng = np.random.default_rng(7)
        values = []
        for _ in range(12):
            found = mass(60, MassRanges(margins=(margin,), texture=(0, 0)), rng)
            outline = cv2.findContours(found.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0]
            solid = cv2.contourArea(outline) / cv2.contourArea(cv2.convexHull(outline))
            halo = (found.share > 0).sum() / found.mask.sum()
            values.append(solid if what == "solid" else halo)
        return float(np.mean(values))

    assert mean("circumscribed", "solid") > 0.96 > 0.95 > mean("spiculated", "solid")
    assert mean("lobulated", "solid") < mean("circumscribed", "solid")
    assert mean("ill_defined", "halo") > mean("circumscribed", "halo") + 0.1
    assert mean("spiculated", "halo") > mean("circumscribed", "halo") + 0.1


def test_a_cluster_has_as_many_small_grains_as_stated() -> None:
    rng = np.random.default_rng(0)
    ranges = ClusterRanges(count=(9, 9), size=(0.001, 0.002))
    found = cluster(60, 1000, ranges, rng)
    assert 5 <= cv2.connectedComponents(found.mask.astype(np.uint8))[0] - 1 <= 9
    assert found.mask.sum() < 200 < found.region.sum()
    assert found.kind == "calcifications"
    assert 2 * found.radius < 60 * 1.2


def test_sizes_in_millimetres_need_a_spacing() -> None:
    ranges = replace(PLAIN, diameter=(10, 10), unit="mm", margins=("circumscribed",), aspect=(1, 1))
    found = put(ranges, spacing=0.5)
    assert 2 * np.sqrt(found.mask.sum() / np.pi) == pytest.approx(20, rel=0.15)
    with pytest.raises(ValueError, match="diameters in mm and no spacing"):
        put(ranges)


def test_a_mass_too_large_for_the_breast_is_drawn_smaller_or_refused() -> None:
    found = put(replace(PLAIN, diameter=(20, 400)))
    assert BREAST[found.mask > 0].all()
    with pytest.raises(ValueError, match=r"Found room for \d+ pixels in the breast; wanted 300"):
        put(replace(PLAIN, diameter=(300, 400)))


def test_pictures_and_masks_that_do_not_fit_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="Found float64 of shape"):
        insert(film().astype(float), rng)
    with pytest.raises(ValueError, match=r"Found uint8 of shape \(240, 160, 3\)"):
        insert(np.dstack([film()] * 3), rng)
    with pytest.raises(ValueError, match="Found a forbidden mask of"):
        insert(film(), rng, PLAIN, Where(breast=BREAST, forbidden=np.zeros((3, 3))))


@pytest.mark.skipif(not REAL.is_dir(), reason="the real tissue set is not beside the project")
def test_in_real_films_findings_lie_in_the_breast_that_the_service_finds() -> None:
    from training.datasets.tissue import cases

    for number, case in enumerate(cases(REAL)[::12]):
        picture, tissue = case.read_image(), case.read_mask()
        found = insert(picture, np.random.default_rng(number), MassRanges(), Where(forbidden=tissue == 3))
        assert np.mean(tissue[found.mask > 0] > 0) > 0.95
        assert not (tissue[found.support] == 3).any()
        ring = (cv2.dilate(found.mask, np.ones((9, 9), np.uint8)) > 0) & (found.mask == 0)
        # Compared with the film as it was, the mass is brighter than its surroundings by more than these were.
        after, before = (float(p[found.mask > 0].mean() - p[ring].mean()) for p in (found.image, picture))
        assert after > before
