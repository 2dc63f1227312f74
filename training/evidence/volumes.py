"""Volumes: whether the tumour was hit, what was made up beside it, and Dice where there is a mask.

A tumour is hit if the centre of a component (connected in space) lies in the box around the truth, or their boxes'
IoU in space is 0.2 or more. A component without a hit is a false one. Dice of a volume is only told for exams with a
mask of voxels: a filled box is none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.engine import Answer
from service.image import Image, Region
from service.manifest import Metric
from service.measure import Finding
from training.datasets.exam import Exam, Scan, in_plane
from training.evaluate import Bench, Row
from training.evidence.boxes import HIT_IOU
from training.evidence.intervals import known, mean
from training.evidence.plan import Measured
from training.metrics import dice
from training.volume import finest_plane


def volume_rows(bench: Bench, exams: Sequence[Exam], measured: Measured) -> list[Row]:
    """One row an exam: status, hit or miss, components and how many of them are false, Dice (None without a mask)."""
    return [_row(bench, exam, measured.stage) for exam in exams]


def _row(bench: Bench, exam: Exam, stage: str | None) -> Row:
    scan = _scan(exam)
    answer = bench.serve(_image(scan), stage=stage)
    truth = np.asarray(scan.mask.voxels) > 0
    hits = _hits(answer, Region.around(truth))
    guess = np.asarray(answer.result.mask.labels) > 0
    return {
        "image": exam.name,
        "group": exam.patient,
        "status": answer.result.status,
        "truth": exam.truth if truth.any() else "none",
        "hit": any(hits) if truth.any() else None,
        "components": len(hits),
        "false_components": len(hits) - sum(hits),
        "dice": dice(guess, truth) if exam.truth == "mask" and truth.any() else None,
    }


def _scan(exam: Exam) -> Scan:
    scan = exam.reader(False)
    return in_plane(scan, finest_plane(scan.image))


def volume_image(exam: Exam) -> Image:
    """The exam's volume, slices across its widest voxel side."""
    return _image(_scan(exam))


def _image(scan: Scan) -> Image:
    voxels = np.asarray(scan.image.voxels)[..., None]
    return Image(voxels, scan.image.spacing, "nifti", "space")


def _hits(answer: Answer, truth: Region | None) -> list[bool]:
    return [truth is not None and _hit(one, truth) for one in answer.findings]


def _hit(finding: Finding, truth: Region) -> bool:
    x, y, z = finding.centroid
    inside = truth.left <= x < truth.right and truth.top <= y < truth.bottom and truth.z0 <= z < truth.z1
    return inside or Region(*finding.box, *finding.slices).iou(truth) >= HIT_IOU


def volume_figures(rows: Sequence[Row], on: str) -> tuple[Metric, ...]:
    """Share of tumours hit, false components an exam, mean Dice of volumes."""
    sick = [row for row in rows if row["hit"] is not None]
    outlined = [row for row in rows if row["dice"] is not None]
    return known(
        [
            mean("share of tumours hit", [float(row["hit"]) for row in sick], on, [row["group"] for row in sick]),
            mean(
                "false components per volume",
                [float(row["false_components"]) for row in rows],
                on,
                [row["group"] for row in rows],
            ),
            mean("volume Dice", [row["dice"] for row in outlined], on, [row["group"] for row in outlined]),
        ]
    )
