"""The check for unlike pictures (`service.oddness`): fitted on training folds, measured on fold 0 and other kinds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from service.image import Image
from service.manifest import Manifest, Metric
from service.oddness import distance, features
from service.oddness_spec import Oddness
from training.datasets.case import Case
from training.datasets.exam import Exam
from training.evaluate import BUSI, Bench, Row, parts_of
from training.evidence.intervals import known, mean
from training.evidence.label_maps import shown
from training.evidence.plan import MASSES, TISSUE, Measured, plan_of
from training.evidence.volumes import volume_image
from training.recipe import Part

QUANTILE = 0.99
# Of a feature that hardly varies in training, such as the colour of grey pictures.
LEAST_DEVIATION = 0.02
# Of another kind so many are enough, evenly from all of them.
ENOUGH = 100
PHOTOGRAPHS: Mapping[str, Any] = {
    "path": "training.datasets.photographs.cases",
    "arguments": {"greys": {"0": "background", **{str(50 * one): "body" for one in range(1, 6)}}},
}
# By modality: pictures that a pipeline of another one should find odd.
OTHERS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "US": ({"folder": "ultrasound_busi", "dataset": BUSI, "on": "ultrasound of BUSI"},),
    "MG": (
        {"folder": "mammography_tissue_ddsm", "dataset": {"path": TISSUE}, "on": "mammograms of DDSM"},
        {
            "folder": "mammography_masses_cbis",
            "dataset": {"path": MASSES, "arguments": {"aspect": 0.58}},
            "on": "mammograms of CBIS-DDSM",
        },
    ),
    "MR": (
        {
            "folder": "mri_slices_ispy1",
            "dataset": {"path": "training.datasets.image_folders.cases"},
            "on": "MRI slices of I-SPY1",
        },
    ),
    "XC": (
        {
            "drawn": {"writer": "training.phantoms.photo.write", "number": 30},
            "dataset": PHOTOGRAPHS,
            "on": "photograph phantoms",
        },
    ),
}


def odd_plan(manifest: Manifest) -> tuple[Measured, ...]:
    """False alarms on the pictures that the pipeline is measured on, alarms on all other kinds; nothing without it."""
    if manifest.oddness is None:
        return ()
    own = {one.dataset.path: one for one in plan_of(manifest) if one.part == "test" or one.drawn}
    alike = [one.model_copy(update={"kind": "oddness"}) for one in own.values()]
    blocks = [block for modality, some in OTHERS.items() if modality != manifest.modality for block in some]
    return (*alike, *(Measured.model_validate({"kind": "oddness", "part": "all", **block}) for block in blocks))


def odd_rows(bench: Bench, subjects: Sequence[Case | Exam], measured: Measured) -> list[Row]:
    """One row a picture: its distance and whether it is flagged; of a whole other set no more than 100 pictures.

    Raises ValueError for a pipeline without the check.
    """
    check = bench.pipeline.manifest.oddness
    if check is None:
        raise ValueError(
            f"Found no oddness in the manifest of {bench.pipeline.manifest.name}; wanted the check's figures. Run the "
            "command oddness."
        )
    step = max(1, len(subjects) // ENOUGH) if measured.part == "all" else 1
    return [_row(one, check) for one in subjects[::step]]


def _row(subject: Case | Exam, check: Oddness) -> Row:
    far = distance(check, features(image_of(subject)))
    group = subject.group if isinstance(subject, Case) else subject.patient
    return {"image": subject.name, "group": group, "distance": round(far, 4), "flagged": far > check.threshold}


def image_of(subject: Case | Exam) -> Image:
    """A case's picture, or an exam's volume, as a measurement shows it to the service."""
    return shown(subject) if isinstance(subject, Case) else volume_image(subject)


def odd_figures(rows: Sequence[Row], on: str) -> tuple[Metric, ...]:
    """The share that is flagged."""
    values, groups = [float(row["flagged"]) for row in rows], [row["group"] for row in rows]
    return known([mean("share flagged as unlike the training pictures", values, on, groups)])


def fitted(manifest: Manifest, data: Mapping[str, Path], quantile: float = QUANTILE) -> Oddness:
    """The check, from the training parts of all data sets that the pipeline is measured on.

    ``data`` is the folder of each, by dotted path. Raises ValueError for too few pictures to know a spread.
    """
    found = [features(image_of(case)) for case in _training(manifest, data)]
    if len(found) < 2:
        raise ValueError(f"Found {len(found)} training pictures; wanted two at least. Check the data set.")
    values = np.array(found)
    spread = np.maximum(values.std(axis=0), LEAST_DEVIATION)
    check = Oddness(mean=_rounded(values.mean(axis=0)), deviation=_rounded(spread), threshold=1.0, quantile=quantile)
    limit = float(np.quantile([distance(check, one) for one in values], quantile))
    return check.model_copy(update={"threshold": round(limit, 4)})


def _rounded(values: Any) -> tuple[float, ...]:
    return tuple(round(float(one), 5) for one in values)


def _training(manifest: Manifest, data: Mapping[str, Path]) -> Iterator[Case]:
    parts = {one.dataset.path: one.dataset for one in plan_of(manifest) if one.dataset.path in data}
    for path, dataset in parts.items():
        yield from parts_of(manifest, data[path], Part.model_validate(dataset))[1].train
