"""Findings against boxes, where boxes are all the truth there is; and how many findings a picture gets.

A finding hits a box if its centre (of mass) lies in the box or their IoU is 0.2 or more; of several boxes the one it
overlaps best. A box counts once, however many findings hit it; a finding without a hit is a false positive. Sensitivity
at a number of false positives per picture is the best one that a threshold on the findings' scores gives without more
(FROC); what the service did not answer at its own threshold cannot be gained back by a lower one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from service.image import Image, Region
from service.manifest import Metric
from service.measure import Finding
from training.datasets.case import Case
from training.evaluate import Bench, Row
from training.evidence.intervals import Pairs, known, mean, ratio, resampled
from training.evidence.label_maps import labels_of, shown
from training.evidence.plan import Measured
from training.metrics.detection import Candidates, Responses

HIT_IOU = 0.2
RATES = (1, 2)


class Boxed(Protocol):
    """A mask reader that knows the boxes behind its masks, on a grid (height, width) of their own."""

    @property
    def boxes(self) -> tuple[tuple[float, float, float, float], ...]: ...

    @property
    def grid(self) -> tuple[int, int]: ...


def box_rows(bench: Bench, cases: Sequence[Case], measured: Measured) -> list[Row]:
    """One row a picture: size, true boxes, and each finding's box, centre and score, in pixels of the picture shown.

    Raises ValueError for a data set without boxes.
    """
    return [_box_row(bench, case, measured) for case in cases]


def _box_row(bench: Bench, case: Case, measured: Measured) -> Row:
    image = shown(case)
    truth = [list(box.box) for box in true_boxes(case, image)]
    return _row(bench, case, image, measured) | {"category": case.category, "boxes": truth}


def _row(bench: Bench, case: Case, image: Image, measured: Measured) -> Row:
    answer = bench.serve(image, stage=measured.stage)
    wanted = labels_of(bench.pipeline.manifest, measured.stage)
    found = [_told(one) for one in answer.findings if one.label in wanted]
    size = [image.height, image.width]
    return {
        "image": case.name,
        "group": case.group,
        "status": answer.result.status,
        "size": size,
        "findings": found,
        "share": round(float((answer.result.mask.labels > 0).mean()), 6),
    }


def _told(finding: Finding) -> Row:
    x, y, _ = finding.centroid
    score = 1.0 if finding.score is None else round(finding.score, 6)
    return {"box": list(finding.box), "centre": [round(x, 2), round(y, 2)], "score": score}


def true_boxes(case: Case, image: Image) -> list[Region]:
    """The case's boxes in pixels of the picture as it is shown. Raises ValueError where it has none to tell."""
    reader: Boxed | object = case.mask_reader
    if not hasattr(reader, "boxes") or not hasattr(reader, "grid"):
        raise ValueError(
            f"Found no boxes with {case.name}; wanted a data set that is known by boxes. Measure masks instead."
        )
    high, wide = image.height / reader.grid[0], image.width / reader.grid[1]
    return [_scaled(box, wide, high).clipped(image.region) for box in reader.boxes]


def _scaled(box: Sequence[float], wide: float, high: float) -> Region:
    left, right, top, bottom = round(box[0] * wide), round(box[2] * wide), round(box[1] * high), round(box[3] * high)
    return Region(left, top, max(right, left + 1), max(bottom, top + 1))


def candidates(row: Row) -> Candidates:
    """The findings of a row, with what each hits."""
    truth = [Region(*box) for box in row["boxes"]]
    hits = tuple(_hit(Region(*one["box"]), one["centre"], truth) for one in row["findings"])
    return Candidates(tuple(one["score"] for one in row["findings"]), hits, len(truth))


def _hit(found: Region, centre: Sequence[float], truth: Sequence[Region]) -> int | None:
    overlaps = [(found.iou(box), place) for place, box in enumerate(truth) if _meets(found, centre, box)]
    return max(overlaps, key=lambda pair: (pair[0], -pair[1]))[1] if overlaps else None


def _meets(found: Region, centre: Sequence[float], box: Region) -> bool:
    x, y = centre
    return (box.left <= x < box.right and box.top <= y < box.bottom) or found.iou(box) >= HIT_IOU


def box_figures(rows: Sequence[Row], on: str) -> tuple[Metric, ...]:
    """Sensitivity at 1 and 2 false positives per picture and as the service answers; patients are drawn as a whole."""
    images = [candidates(row) for row in rows]
    if not sum(one.lesions for one in images):
        return ()
    groups = [row["group"] for row in rows]
    found, boxes, wrong = ([float(value) for value in values] for values in zip(*map(_counts, images), strict=True))
    return known(
        [
            *(_at(rate, images, groups, on) for rate in RATES),
            ratio("sensitivity as answered", found, boxes, on, groups),
            mean("false positives per picture as answered", wrong, on, groups),
        ]
    )


def _counts(image: Candidates) -> tuple[int, int, int]:
    return image.found(0), image.lesions, image.made_up(0)


def _at(rate: int, images: Sequence[Candidates], groups: Sequence[str], on: str) -> Metric:
    responses, order = Responses.of(images), np.arange(len(images), dtype=np.float64)[:, None]
    name = f"sensitivity at {rate} false positive{'s' if rate > 1 else ''} per picture"

    def sensitivity(drawn: Pairs) -> float:
        return responses.mean(drawn[:, 0], (float(rate),))

    return resampled(name, order, sensitivity, on, groups)


def finding_rows(bench: Bench, cases: Sequence[Case], measured: Measured) -> list[Row]:
    """One row a picture whose truth does not tell of lesions: what was found there."""
    return [_row(bench, case, shown(case), measured) for case in cases]


def finding_figures(rows: Sequence[Row], on: str) -> tuple[Metric, ...]:
    """Findings per picture, and the share of pictures with one."""
    counts, groups = [float(len(row["findings"])) for row in rows], [row["group"] for row in rows]
    return known(
        [
            mean("findings per picture", counts, on, groups),
            mean("share of pictures with a finding", [float(one > 0) for one in counts], on, groups),
        ]
    )
