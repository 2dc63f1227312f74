"""The COCO document: pycocotools loads it and gives back the findings' pixels."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from service.engine import Answer
from service.errors import BadParameter, BreastCascadeError
from service.formats.coco import coco_document, component_of
from service.image import Image, Mask
from service.manifest import Evidence, InputSpec, Manifest, StageSpec, Weights
from service.measure import Finding, findings
from service.result import CascadeResult, Classification
from tests.service.formats.pictures import LABELS, mask_of

# pycocotools 2.0.11 answers numpy 2's conversion the old way; that is its matter.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

GRID = (40, 60)


def manifest() -> Manifest:
    stage = StageSpec(
        name="segment_lesion",
        kind="segment",
        input=InputSpec(size=(32, 32)),
        labels=("lesion",),
        weights={"network": Weights(file="a.onnx", sha256="0" * 64, licence="Apache-2.0")},
    )
    return Manifest(
        name="ultrasound",
        version="1.0.0",
        title="Lesions in ultrasound",
        modality="US",
        intended_use="research",
        evidence=Evidence(level="demonstration", data="phantoms", data_licence="Apache-2.0"),
        labels=LABELS,
        stages=(stage,),
    )


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


def found_on(plane: np.ndarray[Any, Any]) -> tuple[Finding, ...]:
    """The findings as the service measures them; all but the second with a score."""
    found = findings(mask_of(plane), Image(plane[None, ..., None]))
    return tuple(finding if finding.id == 2 else replace(finding, score=0.5) for finding in found)


def answer(mask: Mask, found: tuple[Finding, ...]) -> Answer:
    result = CascadeResult("found", mask, (), (), Classification(None, "no classifier"), ())
    image = Image(np.zeros((*mask.labels.shape, 1), np.uint8))
    return Answer(manifest(), image, result, found, {}, (), {}, {})


@pytest.fixture
def document() -> dict[str, Any]:
    return coco_document(answer(mask_of(labels()), found_on(labels())))


def test_pycocotools_loads_every_finding(document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "answer.json").write_text(json.dumps(document))
    loaded = COCO(str(tmp_path / "answer.json"))
    assert [category["name"] for category in loaded.loadCats(loaded.getCatIds())] == ["lesion", "pectoral"]
    union = np.zeros(GRID, np.uint8)
    for annotation in loaded.loadAnns(loaded.getAnnIds(imgIds=[1])):
        pixels = loaded.annToMask(annotation)
        assert pixels.sum() == annotation["area"]
        assert not (union[pixels > 0]).any()
        union[pixels > 0] = annotation["category_id"]
    np.testing.assert_array_equal(union, labels())


def test_annotations_agree_with_the_findings(document: dict[str, Any]) -> None:
    for annotation, finding in zip(document["annotations"], found_on(labels()), strict=True):
        left, top, width, height = annotation["bbox"]
        assert (left, top, left + width, top + height) == finding.box
        assert annotation["area"] == finding.area_px
        assert annotation["id"] == finding.id
        assert annotation.get("score") == finding.score
        assert annotation["iscrowd"] == 0


def test_image_entry_and_notice(document: dict[str, Any]) -> None:
    assert document["images"] == [{"id": 1, "width": 60, "height": 40, "file_name": "image"}]
    assert "Research use only" in document["info"]["description"]


def test_nothing_found_is_a_document_without_annotations() -> None:
    empty = coco_document(answer(mask_of(np.zeros(GRID, np.uint8)), ()))
    assert empty["annotations"] == []
    assert len(empty["categories"]) == 2


def test_a_finding_beside_its_mask_is_an_error() -> None:
    with pytest.raises(BreastCascadeError, match="finding 1 beside its mask"):
        component_of(found_on(labels())[0], LABELS[0], np.zeros(GRID, np.uint8))


def test_volumes_are_refused() -> None:
    with pytest.raises(BadParameter, match="one slice for this output"):
        coco_document(answer(Mask(np.zeros((2, *GRID), np.uint8), {}), ()))
