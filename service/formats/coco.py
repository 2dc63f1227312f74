"""One answer as a COCO document, to be loaded with pycocotools or an annotation tool."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.engine import Answer
from service.errors import BreastCascadeError
from service.formats.plane import only_slice
from service.formats.rle import encode
from service.manifest import Label
from service.measure import Finding

NOTICE = "Research use only, not a medical device."


def coco_document(answer: Answer) -> dict[str, Any]:
    """One image, a category per label, an annotation per finding; ids start at 1.

    ``score`` is left out where none is known. Raises BadParameter for more than one slice and BreastCascadeError when a
    finding is not on the mask.
    """
    plane = only_slice(answer.result.mask.labels)
    labels = {label.name: label for label in answer.manifest.labels}
    return {
        "info": _info(answer),
        "licenses": [],
        "images": [{"id": 1, "width": answer.image.width, "height": answer.image.height, "file_name": "image"}],
        "categories": [_category(label, answer.manifest.name) for label in labels.values()],
        "annotations": [_annotation(finding, labels[finding.label], plane) for finding in answer.findings],
    }


def _info(answer: Answer) -> dict[str, str]:
    return {"description": f"{answer.manifest.title}. {NOTICE}", "version": answer.manifest.version}


def _category(label: Label, pipeline: str) -> dict[str, Any]:
    return {"id": label.id, "name": label.name, "supercategory": pipeline}


def _annotation(finding: Finding, label: Label, plane: NDArray[np.uint8]) -> dict[str, Any]:
    left, top, right, bottom = finding.box
    pixels = component_of(finding, label, plane)
    known = {} if finding.score is None else {"score": finding.score}
    return {
        "id": finding.id,
        "image_id": 1,
        "category_id": label.id,
        "segmentation": {"size": list(plane.shape), "counts": encode(pixels)},
        "bbox": [left, top, right - left, bottom - top],
        "area": int(np.count_nonzero(pixels)),
        "iscrowd": 0,
        **known,
    }


def component_of(finding: Finding, label: Label, plane: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels of one finding on the whole (height, width) plane.

    Other components may reach into its box, so it is the one its outline lies on; neighbours over corners belong
    together, as in the findings. Raises BreastCascadeError when the outline lies on background.
    """
    left, top, right, bottom = finding.box
    window = (plane[top:bottom, left:right] == label.id).astype(np.uint8)
    _, components = cv2.connectedComponents(window, connectivity=8)
    x, y = finding.contour[0]
    chosen = components[y - top, x - left]
    if chosen == 0:
        raise BreastCascadeError(
            f"finding {finding.id} beside its mask",
            "findings of the same mask",
            "Report this with the pipeline's name.",
        )
    pixels = np.zeros(plane.shape, np.bool_)
    pixels[top:bottom, left:right] = components == chosen
    return pixels
