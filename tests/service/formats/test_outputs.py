"""Pictures out: mask, probability, overlay, polygons."""

import time
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BadParameter
from service.formats.mask_png import encode_mask
from service.formats.overlay import encode_overlay, shown, tinted
from service.formats.polygons import polygon_document
from service.formats.probability import encode_probability
from service.image import Image, Mask, Region
from service.manifest import Window
from service.preprocess import windowed
from service.result import Patch
from tests.service.formats.pictures import LABELS, gradient, mask_of, opened

VOLUME = Mask(np.zeros((2, 9, 9), np.uint8), {1: "lesion"})
sides = st.integers(1, 40)


def blob(height: int = 60, width: int = 90) -> np.ndarray[Any, np.dtype[np.uint8]]:
    labels = np.zeros((height, width), np.uint8)
    labels[height // 4 : height // 2, width // 4 : width // 2] = 1
    labels[height // 2 :, : width // 5] = 3
    return labels


@given(height=sides, width=sides, seed=st.integers(0, 9))
def test_mask_pixels_are_label_ids(height: int, width: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 5, (height, width)).astype(np.uint8)
    picture = opened(encode_mask(mask_of(labels), LABELS))
    assert picture.mode == "P"
    np.testing.assert_array_equal(np.asarray(picture), labels)


def test_mask_has_eight_bits_for_readers_that_do_not_unpack() -> None:
    content = encode_mask(mask_of(blob()), LABELS)
    assert content[24:26] == b"\x08\x03"


def test_mask_shows_the_manifest_s_colours() -> None:
    labels = np.array([[0, 1, 3, 77]], np.uint8)
    colours = np.asarray(opened(encode_mask(mask_of(labels), LABELS)).convert("RGB"))[0]
    assert colours.tolist() == [[0, 0, 0], [230, 30, 40], [0, 90, 200], [255, 255, 255]]


def test_mask_of_a_mammogram_is_fast() -> None:
    mask = mask_of(blob(3328, 2560))
    start = time.perf_counter()
    encode_mask(mask, LABELS)
    assert time.perf_counter() - start < 1


def test_mask_of_a_volume_is_refused() -> None:
    with pytest.raises(BadParameter, match="2 slices") as caught:
        encode_mask(VOLUME, LABELS)
    assert caught.value.code == "needs_one_slice"


def patch(box: tuple[int, int, int, int], values: float) -> Patch:
    region = Region(*box)
    return Patch(region, np.full(region.shape, values, np.float32))


def probabilities(*patches: Patch, grid: Region) -> np.ndarray[Any, Any]:
    return np.asarray(opened(encode_probability(patches, grid)))


def test_probability_is_sixteen_bit_on_the_grid() -> None:
    levels = probabilities(patch((2, 1, 6, 4), 0.25), grid=Region(0, 0, 9, 7))
    assert levels.shape == (7, 9)
    assert levels.dtype == np.uint16
    assert set(np.unique(levels[1:4, 2:6])) == {round(0.25 * 65535)}
    assert np.count_nonzero(levels) == 12


def test_highest_probability_counts_where_patches_overlap() -> None:
    levels = probabilities(patch((0, 0, 4, 4), 1.0), patch((2, 0, 6, 4), 0.5), grid=Region(0, 0, 6, 4))
    assert levels[0].tolist() == [65535] * 4 + [32768] * 2


def test_probability_over_the_edge_is_dropped() -> None:
    levels = probabilities(patch((-2, -1, 3, 2), 1.0), patch((50, 50, 60, 60), 1.0), grid=Region(0, 0, 6, 4))
    assert np.argwhere(levels).max(axis=0).tolist() == [1, 2]


def test_no_patch_is_all_zero() -> None:
    assert not probabilities(grid=Region(0, 0, 6, 4)).any()


def test_probability_of_a_volume_is_refused() -> None:
    with pytest.raises(BadParameter, match="3 slices"):
        encode_probability((), Region(0, 0, 6, 4, 0, 3))


def picture(pixels: np.ndarray[Any, Any]) -> Image:
    return Image(pixels[None] if pixels.ndim == 3 else pixels[None, ..., None])


def overlay(pixels: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], **options: Any) -> np.ndarray[Any, Any]:
    return np.asarray(opened(encode_overlay(picture(pixels), mask_of(labels), LABELS, **options)))


@given(height=sides, width=sides, channels=st.sampled_from([1, 3]))
def test_overlay_has_the_picture_s_size(height: int, width: int, channels: int) -> None:
    pixels = np.full((height, width, channels), 90, np.uint8)
    assert overlay(pixels, blob(height, width)).shape == (height, width, 3)


def test_overlay_mixes_picture_and_colour() -> None:
    shades = overlay(np.full((60, 90), 100, np.uint8), blob(), opacity=0.5, contour=False)
    assert shades[20, 30].tolist() == [165, 65, 70]
    assert shades[2, 80].tolist() == [100, 100, 100]


def test_overlay_draws_a_line_only_when_asked() -> None:
    plain = overlay(np.full((60, 90), 100, np.uint8), blob(), opacity=0, contour=False)
    lined = overlay(np.full((60, 90), 100, np.uint8), blob(), opacity=0)
    assert plain[15, 22].tolist() == [100, 100, 100]
    assert lined[15, 22].tolist() == [230, 30, 40]
    assert lined[20, 32].tolist() == [100, 100, 100]


def test_overlay_line_is_wider_on_large_pictures() -> None:
    lined = overlay(np.zeros((1200, 1200), np.uint8), blob(1200, 1200), opacity=0)
    assert (lined[450, 290:310] == (230, 30, 40)).all(axis=1).sum() > 1


def test_overlay_carries_the_notice_in_its_corner() -> None:
    shades = overlay(np.full((200, 300), 60, np.uint8), np.zeros((200, 300), np.uint8))
    changed = np.argwhere((shades != 60).any(axis=2))
    assert len(changed) > 50
    assert changed[:, 0].min() > 170
    assert changed[:, 1].max() < 120


def test_overlay_of_sixteen_bit_is_windowed_and_not_clipped() -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    shades = shown(ramp[..., None])
    assert np.unique(shades).size == 256
    assert shades[128, 0].tolist() == pytest.approx([128] * 3, abs=2)


def test_overlay_does_not_touch_its_inputs() -> None:
    pixels, labels = gradient(), blob(24, 40)
    overlay(pixels, labels)
    np.testing.assert_array_equal(pixels, gradient())
    np.testing.assert_array_equal(labels, blob(24, 40))


def test_overlay_of_a_volume_is_the_slice_asked_for() -> None:
    voxels = np.stack([np.full((60, 90, 1), shade, np.uint8) for shade in (10, 100, 200)])
    labels = np.stack([np.zeros((60, 90), np.uint8), blob(), np.zeros((60, 90), np.uint8)])
    image, mask = Image(voxels, focus=Region(0, 0, 90, 60, 1, 2)), Mask(labels, {1: "lesion"})
    expected = encode_overlay(picture(voxels[1]), mask_of(blob()), LABELS)
    assert encode_overlay(image, mask, LABELS) == expected
    with pytest.raises(BadParameter, match="3 slices"):
        encode_overlay(replace(image, focus=None), mask, LABELS)


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan")])
def test_overlay_refuses_other_opacities(opacity: float) -> None:
    with pytest.raises(BadParameter, match="opacity"):
        overlay(gradient(), blob(24, 40), opacity=opacity)


def test_overlay_refuses_the_mask_of_another_picture() -> None:
    with pytest.raises(BadParameter, match="Give the mask of this image"):
        overlay(gradient(), blob(25, 40))


@given(height=st.integers(3, 30), width=st.integers(3, 30), seed=st.integers(0, 30))
def test_polygons_filled_again_give_the_mask(height: int, width: int, seed: int) -> None:
    coarse = np.random.default_rng(seed).integers(0, 2, (height, width)).astype(np.uint8)
    document = polygon_document(mask_of(coarse))
    again = np.zeros_like(coarse)
    for component in document["lesion"]:
        rings = [np.array(ring) for ring in (component["outer"], *component["holes"])]
        own = np.zeros_like(coarse)
        cv2.fillPoly(own, rings[:1], 1)
        for hole in rings[1:]:
            inside = np.zeros_like(coarse)
            cv2.fillPoly(inside, [hole], 1)
            cv2.polylines(inside, [hole], True, 0)
            own[inside > 0] = 0
        again |= own
    np.testing.assert_array_equal(again, coarse)
    assert document["pectoral"] == []


def test_polygons_of_a_volume_name_their_slice() -> None:
    volume = np.stack([blob(), np.zeros((60, 90), np.uint8), blob()])
    document = polygon_document(Mask(volume, {1: "lesion", 3: "pectoral"}))
    assert [one["slice"] for one in document["lesion"]] == [0, 2]
    (alone,) = polygon_document(mask_of(blob()))["lesion"]
    assert document["lesion"][1] == {"slice": 2, **alone}


@pytest.mark.parametrize("kind", ["flat", "narrow", "wide"])
def test_sixteen_bits_looked_up_are_those_computed(kind: str) -> None:
    top = {"flat": 1, "narrow": 40, "wide": 65536}[kind]
    pixels = np.random.default_rng(0).integers(0, top, (31, 47, 1), np.uint16)
    computed = np.rint(windowed(pixels, Window()) * 255).astype(np.uint8)
    np.testing.assert_array_equal(shown(pixels), np.repeat(computed, 3, axis=2))


@given(opacity=st.floats(0, 1), seed=st.integers(0, 1000))
def test_labels_are_mixed_with_the_picture_pixel_by_pixel(opacity: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    picture, colours = random.integers(0, 256, (12, 14, 3), np.uint8), random.integers(0, 256, (256, 3), np.uint8)
    plane = np.zeros((12, 14), np.uint8)
    plane[2:9, 3:11] = random.choice(np.array([0, 1, 2, 255], np.uint8), (7, 8))
    mixed = np.rint(picture * (1 - opacity) + colours[plane] * opacity)
    wanted = np.where(plane[..., None] > 0, mixed, picture)
    np.testing.assert_array_equal(tinted(picture.copy(), plane, colours, opacity), wanted)
