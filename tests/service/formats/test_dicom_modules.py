"""Every attribute that the standard wants in a mandatory module is there, by the tables that highdicom carries."""

import io
from collections.abc import Callable, Iterator

import numpy as np
import pydicom
import pytest
from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map, get_sop_class_iod_map
from pydicom import Dataset

from service.engine import Answer
from service.formats.dicom_object import TYPE_2
from service.formats.dicom_sc import encode_sc
from service.formats.dicom_seg import encode_seg
from service.formats.dicom_sr import encode_sr
from service.image import Image
from tests.service.formats.answers import answer_to
from tests.service.formats.dicom_sources import enhanced_mr, mammogram, mr_series, ultrasound
from tests.service.formats.segmentations import blocks

SOURCES: dict[str, Callable[[], Image]] = {
    "mr": lambda: mr_series((4, 9, 7)),
    "enhanced": lambda: enhanced_mr((4, 9, 7)),
    "mammogram": mammogram,
    "ultrasound": ultrasound,
}
OBJECTS: dict[str, Callable[[Answer], bytes]] = {
    "seg": encode_seg,
    "labelmap": lambda answer: encode_seg(answer, "labelmap"),
    "sr": encode_sr,
    "sc": encode_sc,
}
# Their attributes stand in one of two places or depend on a value type, which the tables do not know.
CONDITIONAL = ("segmentation-multi-frame-functional-groups", "sr-document-content")


def wanted(made: Dataset) -> Iterator[tuple[str, str, Dataset]]:
    """(keyword, type, where it should stand) for each attribute of types 1 and 2."""
    for module in get_iod_module_map()[get_sop_class_iod_map()[made.SOPClassUID]]:
        if module["usage"] == "M" and module["key"] not in CONDITIONAL:
            for attribute in get_module_attribute_map()[module["key"]]:
                for item in _at(made, attribute["path"]):
                    yield attribute["keyword"], attribute["type"], item


def _at(made: Dataset, path: list[str]) -> list[Dataset]:
    items = [made]
    for name in path:
        items = [item for one in items if name in one for item in one[name].value]
    return items


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("complete", [True, False])
def test_mandatory_modules_are_whole(name: str, source: str, complete: bool) -> None:
    image = SOURCES[source]()
    assert image.source is not None
    assert image.source.dicom is not None
    for keyword in () if complete else TYPE_2:
        for header in image.source.dicom.headers:
            delattr(header, keyword)
    made = pydicom.dcmread(io.BytesIO(OBJECTS[name](answer_to(image, blocks(image.region.shape)))))
    checked = 0
    for keyword, kind, item in wanted(made):
        if kind in ("1", "2"):
            assert keyword in item
            assert kind == "2" or item[keyword].value not in ("", None)
            checked += 1
    assert checked >= 28


def test_a_report_of_nothing_is_whole() -> None:
    image = mammogram()
    made = pydicom.dcmread(io.BytesIO(encode_sr(answer_to(image, np.zeros(image.region.shape, np.uint8)))))
    assert all(keyword in item for keyword, kind, item in wanted(made) if kind in ("1", "2"))
