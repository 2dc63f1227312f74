"""The COCO document: pycocotools loads it and gives back the findings' pixels."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from service.engine import Answer
from service.formats.coco import coco_document
from service.image import Image
from tests.service.formats.answers import answer_to, picture

# pycocotools 2.0.11 answers numpy 2's conversion the old way; that is its matter.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

GRID = (40, 60)


def labels() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """An L-shaped lesion with a second one inside its box, and a pectoral muscle."""
    plane = np.zeros(GRID, np.uint8)
    plane[5:30, 5:9] = 1
    plane[26:30, 5:35] = 1
    plane[10:14, 20:24] = 1
    plane[0:4, 50:60] = 3
    # Two pixels that meet at a corner belong together.
    plane[35, 40] = plane[36, 41] = 1
    return plane


def found() -> Answer:
    """The answer with these findings, all but the second with a score."""
    answer = answer_to(picture(*GRID), labels()[None])
    scored = (replace(one, score=None) if one.id == 2 else one for one in answer.findings)
    return replace(answer, findings=tuple(scored))


@pytest.fixture
def document() -> dict[str, Any]:
    return coco_document(found())


def test_pycocotools_loads_every_finding(document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "answer.json").write_text(json.dumps(document))
    loaded = COCO(str(tmp_path / "answer.json"))
    assert [category["name"] for category in loaded.loadCats(loaded.getCatIds())] == ["lesion", "fibroglandular"]
    union = np.zeros(GRID, np.uint8)
    for annotation in loaded.loadAnns(loaded.getAnnIds(imgIds=[1])):
        pixels = loaded.annToMask(annotation)
        assert pixels.sum() == annotation["area"]
        assert not (union[pixels > 0]).any()
        union[pixels > 0] = annotation["category_id"]
    np.testing.assert_array_equal(union, labels())


def test_annotations_agree_with_the_findings(document: dict[str, Any]) -> None:
    for annotation, finding in zip(document["annotations"], found().findings, strict=True):
        left, top, width, height = annotation["bbox"]
        assert (left, top, left + width, top + height) == finding.box
        assert annotation["area"] == finding.area_px
        assert annotation["id"] == annotation["finding"] == finding.id
        assert annotation.get("score") == finding.score
        assert annotation["iscrowd"] == 0


def test_image_entry_and_notice(document: dict[str, Any]) -> None:
    assert document["images"] == [{"id": 1, "width": 60, "height": 40, "file_name": "image"}]
    assert "Research use only" in document["info"]["description"]


def test_nothing_found_is_a_document_without_annotations() -> None:
    empty = coco_document(answer_to(picture(*GRID), np.zeros((1, *GRID), np.uint8)))
    assert empty["annotations"] == []
    assert len(empty["categories"]) == 2


def test_a_volume_is_an_image_per_slice(tmp_path: Path) -> None:
    volume = np.stack((labels(), np.zeros(GRID, np.uint8), labels()[::-1]))
    image = Image(np.zeros((*volume.shape, 1), np.uint8), depth_axis="space")
    (tmp_path / "answer.json").write_text(json.dumps(coco_document(answer_to(image, volume))))
    loaded = COCO(str(tmp_path / "answer.json"))
    assert [one["file_name"] for one in loaded.loadImgs([1, 2, 3])] == ["slice-0", "slice-1", "slice-2"]
    again = np.zeros_like(volume)
    for annotation in loaded.loadAnns(loaded.getAnnIds()):
        again[annotation["image_id"] - 1][loaded.annToMask(annotation) > 0] = annotation["category_id"]
    np.testing.assert_array_equal(again, volume)
