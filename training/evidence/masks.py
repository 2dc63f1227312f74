"""Dice and IoU of the last mask against the truth on pictures with a lesion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.manifest import Metric
from training.datasets.case import Case
from training.evaluate import Bench, Row
from training.evidence.intervals import known, mean
from training.evidence.label_maps import labels_of, shown
from training.evidence.plan import Measured
from training.metrics import dice, iou


def mask_rows(bench: Bench, cases: Sequence[Case], measured: Measured) -> list[Row]:
    """One row a picture that has a mask file; a picture without one was never outlined and is left out."""
    return [_row(bench, case, measured) for case in cases if any(path.is_file() for path in case.masks)]


def _row(bench: Bench, case: Case, measured: Measured) -> Row:
    result = bench.serve(shown(case), stage=measured.stage).result
    wanted = labels_of(bench.pipeline.manifest, measured.stage)[1:]
    ids = [id_ for id_, name in result.mask.names.items() if name in wanted]
    guess, truth = np.isin(result.mask.labels[0], ids), case.read_mask() > 0
    row = {"image": case.name, "group": case.group, "status": result.status, "truth": bool(truth.any())}
    return row | {"dice": dice(guess, truth), "iou": iou(guess, truth)}


def mask_figures(rows: Sequence[Row], on: str) -> tuple[Metric, ...]:
    """Means over pictures with a lesion; the share of the others on which something was outlined."""
    lesions, others = ([row for row in rows if row["truth"] == there] for there in (True, False))
    groups = [row["group"] for row in lesions]
    return known(
        [
            mean("lesion Dice", [row["dice"] for row in lesions], on, groups),
            mean("lesion IoU", [row["iou"] for row in lesions], on, groups),
            mean(
                "share of lesion images with no overlap at all", [float(not row["dice"]) for row in lesions], on, groups
            ),
            mean("share of normal images with a false lesion", [float(row["status"] == "found") for row in others], on),
        ]
    )
