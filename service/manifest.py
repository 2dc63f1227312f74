"""A pipeline's card: read from ``manifest.yaml``, checked, frozen.

A folder ``<pipelines>/<name>/<version>/`` holds ``manifest.yaml``, ``card.md`` and the weight files it names. Whatever
is wrong with it is reported as file, field, found and wanted, before the service accepts a request.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from service.errors import ManifestError, WeightsError
from service.oddness_spec import Oddness
from service.stage_spec import (
    Decode,
    Fraction,
    Frozen,
    InputSpec,
    Look,
    Name,
    Positive,
    StageSpec,
    Weights,
    Window,
)
from service.yaml12 import read_yaml

__all__ = [
    "Code",
    "Decode",
    "Edge",
    "Enhancement",
    "Evidence",
    "Fraction",
    "Frozen",
    "InputSpec",
    "Label",
    "Look",
    "Manifest",
    "Metric",
    "Name",
    "PanelPart",
    "Positive",
    "StageSpec",
    "Version",
    "Weights",
    "Window",
    "read_manifest",
    "verified_weights",
]

# With an underscore, which no format has: a part never hides one.
PartName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)+$")]
Edge = Literal["left", "right"]
Enhancement = Literal["none", "clahe", "adaptive_clahe"]
Version = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]


class Code(Frozen):
    """A coded concept (DICOM PS3.3 section 8): value, scheme designator, meaning."""

    value: str
    scheme: str
    meaning: str


class Label(Frozen):
    """One label of the final mask. Colour is RGB 0 to 255; codes are what DICOM objects will carry."""

    id: Annotated[int, Field(ge=1, le=255)]
    name: Name
    color: tuple[int, int, int]
    category: Code | None = None
    type: Code | None = None


class PanelPart(Frozen):
    """One file of ``format=panel``: the mask of a stage, of some of its labels alone, or its probability."""

    stage: Name
    labels: tuple[Name, ...] = ()
    probability: bool = False


class Metric(Frozen):
    """One measured figure with its 95 % interval and where it was measured."""

    name: str
    value: float
    interval: tuple[float, float] | None = None
    on: str
    n: int


class Evidence(Frozen):
    """How good the pipeline is known to be, and from what."""

    level: Literal["validated", "demonstration"]
    data: str
    data_licence: str
    metrics: tuple[Metric, ...] = ()

    @model_validator(mode="after")
    def _earned(self) -> Evidence:
        if self.level == "validated" and not self.metrics:
            raise ValueError("level validated needs metrics; found none, so it is a demonstration until evaluated")
        return self


class Manifest(Frozen):
    """The whole card of one pipeline version.

    ``voxels``: as the file's window shows them, or ``raw`` as measured. ``measurements`` names by-products, see
    `service.by_products`. ``enhance`` is what a request may choose in the place of what the stages were trained with.
    ``canonical_side`` is the edge of the picture at which the chest wall lies in all that the networks learned from,
    see `service.side`: other pictures are mirrored for them, masks mirrored back. ``panel`` names the files of
    ``format=panel`` beside the combined picture; when empty each stage's mask and the last one's probability.
    ``oddness`` is what `service.oddness` compares pictures with; without it none is flagged as unlike.
    """

    name: Name
    version: Version
    title: str
    modality: Literal["US", "MG", "MR", "XC"]
    voxels: Literal["shown", "raw"] = "shown"
    intended_use: str
    evidence: Evidence
    labels: tuple[Label, ...]
    stages: Annotated[tuple[StageSpec, ...], Field(min_length=1)]
    measurements: tuple[Name, ...] = ()
    enhance: tuple[Enhancement, ...] = ()
    canonical_side: Edge | None = None
    panel: Annotated[dict[PartName, PanelPart], Field(default_factory=dict)]
    oddness: Oddness | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        known = {label.name for label in self.labels}
        if len(known) != len(self.labels) or len({label.id for label in self.labels}) != len(self.labels):
            raise ValueError("labels need different names and ids")
        seen: dict[str, StageSpec] = {}
        for stage in self.stages:
            _check_stage(stage, seen, known)
            seen[stage.name] = stage
        if not any(stage.kind in ("segment", "prompt") for stage in self.stages):
            raise ValueError("stages need at least one that makes a mask (segment or prompt)")
        for name, part in self.panel.items():
            _check_part(name, part, seen)
        return self

    def stage(self, name: str) -> StageSpec | None:
        """The stage of that name, or None."""
        return next((stage for stage in self.stages if stage.name == name), None)


def _check_stage(stage: StageSpec, earlier: dict[str, StageSpec], labels: set[str]) -> None:
    if stage.name in earlier or stage.name == "image":
        raise ValueError(f"stage name {stage.name} is used twice or reserved")
    if stage.on != "image" and (stage.on not in earlier or earlier[stage.on].kind in ("classify", "map")):
        raise ValueError(f"stage {stage.name} looks at {stage.on}, which is no earlier detect, segment or prompt stage")
    if stage.label is not None and stage.on != "image" and stage.label not in earlier[stage.on].labels:
        raise ValueError(f"stage {stage.name} wants label {stage.label}, which {stage.on} does not give")
    masks = stage.on != "image" and earlier[stage.on].kind in ("segment", "prompt")
    for choice, wanted in stage.regions.items():
        if not masks or not set(wanted) <= set(earlier[stage.on].labels):
            raise ValueError(f"region {choice} of stage {stage.name} wants labels that {stage.on} does not outline")
    for name in stage.with_:
        if name not in earlier or earlier[name].kind != "map":
            raise ValueError(f"stage {stage.name} wants {name}, which is no earlier map stage")
    if stage.kind in ("segment", "prompt") and not set(stage.labels) <= labels:
        raise ValueError(f"stage {stage.name} gives labels {stage.labels}, of which some are not declared")


def _check_part(name: str, part: PanelPart, stages: dict[str, StageSpec]) -> None:
    stage = stages.get(part.stage)
    if stage is None or stage.kind not in ("segment", "prompt"):
        raise ValueError(f"panel {name} wants stage {part.stage}, which makes no mask")
    if not set(part.labels) <= set(stage.labels) or (part.labels and part.probability):
        raise ValueError(f"panel {name} wants labels that stage {part.stage} does not give, or of a probability")


def read_manifest(folder: Path) -> Manifest:
    """Read ``folder/manifest.yaml``. Raises ManifestError naming file, field, found and wanted."""
    path = folder / "manifest.yaml"
    try:
        manifest = Manifest.model_validate(read_yaml(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ManifestError(
            f"{path}: {' '.join(str(error).split())}", "a readable YAML file", "Restore the file or remove the folder."
        ) from error
    except ValidationError as error:
        raise _readable(path, error) from error
    if (manifest.name, manifest.version) != (folder.parent.name, folder.name):
        raise ManifestError(
            f"{path}: name {manifest.name}, version {manifest.version}",
            f"{folder.parent.name} and {folder.name}, as the folders are called",
            "Rename the folders or mend the manifest.",
        )
    return manifest


def _readable(path: Path, error: ValidationError) -> ManifestError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the manifest"
    return ManifestError(
        f"{path}: field {where} = {first['input']!r:.80}", first["msg"], "Mend this field of the manifest."
    )


def verified_weights(folder: Path, weights: Weights) -> bytes:
    """The bytes of a weight file, after its digest was checked. Raises WeightsError."""
    path = folder / weights.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"{path}: no readable file", f"a file with sha256 {weights.sha256}", "Restore the weight file."
        ) from error
    if (digest := hashlib.sha256(content).hexdigest()) != weights.sha256:
        raise WeightsError(
            f"{path}: sha256 {digest}", weights.sha256, "Restore the file the manifest was written for, or export anew."
        )
    return content
