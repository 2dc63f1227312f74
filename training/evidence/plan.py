"""What a pipeline version is measured on: read from the ``training`` blocks of its stages, never from its name.

Every stage that makes a mask is measured on the data set it learned from, on the fold it never saw. How follows from
the data set (`KNOWN`) or, for one that is not named there, from the stage. A stage says otherwise with
``training: {measure: [...]}``, a list of `Measured`: a pipeline of known kinds needs no code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from service.manifest import Frozen, Manifest, Name, Positive, StageSpec
from training.evaluate import BUSI
from training.recipe import Part


class Drawn(Frozen):
    """Phantoms made for measuring: their writer by dotted path, the seed of the first, how many.

    Seeds of ten million and above are kept for measuring: training never draws them.
    """

    writer: str
    number: Positive = 20
    first: Annotated[int, Field(ge=10_000_000)] = 10_000_000
    arguments: Annotated[dict[str, Any], Field(default_factory=dict)]


class Measured(Frozen):
    """One measurement.

    Attributes:
        kind: a key of `training.evidence.kinds.KINDS`.
        dataset: what reads the data set.
        folder: of the data set, inside the folder of all data sets; None where it is ``drawn``.
        drawn: phantoms in the place of a folder.
        part: ``test`` is the fold that the stages name, ``all`` every picture.
        stage: whose mask is measured; None for the last.
        on: what cards call the pictures; None for the data set's name with the part.
    """

    kind: Name
    dataset: Part
    folder: str | None = None
    drawn: Drawn | None = None
    part: Literal["test", "all"] = "test"
    stage: Name | None = None
    on: str | None = None

    @property
    def place(self) -> str:
        """The folder, or how what takes its place is drawn."""
        if self.drawn is None:
            return self.folder or self.dataset.path.split(".")[-2]
        last = self.drawn.first + self.drawn.number - 1
        return f"drawn by {self.drawn.writer}, seeds {self.drawn.first} to {last}"


TISSUE, MASSES = "training.datasets.tissue.cases", "training.datasets.cbis_ddsm.cases"
OUTLINED = {"path": "training.datasets.image_folders.cases", "arguments": {"patient": "P_[0-9]+"}}
# By data set: what is measured. ``dataset`` is the stage's own where none stands here.
KNOWN: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    BUSI["path"]: (
        {"kind": "lesions", "folder": "ultrasound_busi"},
        {"kind": "screenshots", "folder": "ultrasound_busi"},
    ),
    TISSUE: ({"kind": "labels", "folder": "mammography_tissue_ddsm"},),
    MASSES: (
        {"kind": "boxes", "folder": "mammography_masses_cbis"},
        {
            "kind": "masks",
            "folder": "mammography_masks_cbis",
            "dataset": OUTLINED,
            "part": "all",
            "on": "CBIS-DDSM, masses with an official mask",
        },
        {
            "kind": "findings",
            "folder": "mammography_tissue_ddsm",
            "dataset": {"path": TISSUE},
            "part": "all",
            "on": "DDSM films of the tissue set",
        },
    ),
    "training.datasets.photographs.cases": (
        {
            "kind": "labels",
            "drawn": {"writer": "training.phantoms.photo.write", "number": 40},
            "part": "all",
            "on": "photograph phantoms",
        },
    ),
    "training.datasets.mri_slices.cases": (
        {
            "kind": "volumes",
            "drawn": {"writer": "training.phantoms.mri_set.write", "number": 10},
            "dataset": {"path": "training.datasets.mama_mia.exams"},
            "part": "all",
            "on": "MRI phantoms",
        },
        {
            "kind": "volumes",
            "folder": "mri_exam_duke153",
            "dataset": {"path": "training.datasets.duke.exams"},
            "part": "all",
            "on": "Duke-Breast-Cancer-MRI, one exam with a box",
        },
    ),
}


def plan_of(manifest: Manifest) -> tuple[Measured, ...]:
    """All measurements of a pipeline version, each once, in the order of its stages.

    Raises ValueError where no stage tells what it learned from, pydantic's ValidationError for a block that is wrong.
    """
    found = [one for stage in manifest.stages for one in _of_stage(stage, manifest)]
    if not found:
        raise ValueError(
            f"Found no data set in the stages of {manifest.name} {manifest.version}; wanted training.dataset or "
            "training.measure in one. Export the pipeline anew, or name a data set."
        )
    return tuple(one for place, one in enumerate(found) if one not in found[:place])


def _of_stage(stage: StageSpec, manifest: Manifest) -> list[Measured]:
    training, masks = stage.training, stage.kind in ("segment", "prompt")
    if "measure" in training:
        return [_measured(one, stage, manifest) for one in training["measure"]]
    if not masks or "dataset" not in training:
        return []
    blocks = KNOWN.get(training["dataset"]["path"], ({"kind": _kind(stage, manifest)},))
    return [_measured(one, stage, manifest) for one in blocks]


def _kind(stage: StageSpec, manifest: Manifest) -> str:
    if stage.exclusive:
        return "labels"
    return "lesions" if manifest.stages[0].kind == "detect" else "masks"


def _measured(block: Mapping[str, Any], stage: StageSpec, manifest: Manifest) -> Measured:
    own = {"dataset": stage.training["dataset"]} if "dataset" in stage.training else {}
    masks = [one.name for one in manifest.stages if one.kind in ("segment", "prompt")]
    asked = stage.name if stage.name in masks[:-1] else None
    return Measured.model_validate({**own, "stage": asked, **block})
