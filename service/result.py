"""What a run is asked for and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.image import Mask, Point, Region
from service.side import Side
from service.source import Flag as Flag

Status = Literal["found", "none_found", "not_evaluated"]
Localisation = Literal["found", "whole_image", "given", "not_found"]


@dataclass(frozen=True)
class Ask:
    """What one run does differently from the manifest.

    Attributes:
        threshold: 0 to 1, of the stage whose mask is wanted.
        boxes: take the place of the localising stage; what of them lies outside of the image is cut off and flagged.
        stage: whose mask is wanted; the last segment or prompt stage when None.
        points: of one object, for a prompt stage; with one box or in the place of the localising stage.
        probabilities: whether those of a volume are wanted; a picture's always come. Without them a volume leaves no
            float behind.
        masks: stages whose masks are wanted beside that of the stage asked for.
        roi: which of their regions the stages that have a choice look at.
        enhance: how the picture is enhanced, in the place of what the weights were trained with.
    """

    threshold: float | None = None
    boxes: tuple[Region, ...] = ()
    stage: str | None = None
    points: tuple[Point, ...] = ()
    probabilities: bool = True
    masks: tuple[str, ...] = ()
    roi: str | None = None
    enhance: str | None = None


@dataclass(frozen=True)
class Look:
    """One region a stage looked at or, for a detector, found.

    Attributes:
        region: in source voxels.
        label: what is thought to be there.
        score: 0 to 1, None where the region was given or is the whole image.
        widened: the region was run a second time at 1.5 times its size because the mask reached its border.
        touches_border: the final mask still reaches a side of the region that lies inside the picture.
    """

    region: Region
    label: str | None = None
    score: float | None = None
    widened: bool = False
    touches_border: bool = False


@dataclass(frozen=True)
class StageResult:
    """What one stage did. ``milliseconds`` is wall time; ``network_ms`` the part of it inside ``network_runs`` runs."""

    name: str
    kind: str
    localisation: Localisation
    regions: tuple[Look, ...]
    milliseconds: float
    network_runs: int
    network_ms: float


@dataclass(frozen=True)
class Classification:
    """Scores by label name, summing to 1; or None with the reason why nothing was classified."""

    scores: Mapping[str, float] | None
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class Patch:
    """Foreground probability of one region of one slice, float32 (1, height, width) at source resolution."""

    region: Region
    probability: NDArray[np.float32]


@dataclass(frozen=True)
class Part:
    """One 8-connected part of one label in one slice.

    Attributes:
        region: tight.
        seed: (x, y, z) of the first pixel of its first row, which no other part has.
        pixels: how many it has.
        certainty: sum over them of the highest probability that was seen for a label there.
    """

    label: str
    region: Region
    seed: tuple[int, int, int]
    pixels: int
    certainty: float

    @property
    def score(self) -> float:
        """Mean probability, 0 to 1."""
        return self.certainty / self.pixels


@dataclass(frozen=True, eq=False)
class CascadeResult:
    """Everything one run gave.

    Attributes:
        mask: that of the stage asked for, on the image's own grid.
        patches: probabilities of a picture all over where was looked; of a volume where a label is, if asked for.
        parts: of the mask, slice by slice.
        masks: of the stages asked for that ran, by stage.
        side: where the chest wall was found; None where the pipeline does not ask.
        stage: the one asked for, whose mask this is.
    """

    status: Status
    mask: Mask
    patches: tuple[Patch, ...]
    stages: tuple[StageResult, ...]
    classification: Classification
    flags: tuple[Flag, ...]
    parts: tuple[Part, ...] = ()
    masks: Mapping[str, Mask] = field(default_factory=dict)
    side: Side | None = None
    stage: str | None = None
