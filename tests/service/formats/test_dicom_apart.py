"""One object's contents never reach another: what was written before makes no difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from service.engine import Answer
from service.formats.dicom_sc import encode_sc
from service.formats.dicom_seg import encode_seg
from service.formats.dicom_sr import encode_sr
from tests.service.formats.answers import answer_to
from tests.service.formats.dicom_sources import mammogram, mr_series, ultrasound
from tests.service.formats.segmentations import blocks, read

ENCODERS = (encode_seg, encode_sr, encode_sc)


def of(side: str | None) -> Answer:
    image = ultrasound(121, 95)
    return answer_to(replace(image, laterality=side), blocks(image.region.shape))


@pytest.mark.parametrize("encode", ENCODERS)
def test_what_was_written_before_makes_no_difference(encode: Callable[[Answer], bytes]) -> None:
    first = {side: encode(of(side)) for side in (None, "L", "R", "B")}
    for image in (mammogram(121, 95), mr_series((4, 35, 41))):
        encode(answer_to(image, blocks(image.region.shape)))
    assert {side: encode(of(side)) for side in ("B", "R", "L", None)} == first


def test_a_picture_that_names_no_breast_gets_none_of_the_one_before() -> None:
    sides = {}
    for side in ("R", None, "L", None):
        (region,) = read(encode_seg(of(side))).SegmentSequence[0].AnatomicRegionSequence
        sides[side] = [one.CodeMeaning for one in region.get("AnatomicRegionModifierSequence", [])]
    assert sides == {"R": ["Right"], "L": ["Left"], None: []}
