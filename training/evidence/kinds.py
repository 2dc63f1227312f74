"""The kinds of measurement, by the name that manifests and evidence files know them by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.manifest import Metric
from training.datasets.case import Case
from training.evaluate import Bench, Row, metrics, scores
from training.evidence import boxes, label_maps, masks, oddness, stress, volumes
from training.evidence.plan import Measured


@dataclass(frozen=True)
class Kind:
    """How rows come to be, one or more a picture, and what figures follow from them and what the pictures are called.

    ``measure`` takes the pipeline, the cases or exams, and what was asked for.
    """

    measure: Callable[[Bench, Sequence[Any], Measured], list[Row]]
    figures: Callable[[Sequence[Row], str], tuple[Metric, ...]]


def _lesions(bench: Bench, cases: Sequence[Case], measured: Measured) -> list[Row]:
    return scores(bench, cases)


def _screenshots(bench: Bench, cases: Sequence[Case], measured: Measured) -> list[Row]:
    return scores(bench, cases, shifted=True)


KINDS: Mapping[str, Kind] = {
    "lesions": Kind(_lesions, metrics),
    "screenshots": Kind(_screenshots, metrics),
    "disturbed": Kind(stress.disturbed_rows, stress.disturbed_figures),
    "labels": Kind(label_maps.label_rows, label_maps.label_figures),
    "boxes": Kind(boxes.box_rows, boxes.box_figures),
    "findings": Kind(boxes.finding_rows, boxes.finding_figures),
    "masks": Kind(masks.mask_rows, masks.mask_figures),
    "volumes": Kind(volumes.volume_rows, volumes.volume_figures),
    "oddness": Kind(oddness.odd_rows, oddness.odd_figures),
}


def kind_of(name: str) -> Kind:
    """Raises ValueError for a name that is none."""
    if name not in KINDS:
        raise ValueError(f"Found measurement {name!r}; wanted one of {', '.join(KINDS)}. Mend training.measure.")
    return KINDS[name]
