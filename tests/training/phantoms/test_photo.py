"""Photograph phantoms: seeded, named for what they are, with labels and distance that belong to the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from training.datasets import photographs
from training.phantoms.photo import GREYS, Photo, photo_phantom, save_photo, write
from training.phantoms.photo_body import POSES
from training.samples import load

SMALL = (144, 176)


@pytest.fixture(scope="module")
def drawn() -> list[Photo]:
    return [photo_phantom(seed=seed, size=SMALL) for seed in range(10)]


def test_equal_seeds_give_equal_pixels(drawn: list[Photo]) -> None:
    again = photo_phantom(seed=3, size=SMALL)
    assert np.array_equal(again.image, drawn[3].image)
    assert np.array_equal(again.labels, drawn[3].labels)
    assert np.array_equal(again.distance, drawn[3].distance)
    assert not np.array_equal(drawn[3].image, drawn[4].image)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([(96, 96), (96, 130), (128, 97)]), st.sampled_from([None, *POSES]))
def test_any_seed_gives_a_torso_with_two_breasts(seed: int, size: tuple[int, int], pose: None) -> None:
    one = photo_phantom(seed=seed, size=size, pose=pose)
    assert (one.image.shape, one.labels.shape, one.distance.shape) == ((*size, 3), size, size)
    assert (one.image.dtype, one.labels.dtype, one.distance.dtype) == (np.uint8, np.uint8, np.float32)
    assert {0, 1, 2, 3} <= set(np.unique(one.labels).tolist()) <= set(range(6))
    assert np.isfinite(one.distance).all()
    assert one.distance.min() > 0
    assert (one.depth.min(), one.depth.max()) == (0, 255)
    assert one.metadata["phantom"] == "yes"


def test_the_patients_left_is_at_the_viewers_right(drawn: list[Photo]) -> None:
    for one in drawn:
        left, right, other_left, other_right = (_middle(one.labels == label) for label in (2, 3, 4, 5))
        assert left[0] > right[0]
        assert np.isnan(other_left[0] + other_right[0]) or other_left[0] > other_right[0]


def test_a_nipple_lies_on_its_breast(drawn: list[Photo]) -> None:
    for one in drawn:
        for breast, nipple in ((2, 4), (3, 5)):
            rows, columns = np.nonzero(one.labels == nipple)
            if len(rows):
                whole = np.isin(one.labels, (breast, nipple))
                assert whole[rows[0] : rows[-1] + 1, columns.min() : columns.max() + 1].mean() > 0.8


def test_breasts_stand_out_and_the_room_lies_behind(drawn: list[Photo]) -> None:
    for one in drawn:
        room, body, nipple = (one.distance[np.isin(one.labels, some)] for some in ((0,), (1,), (4, 5)))
        if len(nipple):
            assert np.median(nipple) < np.median(body)
        assert np.median(body) < np.percentile(room, 75)
        assert one.distance.max() == room.max()


def test_the_notch_and_the_navel_lie_on_the_midline_of_the_torso(drawn: list[Photo]) -> None:
    for one in drawn:
        notch, navel = np.array(one.notch), np.array(one.navel)
        assert np.linalg.norm(navel - notch) * one.pixel == pytest.approx(42, rel=0.01)
        left, right = (_middle(one.labels == label) for label in (2, 3))
        middle = notch + (navel - notch) * 0.5
        assert abs(0.5 * (left[0] + right[0]) - middle[0]) * one.pixel < 3


def test_skin_comes_in_all_tones(drawn: list[Photo]) -> None:
    tones = [float(one.image[one.labels > 0].mean()) for one in drawn]
    assert min(tones) < 110
    assert max(tones) > 140


def test_they_are_written_as_the_data_set_reads_them(tmp_path: Path) -> None:
    write(tmp_path, (40, 41))
    found = photographs.cases(tmp_path, greys=GREYS, sides=True, patient=r"photo_phantom_\d+")
    assert [case.name for case in found] == [f"photo_phantom_{number:06d}" for number in (40, 41)]
    assert len({case.group for case in found}) == 2
    loaded = load(found, inputs=("depth",))
    for one in loaded:
        assert one.image.shape[:2] == one.mask.shape == one.inputs["depth"].shape
        assert set(np.unique(one.mask)) <= set(range(6))
        assert one.image.dtype == np.uint8
        assert max(one.image.shape) == 512


def test_files_say_that_they_are_phantoms_and_keep_the_truth(tmp_path: Path, drawn: list[Photo]) -> None:
    save_photo(drawn[0], tmp_path, "photo_phantom_x")
    with Image.open(tmp_path / "images" / "photo_phantom_x.jpg") as picture:
        assert b"phantom: yes" in picture.info["comment"]
        assert np.abs(np.asarray(picture).astype(int) - drawn[0].image).mean() < 8
    for part, plane in (("masks", drawn[0].labels * 50), ("depth", drawn[0].depth)):
        with Image.open(tmp_path / part / "photo_phantom_x.png") as picture:
            assert picture.text["phantom"] == "yes"
            assert np.array_equal(np.asarray(picture), plane)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Found size \(512, 64\); wanted at least 96 pixels each way"):
        photo_phantom(seed=0, size=(512, 64))
    with pytest.raises(ValueError, match="Found pose 'sitting'; wanted one of down, hips, up, back"):
        photo_phantom(seed=0, pose="sitting")


def _middle(mask: np.ndarray) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return (float(columns.mean()), float(rows.mean())) if len(rows) else (np.nan, np.nan)
