"""Findings of a mask: area, axes, volume, outline, place in the patient.

Lengths are those between the outermost edge midpoints of pixels, in the plane of one slice (the largest of a volume),
so that a row of n pixels is n pixels long; areas and volumes count pixels and voxels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import overload

import cv2
import numpy as np
from numpy.typing import NDArray

from service.components import Component, components
from service.image import Image, Mask, Spacing
from service.location import NO_ORIENTATION, Location, Place, locate
from service.result import Patch

MM3_PER_ML = 1000.0
# Edge midpoints of a pixel whose centre is (0, 0): their hull measures a shape without the bias that pixel centres (too
# short by a pixel) or pixel corners (too long on slanted outlines) have.
EDGE_MIDPOINTS = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, -0.5), (0.0, 0.5)])
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


def findings(mask: Mask, image: Image, patches: Sequence[Patch] = ()) -> tuple[Finding, ...]:
    """All components of all labels, largest first. Through the slices only where depth is space."""
    by_slice = _by_slice(patches)
    pairs = found_components(mask, image)
    measured = [_finding(number, *pair, image, by_slice) for number, pair in enumerate(pairs, start=1)]
    nipples = [one.centroid_mm for one in measured if one.centroid_mm and NIPPLE in one.label.split("_")]
    return tuple(replace(one, location=locate(one.centroid_mm, image, nipples)) for one in measured)


class Findings(Sequence[Finding]):
    """The `findings` of a mask, measured when first looked at: who asks for the mask alone does not wait for them."""

    def __init__(self, mask: Mask, image: Image, patches: Sequence[Patch]) -> None:
        self._of = mask, image, patches

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
    pairs = [(name, one) for id_, name in mask.names.items() for one in components(mask.labels == id_, spatial=spatial)]
    return sorted(pairs, key=lambda pair: -pair[1].size)


def _finding(number: int, label: str, one: Component, image: Image, patches: Mapping[int, Sequence[Patch]]) -> Finding:
    largest = one.pixels[int(one.pixels.sum(axis=(1, 2)).argmax())]
    outline = _outline(largest)
    area = int(largest.sum())
    _, dy, dx = image.spacing
    millimetres = None if dx is None or dy is None else axes(outline, (dx, dy))
    long_px, short_px = axes(outline, (1.0, 1.0))
    region, centre = one.region, _centroid(one)
    return Finding(
        id=number,
        label=label,
        score=_score(one, patches),
        box=region.box,
        slices=(region.z0, region.z1),
        area_px=area,
        area_mm2=None if dx is None or dy is None else area * dx * dy,
        long_axis_mm=millimetres[0] if millimetres else None,
        short_axis_mm=millimetres[1] if millimetres else None,
        long_axis_px=long_px,
        short_axis_px=short_px,
        volume_ml=_volume(one, image),
        centroid=centre,
        contour=tuple((int(x) + region.left, int(y) + region.top) for x, y in outline),
        touches_border=_at_edge(one, image),
        centroid_mm=_in_patient(centre, image),
    )


def _in_patient(centre: tuple[float, float, float], image: Image) -> Place | None:
    x, y, z = centre
    # Frames over time all lie where the first one does.
    return image.source.at(x, y, 0 if image.depth_axis == "time" else z) if image.source else None


def _outline(plane: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Outer outline of the largest part of a 0/1 plane, (points, 2) as x, y."""
    contours, _ = cv2.findContours(plane, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(contours, key=lambda one: (cv2.contourArea(one), len(one)))
    return np.asarray(largest.reshape(-1, 2), np.int32)


def axes(points: NDArray[np.int32], spacing: tuple[float, float]) -> tuple[float, float]:
    """Greatest extent of a set of pixels (points, 2) as x, y, and the extent at right angles to it.

    ``spacing`` is the pixel's (x, y) size; the result has its unit.
    """
    edges = (points[:, None, :] + EDGE_MIDPOINTS[None]).reshape(-1, 2) * spacing
    hull = cv2.convexHull(edges.astype(np.float32)).reshape(-1, 2).astype(np.float64)
    between = hull[:, None, :] - hull[None]
    length = np.hypot(between[..., 0], between[..., 1])
    i, j = np.unravel_index(int(length.argmax()), length.shape)
    along = between[i, j] / length[i, j]
    across = hull @ np.array([-along[1], along[0]])
    return float(length[i, j]), float(across.max() - across.min())


def _volume(one: Component, image: Image) -> float | None:
    if image.depth_axis != "space" or None in image.spacing:
        return None
    return one.size * float(np.prod(_known(image.spacing))) / MM3_PER_ML


def _known(spacing: Spacing) -> list[float]:
    return [part for part in spacing if part is not None]


def _centroid(one: Component) -> tuple[float, float, float]:
    z, y, x = (_middle(one.pixels.sum(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    return x + one.region.left, y + one.region.top, z + one.region.z0


def _middle(counts: NDArray[np.unsignedinteger]) -> float:
    """Mean index, weighted by ``counts``."""
    return float(counts @ np.arange(len(counts)) / counts.sum())


def _at_edge(one: Component, image: Image) -> bool:
    region = one.region
    return region.left == 0 or region.top == 0 or region.right == image.width or region.bottom == image.height


def _by_slice(patches: Sequence[Patch]) -> dict[int, list[Patch]]:
    found: dict[int, list[Patch]] = {}
    for patch in patches:
        found.setdefault(patch.region.z0, []).append(patch)
    return found


def _score(one: Component, patches: Mapping[int, Sequence[Patch]]) -> float | None:
    """Mean over the component of the highest probability known at each voxel."""
    values = [_values(one, z, patches[z]) for z in range(one.region.z0, one.region.z1) if z in patches]
    return float(np.concatenate(values).mean()) if values and sum(map(len, values)) else None


def _values(one: Component, z: int, patches: Sequence[Patch]) -> NDArray[np.float32]:
    pixels = one.pixels[z - one.region.z0]
    best = np.full(pixels.shape, -1, np.float32)
    for patch in patches:
        common = patch.region.overlap(one.region)
        if common is not None:
            here = common.shifted(-one.region.left, -one.region.top, -common.z0).slices[1:]
            there = common.shifted(-patch.region.left, -patch.region.top, -common.z0).slices
            best[here] = np.maximum(best[here], patch.probability[there][0])
    return np.asarray(best[(pixels > 0) & (best >= 0)], np.float32)
