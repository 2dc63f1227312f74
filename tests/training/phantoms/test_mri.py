"""MRI phantoms: seeded, exact, enhancing as stated, on a grid that says where it lies."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from training.phantoms.mri import Mri, Wish, mri_phantom
from training.phantoms.mri_body import Ellipsoid, body, joined, woman
from training.phantoms.mri_grid import Grid
from training.phantoms.mri_lesions import KINDS, LATER, LOOKS, enhancement, placed
from training.phantoms.mri_scanner import GHOST, MOTION, NOISE
from training.volume import Volume, finest_plane, oriented

SHAPE = (24, 96, 96)
PLANES_TWICE = ("axial", "sagittal", "axial", "sagittal")


@pytest.fixture(scope="module")
def series() -> list[Mri]:
    return [mri_phantom(seed, Wish(plane=plane, shape=SHAPE, lesions=1)) for seed, plane in enumerate(PLANES_TWICE)]


def test_equal_arguments_give_equal_voxels() -> None:
    one, two, other = (mri_phantom(seed, Wish(shape=(10, 48, 48))) for seed in (3, 3, 4))
    for a, b in zip((*one.phases, one.labels), (*two.phases, two.labels), strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(one.phases[0], other.phases[0])


def test_every_series_has_the_promised_volumes(series: list[Mri]) -> None:
    for phantom in series:
        assert len(phantom.phases) == 4
        for volume in phantom.phases:
            assert volume.shape == SHAPE
            assert volume.dtype == np.uint16
        assert phantom.labels.dtype == np.uint8
        assert set(np.unique(phantom.labels)) == set(range(len(phantom.lesions) + 1))
        assert phantom.metadata["phantom"] == "yes"
        assert phantom.grid.spacing[0] > 1.1 * phantom.grid.spacing[1]


def test_labels_are_the_lesions_masks(series: list[Mri]) -> None:
    assert sum(len(phantom.lesions) for phantom in series) >= 3
    for phantom in series:
        for number, lesion in enumerate(phantom.lesions, start=1):
            again = np.zeros(SHAPE, bool)
            again[lesion.box] = lesion.mask
            assert np.array_equal(phantom.labels == number, again)
            assert (lesion.share[lesion.mask] >= 0.5).all()


def test_lesions_enhance_as_their_curve_says(series: list[Mri]) -> None:
    """Mean over the lesion's inner voxels; noise, motion and partial volume leave 20 % of tolerance."""
    checked = 0
    for phantom in series:
        for lesion in phantom.lesions:
            inner = lesion.share > 0.95
            if inner.sum() < 20:
                continue
            means = [float(volume[lesion.box][inner].mean()) for volume in phantom.phases]
            weight = float(lesion.strength[inner].mean())
            assert means[1] / means[0] == pytest.approx(1 + lesion.first * weight, rel=0.2)
            assert means[-1] / means[0] == pytest.approx(1 + enhancement(lesion, 1.0) * weight, rel=0.2)
            checked += 1
    assert checked >= 2


def test_curves_keep_to_their_stated_limits() -> None:
    grid = Grid("axial", (24, 64, 64), (2.0, 1.5, 1.5), (0, 0, 0))
    breast, free = np.full(grid.shape, 30, np.float32), np.ones(grid.shape, bool)
    rng = np.random.default_rng(0)
    for kind in KINDS:
        for _ in range(6):
            lesion = placed(breast, free, grid, kind, rng)
            assert lesion is not None
            low, high = LATER[lesion.curve]
            assert low <= lesion.later <= high
            assert LOOKS[kind].first[0] <= lesion.first <= LOOKS[kind].first[1]
            assert enhancement(lesion, 0) == pytest.approx(lesion.first)
            assert (1 + enhancement(lesion, 1)) / (1 + lesion.first) - 1 == pytest.approx(lesion.later)
            assert lesion.strength[lesion.mask].mean() == pytest.approx(1, abs=1e-3)
    assert LATER["persistent"][0] >= 0.1
    assert LATER["washout"][1] <= -0.1
    assert max(map(abs, LATER["plateau"])) <= 0.1


def test_lesions_lie_in_the_breast_and_clear_of_what_is_taken() -> None:
    grid = Grid("axial", (16, 64, 64), (2.0, 1.5, 1.5), (0, 0, 0))
    rng = np.random.default_rng(2)
    rows = np.arange(64, dtype=np.float32)[None, :, None] * 1.5
    breast = np.broadcast_to(48 - rows, grid.shape).astype(np.float32)
    free = np.ones(grid.shape, bool)
    free[:, :, :32] = False
    found = [placed(breast, free, grid, "malignant", rng) for _ in range(12)]
    for lesion in found:
        if lesion is not None:
            assert (breast[lesion.box][lesion.mask] > 0).all()
            assert free[lesion.box][lesion.mask].all()
    assert any(lesion is not None for lesion in found)
    assert placed(breast - 60, free, grid, "malignant", rng) is None
    assert placed(breast, np.zeros_like(free), grid, "malignant", rng) is None


def test_kinds_differ_in_surface() -> None:
    """Voxels at the surface for the volume: benign lesions are smooth, non-mass enhancement is scattered."""
    grid = Grid("axial", (52, 52, 52), (1.0, 1.0, 1.0), (0, 0, 0))
    free = np.ones(grid.shape, bool)
    edge = np.minimum(np.arange(52), np.arange(52)[::-1]).astype(np.float32)
    breast = np.minimum(np.minimum(edge[:, None, None], edge[:, None]), edge)

    def roughness(kind: str) -> float:
        rng, values = np.random.default_rng(5), []
        while len(values) < 5:
            lesion = placed(breast, free, grid, kind, rng)  # type: ignore[arg-type]
            if lesion is not None:
                edges = sum(
                    int(np.diff(lesion.mask.astype(np.int8), axis=axis).astype(bool).sum()) for axis in range(3)
                )
                values.append(edges / lesion.mask.sum() ** (2 / 3))
        return float(np.mean(values))

    assert roughness("benign") < roughness("malignant") < roughness("non_mass")


def test_heart_and_vessels_enhance_too_and_are_no_lesion(series: list[Mri]) -> None:
    phantom = series[0]
    gain = phantom.phases[1].astype(float) - phantom.phases[0]
    strong = gain > 0.5 * np.percentile(gain[phantom.labels > 0], 90) if phantom.lesions else gain > gain.max() / 3
    assert (strong & (phantom.labels == 0)).sum() > 50


def test_shares_of_tissues_never_exceed_one_and_air_has_none() -> None:
    rng = np.random.default_rng(1)
    subject = woman(rng)
    grid = Grid("axial", (12, 64, 64), (6.0, 5.0, 5.0), (0, 20, 0))
    within = body(subject, grid, rng)
    total = sum(within.shares.values())
    assert 0 <= float(np.min(total)) <= float(np.max(total)) < 1.001
    assert float(np.max(total[within.depth < -6])) < 1e-3
    for name in ("skin", "fat", "gland", "muscle", "lung", "heart", "vessel"):
        assert within.shares[name].max() > 0.3, name


def test_an_ellipsoid_knows_its_depth() -> None:
    at = np.meshgrid(*[np.arange(-60, 61, 4, dtype=np.float32)] * 3, indexing="ij")
    ball = Ellipsoid((0, 0, 0), (40, 40, 40)).inward((at[0], at[1], at[2]))
    near = np.abs(ball) < 8
    assert np.abs(ball - (40 - np.sqrt(sum(one**2 for one in at))))[near].max() < 1.0
    both = joined(np.array([3.0], np.float32), np.array([-3.0], np.float32), 2.0)
    assert both[0] == pytest.approx(3)


@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_the_affine_says_what_the_pictures_show(plane: str) -> None:
    """Read back as radiologists look at it, nothing is turned; the grid's index of a point is the affine's."""
    grid = Grid(plane, (6, 10, 12), (3.0, 1.5, 1.0), (10.0, -20.0, 30.0))  # type: ignore[arg-type]
    voxels = np.random.default_rng(0).random(grid.shape)
    volume = Volume(voxels, grid.affine, Path("none"))
    assert finest_plane(volume) == plane
    turned = oriented(volume, plane)  # type: ignore[arg-type]
    assert np.array_equal(turned.voxels, voxels)
    index = np.array([*grid.index((4.0, -18.0, 33.0)), 1])
    assert (grid.affine @ index)[:3] == pytest.approx((-4.0, 18.0, 33.0))
    x, y, z = grid.coordinates()
    assert np.broadcast_shapes(x.shape, y.shape, z.shape) == grid.shape


def test_noise_is_rician_and_in_its_range() -> None:
    """In air the magnitude of two channels of equal noise has mean over deviation 1.91."""
    phantom = mri_phantom(7, Wish(plane="axial", shape=(12, 64, 64), lesions=0))
    air = phantom.phases[1][:, :4].astype(float)
    assert air.mean() / air.std() == pytest.approx(1.91, abs=0.15)
    assert NOISE[0] < NOISE[1] < 0.1
    assert MOTION[1] < 1
    assert GHOST[1] < 0.1


def test_one_volume_takes_less_than_three_seconds() -> None:
    """Processor time of four time points; 1.4 s was measured."""
    start = time.process_time()
    mri_phantom(1, Wish())
    assert time.process_time() - start < 4


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="wanted 8 voxels each way"):
        mri_phantom(0, Wish(shape=(4, 64, 64)))
    with pytest.raises(ValueError, match="wanted mm above 0"):
        mri_phantom(0, Wish(spacing=(0.0, 1.0, 1.0)))
    with pytest.raises(ValueError, match="Found 5 lesions; wanted 0 to 4"):
        mri_phantom(0, Wish(lesions=5))
    with pytest.raises(ValueError, match="Found 0 time points after contrast; wanted 1 to 8"):
        mri_phantom(0, Wish(phases=0))
    with pytest.raises(ValueError, match="Found plane 'coronal'; wanted axial, sagittal"):
        mri_phantom(0, Wish(plane="coronal"))  # type: ignore[arg-type]
