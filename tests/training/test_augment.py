"""Augmentation: seeded, uint8, and the mask goes where the picture goes."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.image import Region
from training import augment
from training.augment import Strength, burn_in, lesion_echo, photometric, view
from training.phantoms.ultrasound import ultrasound_phantom

SIZE = (112, 144)
STILL = Strength(scale=(1, 1), stretch=1, shift=0, rotation=0)
CHANGES = [
    augment._gamma,
    augment._gain,
    augment._depth_gain,
    augment._blur,
    augment._low_resolution,
    augment._speckle,
    augment._shadow,
]


PHANTOM = ultrasound_phantom(seed=4, size=SIZE, kind="malignant")


def _drawn() -> tuple[np.ndarray, np.ndarray]:
    """The phantom, which takes much longer to draw than to change."""
    return PHANTOM.image.copy(), PHANTOM.mask.copy()


def _whole(image: np.ndarray) -> Region:
    return Region(0, 0, image.shape[1], image.shape[0])


def test_equal_seeds_give_equal_views_and_others_do_not() -> None:
    image, mask = _drawn()
    first, again, other = (
        view(image, mask, _whole(image), Strength(), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


@given(st.integers(0, 2**32 - 1))
def test_picture_and_mask_move_together(seed: int) -> None:
    """A picture that is bright exactly where its mask is stays so, but for the edge that interpolation softens."""
    _, mask = _drawn()
    image = mask * 200
    shown, moved = view(image, mask, _whole(image), Strength(), np.random.default_rng(seed))
    assert shown.shape == moved.shape
    assert set(np.unique(moved)) <= {0, 1}
    wrong = (shown > 100) != (moved > 0)
    assert wrong.mean() < 0.01


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(-30, 100), st.integers(-30, 80), st.integers(1, 200), st.integers(1, 200)),
)
def test_a_view_has_the_regions_size_within_its_limits(seed: int, box: tuple[int, int, int, int]) -> None:
    image, mask = _drawn()
    left, top, width, height = box
    region = Region(left, top, left + width, top + height)
    shown, moved = view(image, mask, region, Strength(), np.random.default_rng(seed))
    assert shown.shape == moved.shape == (max(8, height), max(8, width))
    assert shown.dtype == moved.dtype == np.uint8


def test_a_large_region_is_shown_smaller() -> None:
    image, mask = _drawn()
    shown, _ = view(image, mask, Region(0, 0, 896, 448), Strength(), np.random.default_rng(0))
    assert shown.shape == (224, 448)


def test_without_strength_a_view_is_the_region_or_its_mirror_image() -> None:
    image, mask = _drawn()
    region = Region(20, 10, 90, 100)
    wanted = image[10:100, 20:90]
    for seed in range(8):
        shown, _ = view(image, mask, region, STILL, np.random.default_rng(seed))
        assert np.array_equal(shown, wanted) or np.array_equal(shown, wanted[:, ::-1])


def test_outside_the_picture_is_black() -> None:
    image, mask = np.full(SIZE, 200, np.uint8), np.ones(SIZE, np.uint8)
    shown, moved = view(image, mask, Region(-40, 0, 144, 112), STILL, np.random.default_rng(0))
    outside = shown == 0
    assert outside.mean() == pytest.approx(40 / 184, abs=0.01)
    assert not moved[outside].any()


@pytest.mark.parametrize("change", CHANGES)
@given(seed=st.integers(0, 2**32 - 1))
def test_each_change_of_grey_values_keeps_type_shape_and_input(
    change: Callable[[np.ndarray, np.random.Generator], np.ndarray], seed: int
) -> None:
    image, _ = _drawn()
    before = image.copy()
    changed = change(image, np.random.default_rng(seed))
    assert changed.shape == SIZE
    assert changed.dtype == np.uint8
    assert np.array_equal(image, before)


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_of_grey_values_changes_something(
    change: Callable[[np.ndarray, np.random.Generator], np.ndarray],
) -> None:
    image, _ = _drawn()
    assert not np.array_equal(change(image, np.random.default_rng(0)), image)


def test_with_probability_0_nothing_is_changed() -> None:
    image, mask = _drawn()
    assert np.array_equal(photometric(image, 0.0, np.random.default_rng(0)), image)
    assert np.array_equal(lesion_echo(image, mask, 0.0, np.random.default_rng(0)), image)
    assert np.array_equal(burn_in(image, mask, 0.0, np.random.default_rng(0)), image)


def test_the_echo_of_a_lesion_changes_inside_it_and_not_far_from_it() -> None:
    image, mask = _drawn()
    far = cv2.dilate(mask, np.ones((31, 31), np.uint8)) == 0
    levels = []
    for seed in range(20):
        changed = lesion_echo(image, mask, 1.0, np.random.default_rng(seed))
        assert changed.dtype == np.uint8
        assert np.array_equal(changed[far], image[far])
        levels.append(changed[mask > 0].mean() / image[mask > 0].mean())
    assert min(levels) < 0.9
    assert max(levels) > 1.5


@pytest.mark.parametrize("fill", [0, 1])
def test_where_all_or_nothing_is_lesion_the_echo_does_no_harm(fill: int) -> None:
    image, mask = _drawn()
    changed = lesion_echo(image, np.full_like(mask, fill), 1.0, np.random.default_rng(0))
    assert changed.shape == SIZE
    assert np.array_equal(changed, image) == (fill == 0)


def test_gentle_views_stay_nearer_to_the_picture() -> None:
    """Zoom, shift and turn of a gentle view go a third as far, so the lesion's centre moves less on average."""
    _, mask = _drawn()
    moved = {}
    for gentle in (0.0, 1.0):
        strength = Strength(gentle=gentle, stretch=1)
        shifts = [_shift_of_centre(mask, strength, np.random.default_rng(seed)) for seed in range(60)]
        moved[gentle] = float(np.nanmean(shifts))
    assert moved[1.0] < 0.6 * moved[0.0]


def _shift_of_centre(mask: np.ndarray, strength: Strength, rng: np.random.Generator) -> float:
    """Rows by which the lesion's centre moves: the flip, which is sideways, does not show there."""
    _, shown = view(mask, mask, _whole(mask), strength, rng)
    return abs(float(np.argwhere(shown)[:, 0].mean() - np.argwhere(mask)[:, 0].mean())) if shown.any() else float("nan")


def test_padding_stays_black_under_gain() -> None:
    """Bars around a screenshot are told apart from tissue by being exactly 0."""
    image = np.zeros(SIZE, np.uint8)
    image[20:, 20:] = 120
    for seed in range(10):
        assert augment._gain(image, np.random.default_rng(seed))[:20].max() == 0


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_burnt_in_marks_change_neither_mask_nor_original(seed: int, empty: bool) -> None:
    image, mask = _drawn()
    if empty:
        mask = np.zeros_like(mask)
    before = image.copy(), mask.copy()
    marked = burn_in(image, mask, 1.0, np.random.default_rng(seed))
    assert np.array_equal(image, before[0])
    assert np.array_equal(mask, before[1])
    assert marked.dtype == np.uint8
    assert not np.array_equal(marked, image)


def test_calipers_lie_on_the_lesions_edge() -> None:
    _, mask = _drawn()
    image = np.zeros(SIZE, np.uint8)
    augment._calipers(image, mask, np.random.default_rng(0))
    y, x = np.nonzero(mask)
    marked = np.nonzero(image)
    assert marked[0].min() >= y.min() - 8
    assert marked[0].max() <= y.max() + 8
    assert marked[1].min() >= x.min() - 8
    assert marked[1].max() <= x.max() + 8


@pytest.mark.parametrize("shape", [(1, 1), (1, 60), (60, 1), (9, 7)])
def test_tiny_pictures_are_augmented_too(shape: tuple[int, int]) -> None:
    image, mask = np.full(shape, 100, np.uint8), np.ones(shape, np.uint8)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        shown, moved = view(image, mask, _whole(image), Strength(), rng)
        assert burn_in(photometric(shown, 1.0, rng), moved, 1.0, rng).shape == shown.shape


# ---- any picture ----------------------------------------------------------------------------------------------------


def test_no_augmentation_changes_nothing() -> None:
    image, mask = _drawn()
    shown, moved = view(image, mask, _whole(image), augment.NONE, np.random.default_rng(3))
    assert np.array_equal(shown, image)
    assert np.array_equal(moved, mask)
    assert np.array_equal(augment.light(image, augment.NONE, np.random.default_rng(3)), image)


@pytest.mark.parametrize(("flips", "axis"), [((1.0, 0.0), 1), ((0.0, 1.0), 0)])
def test_a_certain_flip_mirrors_one_axis(flips: tuple[float, float], axis: int) -> None:
    image, mask = _drawn()
    strength = augment.NONE.model_copy(update={"flips": flips})
    seen = augment.geometry(_whole(image), strength, np.random.default_rng(0))
    assert np.array_equal(seen.warp(image), np.flip(image, axis))
    assert np.array_equal(seen.warp(mask, labels=True), np.flip(mask, axis))
    assert seen.mirrored == (axis == 1)


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_a_view_is_mirrored_as_often_as_is_asked(seed: int, probability: float) -> None:
    strength = augment.NONE.model_copy(update={"flips": (probability, 0.0)})
    rng = np.random.default_rng(seed)
    count = sum(augment.geometry(Region(0, 0, 20, 20), strength, rng).mirrored for _ in range(200))
    assert abs(count / 200 - probability) < 0.2


@given(st.integers(0, 2**32 - 1))
def test_colour_pictures_go_through_every_change(seed: int) -> None:
    image, mask = _drawn()
    colour, rng = np.stack([image, image // 2, 255 - image], axis=-1), np.random.default_rng(seed)
    shown = lesion_echo(colour, mask, 1.0, rng)
    shown = burn_in(photometric(shown, 1.0, rng), mask, 1.0, rng)
    assert shown.shape == colour.shape
    assert shown.dtype == np.uint8


def test_burnt_in_marks_are_grey_in_colour_pictures() -> None:
    black, mask = np.zeros((*SIZE, 3), np.uint8), _drawn()[1]
    marked = burn_in(black, mask, 1.0, np.random.default_rng(1))
    assert marked.any()
    assert np.array_equal(marked[..., 0], marked[..., 1])
    assert np.array_equal(marked[..., 0], marked[..., 2])


def test_brightness_contrast_and_noise_change_grey_values_as_far_as_they_may() -> None:
    flat, strength = (
        np.full((64, 64), 128, np.uint8),
        augment.NONE.model_copy(update={"light": 1.0, "light_range": 0.2}),
    )
    levels = [float(augment.light(flat, strength, np.random.default_rng(seed)).mean()) for seed in range(60)]
    assert min(levels) >= 128 * 0.8 - 51 - 1
    assert max(levels) <= 128 * 1.2 + 51 + 1
    assert np.ptp(levels) > 60
    grains = augment.light(flat, augment.NONE.model_copy(update={"noise": 1.0}), np.random.default_rng(0))
    assert 2 < grains.std() < 8


@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.float32, np.uint8])
def test_a_change_in_eight_bits_keeps_type_and_range(kind: type) -> None:
    ramp = np.linspace(0, 200, 64).reshape(8, 8).astype(kind)
    same = augment.in_eight_bits(ramp, lambda picture: picture)
    assert same.dtype == ramp.dtype
    assert np.abs(same.astype(float) - ramp.astype(float)).max() <= 1
    flat = np.full((4, 4), 7, kind)
    assert np.array_equal(augment.in_eight_bits(flat, lambda picture: picture), flat)
