"""A pipeline's card: read from ``manifest.yaml``, checked, frozen.

A folder ``<pipelines>/<name>/<version>/`` holds ``manifest.yaml``, ``card.md`` and the weight files it names. Whatever
is wrong with it is reported as file, field, found and wanted, before the service accepts a request.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.errors import ManifestError, WeightsError
from service.yaml12 import read_yaml

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Version = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Frozen(BaseModel):
    """Read-only; an unknown field and a number that is not finite are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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


class Window(Frozen):
    """How raw voxels become 0 to 1 before mean and std.

    ``percentile``: linear between the ``low`` and ``high`` percentile (0 to 100) of the array at hand, clipped;
    ``range``: linear between two raw values, clipped; ``full``: by the dtype's own range, integers only.
    ``ignore_zero`` leaves exact zeros (padding bars, area outside the fan) out of the percentiles.
    """

    kind: Literal["percentile", "range", "full"] = "percentile"
    low: float = 1.0
    high: float = 99.0
    ignore_zero: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if self.kind != "full" and self.low >= self.high:
            raise ValueError(f"window needs low < high, found {self.low} and {self.high}")
        if self.kind == "percentile" and not 0 <= self.low < self.high <= 100:
            raise ValueError(f"window needs percentiles from 0 to 100, found {self.low} and {self.high}")
        return self


class InputSpec(Frozen):
    """The input block: everything between source voxels and the network's tensor.

    ``size`` is (height, width) of the network. ``slices``: ``each`` slice alone, or ``stack:k``, k odd: the slice amid
    its neighbours as channels, those at the ends repeated; ``volume`` is kept for 3-D networks, which are not served
    yet. ``letterbox`` keeps the aspect ratio and pads with the window's zero. ``interpolation`` is for enlarging;
    shrinking averages over area, except with ``nearest``. ``enhance``: see `service.preprocess.prepare`.
    """

    size: tuple[Positive, Positive]
    channels: Literal[1, 3] = 1
    slices: Annotated[str, Field(pattern=r"^(each|volume|stack:[1-9][0-9]*)$")] = "each"
    window: Window = Window()
    mean: tuple[float, ...] = (0.0,)
    std: tuple[Annotated[float, Field(gt=0)], ...] = (1.0,)
    letterbox: bool = False
    interpolation: Literal["linear", "nearest", "cubic"] = "linear"
    enhance: Literal["none", "clahe", "median_clahe", "adaptive_clahe"] = "none"

    @model_validator(mode="after")
    def _served(self) -> InputSpec:
        kind, _, size = self.slices.partition(":")
        if kind == "volume":
            raise ValueError("slices volume is not served yet: use each or stack:k, with a network for slices")
        if kind == "stack" and int(size) % 2 == 0:
            raise ValueError(f"slices {self.slices} has no middle: the number of slices must be odd")
        return self

    @model_validator(mode="after")
    def _per_channel(self) -> InputSpec:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels):
                raise ValueError(f"{name} has {len(values)} values, wanted 1 or {self.channels}")
        return self


class Weights(Frozen):
    """One weight file: name beside the manifest, digest, licence of its use."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*\.onnx$")]
    sha256: Sha256
    licence: str


class Look(Frozen):
    """How a found box becomes the region a later stage sees.

    ``square`` first stretches the shorter side, then the box grows on each side by ``surround`` x the picture's side,
    by ``margin`` x its own, and to at least ``minimum`` pixels; what leaves the picture is clipped.
    """

    surround: Fraction = 0.0
    margin: Annotated[float, Field(ge=0)] = 0.0
    minimum: Positive = 1
    square: bool = False


class Decode(Frozen):
    """How a detector's raw output becomes boxes.

    ``components``: connected components of a probability map above ``threshold``, at least ``min_area`` of the map;
    ``yolo``: rows (x, y, width, height, score per class) in network pixels, suppressed at ``iou``. Regions scoring
    under ``min_score`` are dropped, the ``max_regions`` best are kept.
    """

    kind: Literal["components", "yolo"]
    threshold: Fraction = 0.5
    min_score: Fraction = 0.0
    min_area: Fraction = 0.0
    iou: Fraction = 0.5
    max_regions: Positive = 8


class StageSpec(Frozen):
    """One stage: what it looks at, what goes in, how its output is read.

    ``on`` is ``image`` or the name of an earlier stage, whose regions (of ``label``, enlarged as ``look`` says) are
    looked at one by one. ``with`` names earlier ``map`` stages stacked behind the image.
    ``on_miss`` says what happens when that earlier stage found nothing. ``labels`` are the label names of the output in
    channel order. ``exclusive``: softmax with background as a channel before them, the likeliest wins; else each label
    has its own sigmoid and counts above ``threshold``, the likeliest where several do. Components smaller than
    ``min_component`` of the region, or whose highest probability stays below ``keep``, are dropped.
    """

    name: Name
    kind: Literal["detect", "segment", "prompt", "classify", "map"]
    on: Name = "image"
    with_: Annotated[tuple[Name, ...], Field(alias="with")] = ()
    label: Name | None = None
    look: Look = Look()
    on_miss: Literal["whole_image", "empty", "stop"] | None = None
    input: InputSpec
    labels: tuple[Name, ...] = ()
    exclusive: bool = False
    threshold: Fraction = 0.5
    min_component: Fraction = 0.0
    keep: Fraction = 0.0
    decode: Decode | None = None
    weights: dict[Name, Weights]
    training: dict[str, Any] = {}

    @model_validator(mode="after")
    def _complete(self) -> StageSpec:
        if self.kind == "detect" and self.decode is None:
            raise ValueError(f"stage {self.name} detects and needs a decode block")
        if self.kind != "map" and not self.labels:
            raise ValueError(f"stage {self.name} needs the labels of its output")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"stage {self.name} names a label twice: {self.labels}")
        if self.on != "image" and self.on_miss is None:
            raise ValueError(f"stage {self.name} looks at {self.on} and needs on_miss")
        wanted = {"encoder", "decoder"} if self.kind == "prompt" else {"network"}
        if set(self.weights) != wanted:
            raise ValueError(f"stage {self.name} needs weights for {sorted(wanted)}, found {sorted(self.weights)}")
        return self


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
    """The whole card of one pipeline version. ``voxels``: as the file's window shows them, or ``raw`` as measured."""

    name: Name
    version: Version
    title: str
    modality: Literal["US", "MG", "MR", "XC"]
    voxels: Literal["shown", "raw"] = "shown"
    intended_use: str
    evidence: Evidence
    labels: tuple[Label, ...]
    stages: Annotated[tuple[StageSpec, ...], Field(min_length=1)]

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
    for name in stage.with_:
        if name not in earlier or earlier[name].kind != "map":
            raise ValueError(f"stage {stage.name} wants {name}, which is no earlier map stage")
    if stage.kind in ("segment", "prompt") and not set(stage.labels) <= labels:
        raise ValueError(f"stage {stage.name} gives labels {stage.labels}, of which some are not declared")


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
