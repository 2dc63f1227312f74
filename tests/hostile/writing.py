"""One image written in every format that is offered."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from service.answers.clock import Clock
from service.answers.outputs import LABELMAPS, OFFERED, Format, wanted_format
from service.engine import Answer
from service.errors import InputError
from service.image import Image
from tests.service.formats.answers import answer_to

FORMATS: Mapping[str, Format] = {
    **OFFERED,
    **{f"{name} of label maps": wanted_format(name, None, "labelmap") for name in LABELMAPS},
}


def found(image: Image) -> Answer:
    """The answer that finds a box in the first of the slices, and another in all of them."""
    labels = np.zeros(image.region.shape, np.uint8)
    labels[0, 1:4, 1:5] = 1
    labels[:, 5:8, 2:7] = 3
    return answer_to(image, labels)


def written(answer: Answer, name: str) -> bytes | InputError:
    """The answer in a format, or what is wrong with it for that one. Everything else that is thrown is our fault."""
    try:
        return FORMATS[name].of(answer.image).encode(answer, Clock())
    except InputError as error:
        return error
