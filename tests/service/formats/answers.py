"""Answers made by hand, for the tests of what is written from them."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine import Answer
from service.image import Image, Mask
from service.manifest import Code, Evidence, InputSpec, Label, Manifest, StageSpec, Weights
from service.measure import findings
from service.result import CascadeResult, Classification, Patch, StageResult

LESION = Label(
    id=1,
    name="lesion",
    color=(230, 30, 40),
    category=Code(value="49755003", scheme="SCT", meaning="Morphologically Abnormal Structure"),
    type=Code(value="52988006", scheme="SCT", meaning="Lesion"),
)
TISSUE = Label(
    id=3,
    name="fibroglandular",
    color=(0, 90, 200),
    category=Code(value="85756007", scheme="SCT", meaning="Tissue"),
    type=Code(value="1342375003", scheme="SCT", meaning="Breast fibroglandular tissue"),
)
CODED = (LESION, TISSUE)


def manifest(labels: tuple[Label, ...] = CODED, modality: str = "US") -> Manifest:
    """A pipeline of one stage over its labels."""
    stage = StageSpec(
        name="segment_lesion",
        kind="segment",
        input=InputSpec(size=(32, 32)),
        labels=("lesion",),
        weights={"network": Weights(file="a.onnx", sha256="0123456789abcdef" * 4, licence="Apache-2.0")},
    )
    return Manifest(
        name="ultrasound",
        version="1.0.0",
        title="Lesions in ultrasound",
        modality=modality,  # type: ignore[arg-type]
        intended_use="research",
        evidence=Evidence(level="demonstration", data="phantoms", data_licence="Apache-2.0"),
        labels=labels,
        stages=(stage,),
    )


def answer_to(image: Image, labels: NDArray[np.uint8], **about: Any) -> Answer:
    """The answer that found ``labels`` (depth, height, width) on ``image``, its findings scored 0.5."""
    card = about.pop("manifest", manifest())
    patches: tuple[Patch, ...] = about.pop("patches", ())
    kind = about.pop("localisation", "whole_image")
    mask = Mask(labels, {label.id: label.name for label in card.labels})
    found = tuple(replace(one, score=0.5) for one in findings(mask, image))
    stage = StageResult("segment_lesion", "segment", kind, (), 1.0, 1, 1.0)
    status = about.pop("status", "found" if labels.any() else "none_found")
    result = CascadeResult(status, mask, patches, (stage,), Classification(None, "no classifier"), ())
    return Answer(card, image, result, found, (), (), {}, {})


def picture(height: int, width: int) -> Image:
    """A grey picture that says nothing about itself."""
    return Image(np.zeros((1, height, width, 1), np.uint8))
