"""Masks mean what their file says or are refused with file, found and wanted."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.datasets.tiny_files import blob, texture, write, write_dicom
from training.datasets.case import Case
from training.datasets.masks import AlphaLesion, Boxes, Lesion, UndeclaredValue, WrongSize, levels, same_aspect


def _case(folder: Path, *masks: Path) -> Case:
    return Case("one", write(folder / "one.png", texture(1)), masks, "", "one", 0)


@pytest.mark.parametrize("top", [1, 255])
def test_a_lesion_is_the_union_of_its_masks(tmp_path: Path, top: int) -> None:
    boxes = (2, 3, 9, 9), (7, 7, 30, 20)
    files = [write(tmp_path / f"m{i}.png", blob(box) * np.uint8(top)) for i, box in enumerate(boxes)]
    assert np.array_equal(Lesion()(_case(tmp_path, *files)), blob(boxes[0]) | blob(boxes[1]))


def test_a_case_without_masks_has_no_lesion(tmp_path: Path) -> None:
    empty = Lesion()(_case(tmp_path))
    assert empty.shape == texture(1).shape
    assert not empty.any()


def test_masks_of_sixteen_bits_and_of_dicom_are_read(tmp_path: Path) -> None:
    deep = write(tmp_path / "m.png", blob().astype(np.uint16) * 65535)
    dicom = write_dicom(tmp_path / "m.dcm", blob() * np.uint8(255))
    for path in (deep, dicom):
        assert np.array_equal(Lesion()(_case(tmp_path, path)), blob())


def test_a_jpeg_mask_rings_and_is_cut_in_the_middle(tmp_path: Path) -> None:
    size = (96, 80)
    truth = blob((13, 21, 55, 66), size)
    mask = write(tmp_path / "m.jpg", truth * np.uint8(255))
    assert len(np.unique(cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE))) > 2
    case = Case("one", write(tmp_path / "one.png", texture(1, size)), (mask,), "", "one", 0)
    assert np.array_equal(Lesion()(case), truth)


def test_an_undeclared_value_is_named(tmp_path: Path) -> None:
    mask = blob() * np.uint8(255)
    mask[0, 0] = 77
    path = write(tmp_path / "m.png", mask)
    with pytest.raises(UndeclaredValue, match=r"Found grey 77 in .*m.png; wanted only 0, 255. Declare these values"):
        Lesion()(_case(tmp_path, path))


def test_a_mask_of_another_size_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "m.png", blob(size=(24, 20)))
    with pytest.raises(WrongSize, match=r"Found 24 x 20 \(height x width\) in .*m.png; wanted 48 x 40 .* as .*one.png"):
        Lesion()(_case(tmp_path, path))


def test_a_missing_mask_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Found no file .*gone.png; wanted a picture or mask"):
        Lesion()(_case(tmp_path, tmp_path / "gone.png"))


def test_rescaling_keeps_the_aspect_or_refuses(tmp_path: Path) -> None:
    half = write(tmp_path / "half.png", blob((5, 6, 10, 12), (24, 20)) * np.uint8(255))
    assert np.array_equal(Lesion(rescale=True)(_case(tmp_path, half)), blob((10, 12, 20, 24)))
    wide = write(tmp_path / "wide.png", blob(size=(40, 48)))
    with pytest.raises(WrongSize, match=r"Found 40 x 48 .*wide.png; wanted the aspect of 48 x 40"):
        Lesion(rescale=True)(_case(tmp_path, wide))


@given(st.integers(250, 6000), st.integers(250, 6000), st.floats(0.3, 3))
def test_a_rounded_rescaling_has_the_same_aspect(height: int, width: int, scale: float) -> None:
    assert same_aspect((height, width), (round(height * scale), round(width * scale)))
    assert not same_aspect((height, width), (height, round(width * 1.03) + 1))


def test_a_mask_may_lie_in_alpha_or_in_luminance(tmp_path: Path) -> None:
    alpha = np.full((*blob().shape, 4), 90, np.uint8)
    alpha[..., 3] = blob() * 255
    opaque = cv2.merge([blob() * np.uint8(200)] * 3 + [np.full_like(blob(), 255)])
    for name, mask in {"alpha": alpha, "opaque": opaque, "grey": blob() * np.uint8(3)}.items():
        path = write(tmp_path / f"{name}.png", mask)
        assert np.array_equal(AlphaLesion()(_case(tmp_path, path)), blob()), name
    with pytest.raises(WrongSize, match="wanted 48 x 40"):
        AlphaLesion()(_case(tmp_path, write(tmp_path / "m.png", blob(size=(40, 48)))))


def test_greys_become_the_labels_that_were_declared(tmp_path: Path) -> None:
    mask = np.repeat(np.array([0, 60, 200, 255], np.uint8), 480).reshape(48, 40)
    path = write(tmp_path / "m.bmp", mask)
    labels = levels({"0": 0, 60: 2, 200: 1, 255: 2})(_case(tmp_path, path))
    assert np.unique(labels[mask == 60]).tolist() == np.unique(labels[mask == 255]).tolist() == [2]
    assert np.unique(labels[mask == 200]).tolist() == [1]
    with pytest.raises(UndeclaredValue, match=r"Found grey 200, 255 in .*m.bmp; wanted only 0, 60"):
        levels({0: 0, 60: 1})(_case(tmp_path, path))


def test_boxes_are_filled_on_the_picture_they_were_drawn_on(tmp_path: Path) -> None:
    case = _case(tmp_path)
    assert np.array_equal(Boxes(((10.2, 11.9, 24.6, 30.0),), (48, 40))(case), blob((10, 12, 25, 30)))
    assert Boxes(((-5.0, -5.0, 3.0, 99.0),), (48, 40))(case)[:, :3].all()
    with pytest.raises(WrongSize, match=r"Found 48 x 40 .*one.png; wanted 800 x 800 .* as its boxes"):
        Boxes((), (800, 800))(case)


@pytest.mark.parametrize("reader", [Lesion(), AlphaLesion(), levels({0: 0}), Boxes((), (1, 1))])
def test_readers_are_values_that_travel(reader: object) -> None:
    assert pickle.loads(pickle.dumps(reader)) == reader  # noqa: S301
    assert hash(reader) == hash(pickle.loads(pickle.dumps(reader)))  # noqa: S301
