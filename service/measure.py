"""Findings of a mask: area, axes, volume, outline, place in the patient.

Lengths are those of `service.extent`: axes in the plane of one slice (the largest of a volume), the greatest extent in
space; areas and volumes count pixels and voxels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

from service.components import Component, Voxel, components
from service.extent import axes, longest, outline, rim
from service.image import Image, Mask
from service.location import NO_ORIENTATION, Location, Place, locate
from service.result import Part

MM3_PER_ML = 1000.0
NIPPLE = "nipple"
NOWHERE = Location(reason=NO_ORIENTATION)


@dataclass(frozen=True)
class Finding:
    """One connected component of one label.

    Attributes:
        id: 1, 2, ... by falling size.
        score: mean probability inside, 0 to 1; None where no probability is known.
        box: (left, top, right, bottom), half-open, over all its slices.
        slices: (first, last + 1).
        area_px: pixels; of the largest slice in a volume.
        area_mm2 long_axis_mm short_axis_mm volume_ml: None where the spacing is unknown.
        long_axis_px short_axis_px: greatest extent of the largest slice and the extent at right angles to it.
        longest_mm: greatest extent over planes of every direction; None unless depth is space and all spacing known.
        centroid: (x, y, z) in pixels, pixel centres at whole numbers.
        centroid_mm: the same in the patient, LPS; None where the source does not place its voxels in one.
        location: quadrant and clock face, or why they are not known.
        contour: outer outline of the largest slice, ((x, y), ...) pixel centres, straight runs shortened.
        touches_border: the component reaches the picture's edge.
    """

    id: int
    label: str
    score: float | None
    box: tuple[int, int, int, int]
    slices: tuple[int, int]
    area_px: int
    area_mm2: float | None
    long_axis_mm: float | None
    short_axis_mm: float | None
    long_axis_px: float
    short_axis_px: float
    volume_ml: float | None
    centroid: tuple[float, float, float]
    contour: tuple[tuple[int, int], ...]
    touches_border: bool
    centroid_mm: Place | None = None
    location: Location = NOWHERE
    longest_mm: float | None = None


def findings(mask: Mask, image: Image, parts: Sequence[Part] = ()) -> tuple[Finding, ...]:
    """All components of all labels, largest first. Through the slices only where depth is space."""
    known = {part.seed: part for part in parts}
    pairs = found_components(mask, image)
    measured = [_finding(number, *pair, image, known) for number, pair in enumerate(pairs, start=1)]
    nipples = [one.centroid_mm for one in measured if one.centroid_mm and NIPPLE in one.label.split("_")]
    return tuple(replace(one, location=locate(one.centroid_mm, image, nipples)) for one in measured)


class Findings(Sequence[Finding]):
    """The `findings` of a mask, measured when first looked at: who asks for the mask alone does not wait for them."""

    def __init__(self, mask: Mask, image: Image, parts: Sequence[Part]) -> None:
        self._of = mask, image, parts

    @cached_property
    def _measured(self) -> tuple[Finding, ...]:
        return findings(*self._of)

    def __len__(self) -> int:
        return len(self._measured)

    @overload
    def __getitem__(self, at: int) -> Finding: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[Finding, ...]: ...

    def __getitem__(self, at: int | slice) -> Finding | tuple[Finding, ...]:
        return self._measured[at]


def found_components(mask: Mask, image: Image) -> list[tuple[str, Component]]:
    """Label name and voxels behind each of the `findings`, in their order."""
    spatial = image.depth_axis == "space"
    pairs = [(name, one) for id_, name in mask.names.items() for one in components(mask.labels, id_, spatial=spatial)]
    return sorted(pairs, key=lambda pair: -pair[1].size)


def _finding(number: int, label: str, one: Component, image: Image, known: Mapping[Voxel, Part]) -> Finding:
    largest = int(np.argmax(one.areas))
    edge, area = outline(one.plane(largest)), one.areas[largest]
    z, y, x = image.spacing
    millimetres = None if x is None or y is None else axes(edge, (x, y))
    in_space = None if x is None or y is None or z is None or image.depth_axis != "space" else (x, y, z)
    long_px, short_px = axes(edge, (1.0, 1.0))
    region, centre = one.region, _centroid(one)
    return Finding(
        id=number,
        label=label,
        score=_score(one, known),
        box=region.box,
        slices=(region.z0, region.z1),
        area_px=area,
        area_mm2=None if x is None or y is None else area * x * y,
        long_axis_mm=millimetres[0] if millimetres else None,
        short_axis_mm=millimetres[1] if millimetres else None,
        long_axis_px=long_px,
        short_axis_px=short_px,
        volume_ml=one.size * math.prod(in_space) / MM3_PER_ML if in_space else None,
        centroid=centre,
        contour=tuple((int(x) + region.left, int(y) + region.top) for x, y in edge),
        touches_border=_at_edge(one, image),
        centroid_mm=_in_patient(centre, image),
        longest_mm=_longest(one, in_space) if in_space else None,
    )


def _longest(one: Component, spacing: tuple[float, float, float]) -> float:
    return longest((rim(plane, z) for z, plane in enumerate(one.planes()) if one.areas[z]), spacing)


def _in_patient(centre: tuple[float, float, float], image: Image) -> Place | None:
    x, y, z = centre
    # Frames over time all lie where the first one does.
    return image.source.at(x, y, 0 if image.depth_axis == "time" else z) if image.source else None


def _centroid(one: Component) -> tuple[float, float, float]:
    _, height, width = one.region.shape
    rows, columns = np.zeros(height, np.int64), np.zeros(width, np.int64)
    for plane in one.planes():
        rows += plane.sum(axis=1, dtype=np.int64)
        columns += plane.sum(axis=0, dtype=np.int64)
    x, y, z = (_middle(counts) for counts in (columns, rows, np.array(one.areas)))
    return x + one.region.left, y + one.region.top, z + one.region.z0


def _middle(counts: NDArray[np.int64]) -> float:
    """Mean index, weighted by ``counts``."""
    return float(counts @ np.arange(len(counts)) / counts.sum())


def _at_edge(one: Component, image: Image) -> bool:
    region = one.region
    return region.left == 0 or region.top == 0 or region.right == image.width or region.bottom == image.height


def _score(one: Component, known: Mapping[Voxel, Part]) -> float | None:
    """Mean over the component of the highest probability known at each voxel."""
    parts = [known[blob.seed] for blob in one.blobs if blob.seed in known]
    return sum(part.certainty for part in parts) / sum(part.pixels for part in parts) if parts else None
