"""Fine structure tells copies from strangers that only look alike from afar; published test parts stay whole."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.datasets.tiny_files import REAL
from training.datasets import cbis_ddsm, tissue
from training.datasets.grouping import (
    Fingerprint,
    connected,
    fingerprint,
    near_duplicate_groups,
    near_duplicate_pairs,
    official_folds,
)

FILMS, BOXED, TISSUE = (REAL / f"mammography_{name}" for name in ("masks_cbis", "masses_cbis", "tissue_ddsm"))
needs_real = pytest.mark.skipif(
    not all(folder.is_dir() for folder in (FILMS, BOXED, TISSUE)), reason=f"NOT TESTED on real films: none in {REAL}"
)


def _breast(seed: int) -> np.ndarray:
    """A bright half disc on black with its own tissue: from afar all are alike."""
    rows, columns = np.mgrid[:240, :200]
    shape = np.clip(1.3 - np.hypot((rows - 120) / 110, columns / 170), 0, 1) * 150
    grain = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (240, 200)), (0, 0), 2.5)
    return np.clip(shape + 120 * grain * (shape > 25), 0, 255).astype(np.uint8)


def test_breasts_of_one_view_are_strangers_and_copies_of_one_are_not() -> None:
    one, other = _breast(1), _breast(2)
    copies = [one, cv2.resize(one, (160, 320)), (one * 0.8).astype(np.uint8), one[3:, 2:]]
    assert near_duplicate_groups([*copies, other]) == [0, 0, 0, 0, 1]
    thumbnails = [fingerprint(picture).thumbnail for picture in (one, other)]
    assert float(thumbnails[0] @ thumbnails[1]) >= 0.95


def test_pictures_without_structure_are_told_by_their_thumbnails() -> None:
    shade = np.tile(np.linspace(0, 10, 64), (64, 1)).astype(np.uint8)
    assert not fingerprint(shade).structure.any()
    assert near_duplicate_pairs([fingerprint(shade), fingerprint(shade)]) == [(0, 1)]


def test_nothing_has_no_duplicates() -> None:
    assert near_duplicate_pairs([]) == []
    assert near_duplicate_groups([]) == []


def test_pairs_are_found_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    prints = [fingerprint(_breast(seed)) for seed in (1, 2, 1, 3, 2)]
    whole = near_duplicate_pairs(prints)
    monkeypatch.setattr("training.datasets.grouping.BLOCK", 2)
    assert near_duplicate_pairs(prints) == whole == [(0, 2), (1, 4)]


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_components_join_what_a_pair_joins_and_nothing_else(drawn: tuple[int, list[tuple[int, int]]]) -> None:
    count, pairs = drawn
    group = connected(count, pairs)
    assert all(group[i] == group[j] for i, j in pairs)
    assert len(set(group)) >= count - len(pairs)
    assert list(dict.fromkeys(group)) == list(range(len(set(group))))


_part = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40)


@given(_part)
def test_a_published_test_part_is_fold_0_and_no_group_is_torn(drawn: list[tuple[int, bool]]) -> None:
    groups, tested = [f"p{group}" for group, _ in drawn], [test for _, test in drawn]
    folds = official_folds(groups, [""] * len(groups), tested)
    assert all(fold == 0 for fold, test in zip(folds, tested, strict=True) if test)
    assert len(set(zip(groups, folds, strict=True))) == len(set(groups))
    held = {group for group, test in zip(groups, tested, strict=True) if test}
    assert all(fold in (1, 2, 3, 4) for group, fold in zip(groups, folds, strict=True) if group not in held)


@needs_real
def test_one_film_at_two_sizes_is_found_and_strangers_are_not() -> None:
    """Half-resolution films of true aspect against the same ones squashed to squares, among others of their kind."""
    squashed = {case.name: case for case in cbis_ddsm.cases(BOXED)}
    names = [path.stem.partition("_")[2] for path in sorted((FILMS / "images").glob("Mass*.png"))]
    twins = [_print(squashed[name].read_image()) for name in names]
    films = [_print(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) for path in sorted((FILMS / "images").glob("Mass*"))]
    strangers = [_print(case.read_image()) for case in (*list(squashed.values())[9::40], *tissue.cases(TISSUE)[::4])]
    count = len(films)
    assert near_duplicate_pairs([*films, *twins, *strangers]) == [(i, i + count) for i in range(count)]


def _print(picture: np.ndarray) -> Fingerprint:
    return fingerprint(np.asarray(picture, np.uint8))
