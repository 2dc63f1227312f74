"""What annotation tools load: CVAT's masks and Label Studio's brushes, each decoded by its published description."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.formats.cvat import cvat_document, mask_points
from service.formats.label_studio import brush, label_studio_tasks
from service.image import Image, Region
from tests.service.formats.answers import CODED, answer_to, picture

SIDES = st.integers(1, 37)
IDS = {label.name: label.id for label in CODED}


def noise(height: int, width: int, seed: int, share: float = 0.5) -> NDArray[np.uint8]:
    """Random pixels, 0 or 1."""
    return (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8)


def decode_cvat(points: list[int], height: int, width: int) -> NDArray[np.uint8]:
    """A mask shape of CVAT as its documentation describes it: toggled runs, row by row, inside an inclusive box."""
    *runs, left, top, right, bottom = points
    plane = np.zeros((height, width), np.uint8)
    box_width = right - left + 1
    at = 0
    for number, run in enumerate(runs):
        for place in range(at, at + run):
            plane[top + place // box_width, left + place % box_width] = number % 2
        at += run
    assert at == box_width * (bottom - top + 1)
    return plane


def decode_brush(content: list[int], height: int, width: int) -> NDArray[np.uint8]:
    """Bytes of rle-pack as its documentation describes them; the alpha channel of the picture, after a look at all."""
    bits = "".join(f"{byte:08b}" for byte in content)
    at = 0

    def read(count: int) -> int:
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    total, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < total:
        repeated = read(1)
        length = read(sizes[read(2)]) + 1
        values += [read(word)] * length if repeated else [read(word) for _ in range(length)]
    assert total == len(values) == height * width * 4
    assert len(bits) - at < 8
    rgba = np.array(values, np.uint8).reshape(height, width, 4)
    assert (rgba == rgba[..., :1]).all()
    return rgba[..., 3]


@given(SIDES, SIDES, st.integers(0, 50), st.floats(0, 1))
def test_cvat_points_give_the_mask_back(height: int, width: int, seed: int, share: float) -> None:
    pixels = noise(height, width, seed, share)
    points = mask_points(pixels, Region(3, 2, 3 + width, 2 + height))
    assert points[-4:] == [3, 2, 2 + width, 1 + height]
    again = decode_cvat(points, height + 5, width + 4)
    np.testing.assert_array_equal(again[2 : 2 + height, 3 : 3 + width], pixels)
    assert again.sum() == pixels.sum()


def test_cvat_points_of_a_known_mask() -> None:
    assert mask_points(np.array([[0, 1, 1], [1, 0, 0]], np.uint8), Region(4, 7, 7, 9)) == [1, 3, 2, 4, 7, 6, 8]
    assert mask_points(np.array([[1, 0]], np.uint8), Region(0, 0, 2, 1)) == [0, 1, 1, 0, 0, 1, 0]


@given(SIDES, SIDES, st.integers(0, 50), st.floats(0, 1))
def test_brush_gives_the_mask_back(height: int, width: int, seed: int, share: float) -> None:
    pixels = noise(height, width, seed, share)
    np.testing.assert_array_equal(decode_brush(brush(pixels), height, width), pixels * 255)


@pytest.mark.parametrize("run", [2, 4, 64, 65, 16383, 16384, 16385, 40000])
@pytest.mark.parametrize("value", [0, 1])
def test_brush_splits_runs_that_are_too_long(run: int, value: int) -> None:
    plane = np.full((1, run), value, np.uint8)
    np.testing.assert_array_equal(decode_brush(brush(plane), 1, run), plane * 255)


def volume() -> tuple[Image, NDArray[np.uint8]]:
    """Three slices with a lesion through two of them, another beside it, and some tissue."""
    labels = np.zeros((3, 21, 17), np.uint8)
    labels[0:2, 3:9, 2:7] = 1
    labels[1, 4, 3] = 0
    labels[1, 15:18, 10:16] = 1
    labels[2, 0:4, 0:9] = 3
    return Image(np.zeros((3, 21, 17, 1), np.uint8), depth_axis="space"), labels


@pytest.mark.parametrize("tool", ["cvat", "label-studio"])
def test_shapes_of_a_volume_land_in_their_slices(tool: str) -> None:
    image, labels = volume()
    again = np.zeros_like(labels)
    shapes = cvat_shapes(image, labels) if tool == "cvat" else brush_shapes(image, labels)
    for z, name, plane in shapes:
        assert not again[z][plane > 0].any()
        again[z][plane > 0] = IDS[name]
    np.testing.assert_array_equal(again, labels)


def cvat_shapes(image: Image, labels: NDArray[np.uint8]) -> list[tuple[int, str, NDArray[np.uint8]]]:
    (document,) = cvat_document(answer_to(image, labels))
    shapes: list[dict[str, Any]] = document["shapes"]
    assert all(shape["type"] == "mask" for shape in shapes)
    assert len({shape["group"] for shape in shapes}) == 3
    return [(shape["frame"], shape["label"], decode_cvat(shape["points"], 21, 17)) for shape in shapes]


def brush_shapes(image: Image, labels: NDArray[np.uint8]) -> list[tuple[int, str, NDArray[np.uint8]]]:
    shapes = []
    for task in label_studio_tasks(answer_to(image, labels)):
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == "ultrasound 1.0.0"
        for result in prediction["result"]:
            assert (result["original_width"], result["original_height"], result["type"]) == (17, 21, "brushlabels")
            assert (result["value"]["format"], result["score"]) == ("rle", 0.5)
            plane = decode_brush(result["value"]["rle"], 21, 17)
            shapes.append((task["data"]["slice"], *result["value"]["brushlabels"], plane))
    return shapes


def test_nothing_found_is_a_document_without_shapes() -> None:
    empty = answer_to(picture(9, 11), np.zeros((1, 9, 11), np.uint8))
    assert cvat_document(empty)[0]["shapes"] == []
    (task,) = label_studio_tasks(empty)
    assert task["predictions"][0]["result"] == []
