"""One answer as a COCO document, to be loaded with pycocotools or an annotation tool."""

from __future__ import annotations

from typing import Any

from service.engine import Answer
from service.formats.instances import Instance, instances
from service.formats.rle import encode
from service.image import Image
from service.manifest import Label

NOTICE = "Research use only, not a medical device."


def coco_document(answer: Answer) -> dict[str, Any]:
    """An image per slice, a category per label, an annotation per finding and slice; ids start at 1.

    Image n is slice n - 1. Beside COCO's own keys an annotation has ``finding``, the id of its finding in the answer;
    ``score`` is left out where none is known.
    """
    found = enumerate(instances(answer), start=1)
    return {
        "info": _info(answer),
        "licenses": [],
        "images": [_image(answer.image, z) for z in range(answer.image.depth)],
        "categories": [_category(label, answer.manifest.name) for label in answer.manifest.labels],
        "annotations": [_annotation(number, one, answer.image) for number, one in found],
    }


def _info(answer: Answer) -> dict[str, str]:
    return {"description": f"{answer.manifest.title}. {NOTICE}", "version": answer.manifest.version}


def _image(image: Image, z: int) -> dict[str, Any]:
    name = "image" if image.depth == 1 else f"slice-{z}"
    return {"id": z + 1, "width": image.width, "height": image.height, "file_name": name}


def _category(label: Label, pipeline: str) -> dict[str, Any]:
    return {"id": label.id, "name": label.name, "supercategory": pipeline}


def _annotation(number: int, one: Instance, image: Image) -> dict[str, Any]:
    known = {} if one.finding.score is None else {"score": one.finding.score}
    counts = encode(one.on(image.height, image.width))
    return {
        "id": number,
        "image_id": one.region.z0 + 1,
        "category_id": one.label.id,
        "segmentation": {"size": [image.height, image.width], "counts": counts},
        "bbox": [one.region.left, one.region.top, one.region.width, one.region.height],
        "area": int(one.pixels.sum()),
        "iscrowd": 0,
        "finding": one.finding.id,
        **known,
    }
