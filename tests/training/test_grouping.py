"""Near-duplicates find each other, strangers stay apart, folds keep groups whole and classes even."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.datasets.grouping import assign_folds, difference_hash, near_duplicate_groups
from training.phantoms.ultrasound import ultrasound_phantom

SIZE = (160, 200)


def _copies(image: np.ndarray) -> list[np.ndarray]:
    """The picture as it comes back: brighter, darker, trimmed, smaller, larger, recompressed."""
    height, width = image.shape
    _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])
    return [
        image,
        np.clip(image * 1.25 + 10, 0, 255).astype(np.uint8),
        (image * 0.7).astype(np.uint8),
        image[2 : height - 2, 3 : width - 2],
        cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA),
        cv2.resize(image, None, fx=1.6, fy=1.6, interpolation=cv2.INTER_LINEAR),
        cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_changed_copies_of_a_picture_are_one_group(seed: int) -> None:
    copies = _copies(ultrasound_phantom(seed=seed, size=SIZE).image)
    assert near_duplicate_groups(copies) == [0] * len(copies)


def test_different_pictures_are_groups_of_their_own() -> None:
    pictures = [ultrasound_phantom(seed=seed, size=SIZE).image for seed in range(12)]
    assert near_duplicate_groups(pictures) == list(range(12))


def test_groups_are_numbered_in_order_of_first_appearance() -> None:
    one, two, three = (ultrasound_phantom(seed=seed, size=SIZE).image for seed in range(3))
    assert near_duplicate_groups([two, one, two, three, one]) == [0, 1, 0, 2, 1]


def test_a_flat_picture_joins_no_other() -> None:
    flat = np.full(SIZE, 90, np.uint8)
    picture = ultrasound_phantom(seed=0, size=SIZE).image
    assert near_duplicate_groups([picture, flat])[1] == 1


def test_the_hash_has_256_bits_and_does_not_see_brightness() -> None:
    image = ultrasound_phantom(seed=0, size=SIZE).image
    bits = difference_hash(image)
    assert bits.shape == (256,)
    assert bits.dtype == np.bool_
    assert (bits != difference_hash((image * 0.8).astype(np.uint8))).sum() <= 12


@st.composite
def _collection(draw: st.DrawFn) -> tuple[list[int], list[str]]:
    """Groups of 1 to 4 pictures with one class each."""
    sizes = draw(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(("benign", "malignant", "normal"))), min_size=1))
    groups = [number for number, (size, _) in enumerate(sizes) for _ in range(size)]
    return groups, [sizes[group][1] for group in groups]


@given(_collection(), st.integers(2, 5))
def test_folds_keep_groups_whole_and_classes_even(drawn: tuple[list[int], list[str]], folds: int) -> None:
    groups, categories = drawn
    assigned = assign_folds(groups, categories, folds)
    assert set(assigned) <= set(range(folds))
    assert len(set(zip(groups, assigned, strict=True))) == len(set(groups))
    for category in set(categories):
        counts = Counter(fold for fold, one in zip(assigned, categories, strict=True) if one == category)
        # Largest first into the emptiest fold: no two folds differ by more than the largest group.
        assert max(counts.values()) - min(counts[fold] for fold in range(folds)) <= 4


@given(_collection())
def test_equal_collections_get_equal_folds(drawn: tuple[list[int], list[str]]) -> None:
    assert assign_folds(*drawn, 5) == assign_folds(*drawn, 5)


def test_a_group_with_two_classes_counts_for_both() -> None:
    groups, categories = [0, 0, 1, 2], ["benign", "malignant", "benign", "malignant"]
    assert assign_folds(groups, categories, 2) == [0, 0, 1, 1]
