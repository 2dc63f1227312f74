"""Files that are read and say odd things: each is written in every format, or refused, and nothing else is thrown."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator
from typing import Any

import pydicom
import pytest

from service.decoding.pool import Decoders
from service.errors import InputError
from service.formats.options import Options
from service.image import Image
from tests.hostile.corpus import dicoms, outputs, pngs, rasters, volumes, zips
from tests.hostile.corpus.common import Files
from tests.hostile.writing import FORMATS, found, written

FILES: Files = {**outputs.ACCEPTED, **pngs.ODD, **rasters.ODD, **dicoms.ODD, **volumes.ODD, **zips.ODD}
UID = re.compile(r"[0-9.]{1,64}")


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    """Decoding processes as the service has them."""
    decoders = Decoders()
    decoders.start()
    yield decoders
    decoders.close()


def read(decoders: Decoders, name: str) -> Image | None:
    try:
        return decoders.read(FILES[name](), Options())
    except InputError as error:
        assert not error.code.startswith("decoder_")
        return None


@pytest.mark.parametrize("name", FILES)
def test_every_format(decoders: Decoders, name: str) -> None:
    image = read(decoders, name)
    if image is None:
        return
    answer = found(image)
    for form in FORMATS:
        content = written(answer, form)
        if isinstance(content, InputError):
            assert content.remedy
            assert content.code != "internal_error"
        elif form.startswith("dicom-"):
            check_names(pydicom.dcmread(io.BytesIO(content)))
        elif form in ("json", "coco", "cvat", "label-studio", "polygons"):
            assert all(map(math.isfinite, numbers(json.loads(content))))


def check_names(made: pydicom.Dataset) -> None:
    """Whatever is a UID looks like one."""
    for element in made.iterall():
        if element.VR == "UI":
            values = element.value if isinstance(element.value, pydicom.multival.MultiValue) else [element.value]
            assert all(UID.fullmatch(str(one)) for one in values), element.keyword


def numbers(document: Any) -> Iterator[float]:
    if isinstance(document, dict | list):
        for one in document.values() if isinstance(document, dict) else document:
            yield from numbers(one)
    elif isinstance(document, int | float):
        yield document


def test_enough() -> None:
    assert len(outputs.ACCEPTED) > 120
