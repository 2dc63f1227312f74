"""Run lengths: back and forth for any mask, and the same as pycocotools writes."""

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from service.errors import UnusableImage
from service.formats.rle import counts_of, decode, encode, mask_document, packed, plane_of, unpacked
from service.image import Mask
from tests.service.formats.pictures import mask_of

# pycocotools 2.0.11 answers numpy 2's conversion the old way; that is its matter.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@st.composite
def planes(draw: st.DrawFn) -> np.ndarray[Any, np.dtype[np.bool_]]:
    height, width = draw(st.integers(1, 23)), draw(st.integers(1, 23))
    bits = draw(st.binary(min_size=height * width, max_size=height * width))
    level = draw(st.sampled_from([0, 1, 128, 254, 255]))
    plane = (np.frombuffer(bits, np.uint8) > level).reshape(height, width)
    left, right = draw(st.integers(0, width)), draw(st.integers(0, width))
    return plane & (np.arange(width) >= left) & (np.arange(width) < max(right, width // 2))


@given(planes())
def test_string_and_back(plane: np.ndarray[Any, Any]) -> None:
    np.testing.assert_array_equal(decode(encode(plane), plane.shape), plane)


@given(planes())
def test_counts_and_back(plane: np.ndarray[Any, Any]) -> None:
    counts = counts_of(plane)
    np.testing.assert_array_equal(plane_of(counts, plane.shape), plane)
    assert sum(counts[1::2]) == plane.sum()


@given(planes())
def test_the_string_is_that_of_pycocotools(plane: np.ndarray[Any, Any]) -> None:
    theirs = coco.encode(np.asfortranarray(plane.astype(np.uint8)))
    assert encode(plane) == theirs["counts"].decode()
    np.testing.assert_array_equal(coco.decode({"size": list(plane.shape), "counts": encode(plane)}), plane)


@given(planes())
def test_the_counts_are_those_of_pycocotools(plane: np.ndarray[Any, Any]) -> None:
    theirs = coco.frPyObjects({"size": list(plane.shape), "counts": counts_of(plane)}, *plane.shape)
    assert theirs["counts"].decode() == encode(plane)


@given(st.lists(st.integers(0, 1 << 40), min_size=1))
def test_any_counts_survive_the_string(counts: list[int]) -> None:
    assert unpacked(packed(counts)) == counts


def test_a_known_mask() -> None:
    plane = np.array([[0, 1, 1], [0, 1, 0]])
    assert counts_of(plane) == [2, 3, 1]
    assert encode(plane) == "231"


def test_a_mask_set_in_its_first_pixel_starts_with_zero() -> None:
    assert counts_of(np.ones((2, 3))) == [0, 6]


@pytest.mark.parametrize("counts", [[], [5], [7], [3, -1, 4], [0]])
def test_counts_that_do_not_fill_the_mask(counts: list[int]) -> None:
    with pytest.raises(UnusableImage, match="do not fill the mask"):
        plane_of(counts, (2, 3))


@pytest.mark.parametrize("text", ["", "P", "o", "2 3", "23\x7f", "\u00e9", "o" * 20 + "0", "<svg>"])
def test_strings_that_are_no_run_lengths(text: str) -> None:
    with pytest.raises(UnusableImage, match="do not fill the mask|holds no run lengths"):
        decode(text, (2, 3))


@given(st.text())
def test_any_string_is_decoded_or_refused(text: str) -> None:
    try:
        assert decode(text, (2, 3)).shape == (2, 3)
    except UnusableImage as error:
        assert error.code == "malformed"


def test_document_of_a_mask_names_every_label() -> None:
    labels = np.zeros((3, 4), np.uint8)
    labels[1, 2] = 3
    document = mask_document(mask_of(labels))
    assert document["encoding"] == "coco-rle"
    assert document["size"] == [3, 4]
    assert not decode(document["labels"]["lesion"], (3, 4)).any()
    np.testing.assert_array_equal(decode(document["labels"]["pectoral"], (3, 4)), labels == 3)


def test_document_of_a_volume_has_a_string_per_slice() -> None:
    volume = (np.arange(24).reshape(2, 3, 4) % 5 == 1).astype(np.uint8)
    document = mask_document(Mask(volume, {1: "lesion"}))
    assert document["size"] == [3, 4]
    planes = [decode(text, (3, 4)) for text in document["labels"]["lesion"]]
    np.testing.assert_array_equal(planes, volume)


def test_a_mammogram_is_fast() -> None:
    plane = np.random.default_rng(1).random((3328, 2560)) < 0.02
    start = time.perf_counter()
    text = encode(plane)
    assert time.perf_counter() - start < 3
    np.testing.assert_array_equal(decode(text, plane.shape), plane)
