"""The grid: image, region and mask, and their axis order, said once.

Every array is ``(depth, height, width, channels)``; a picture has depth 1. Masks lack the channel axis. Spacing is
``(z, y, x)`` in millimetres. Boxes shown to users are ``(left, top, right, bottom)``, half-open; inside, only `Region`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from service.errors import BadParameter, UnusableImage
from service.source import Flag, Source

DepthAxis = Literal["space", "time", "none"]
SpacingSource = Literal["pixel_spacing", "imager", "imager_magnified", "us_region", "nifti", "nrrd", "user", "none"]
Spacing = tuple[float | None, float | None, float | None]
NO_SPACING: Spacing = (None, None, None)


class SlabReader(Protocol):
    """A volume that is read piece by piece. ``shape`` is (depth, height, width, channels)."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, key: slice) -> NDArray[Any]: ...


@dataclass(frozen=True, eq=False)
class Image:
    """Voxels on a grid, with what is known about the grid.

    Attributes:
        voxels: (depth, height, width, channels), 1 channel (grey) or 3 (RGB); an array or anything that gives slabs of
            one on ``voxels[z0:z1]``. Any real dtype; the range has no fixed meaning before preprocessing.
        spacing: millimetres between voxel centres as (z, y, x); None where unknown, never assumed.
        spacing_source: where the spacing was read, ``none`` when unknown.
        depth_axis: whether depth is ``space``, ``time`` or ``none`` (a picture).
        notes: what decoding decided (orientation applied, alpha dropped, 16 bit kept, ...), echoed in the answer.
        focus: the part that shows the patient and was asked for; None for all of it. Nothing looks outside of it.
        flags: what a reader of the answer must know about the source.
        source: what outputs need of the file; it may name the patient.
        held: the slices (first, last + 1) whose voxels were decoded, None for all of them.
    """

    voxels: NDArray[Any] | SlabReader
    spacing: Spacing = NO_SPACING
    spacing_source: SpacingSource = "none"
    depth_axis: DepthAxis = "none"
    modality: str | None = None
    laterality: str | None = None
    view: str | None = None
    notes: tuple[str, ...] = ()
    focus: Region | None = None
    flags: tuple[Flag, ...] = ()
    source: Source | None = None
    held: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if len(self.voxels.shape) != 4 or 0 in self.voxels.shape:
            raise UnusableImage(
                f"voxels of shape {tuple(self.voxels.shape)}",
                "a non-empty array (depth, height, width, channels)",
                "Add the missing axes; a picture has depth 1.",
            )
        if self.voxels.shape[3] not in (1, 3):
            raise UnusableImage(
                f"{self.voxels.shape[3]} channels", "1 (grey) or 3 (RGB)", "Convert the picture to grey or RGB."
            )

    @property
    def depth(self) -> int:
        return self.voxels.shape[0]

    @property
    def height(self) -> int:
        return self.voxels.shape[1]

    @property
    def width(self) -> int:
        return self.voxels.shape[2]

    @property
    def channels(self) -> int:
        return self.voxels.shape[3]

    @property
    def region(self) -> Region:
        """The whole grid."""
        return Region(0, 0, self.width, self.height, 0, self.depth)

    @property
    def field(self) -> Region:
        """What is looked at: the focus, or the whole grid."""
        return self.focus or self.region

    def slab(self, z0: int, z1: int) -> NDArray[Any]:
        """Voxels of slices z0 to z1 (half-open) as (z1 - z0, height, width, channels)."""
        if not 0 <= z0 < z1 <= self.depth:
            raise BadParameter(
                f"slices {z0} to {z1}", f"a non-empty range inside 0 to {self.depth}", "Ask for slices that exist."
            )
        return np.asarray(self.voxels[z0:z1])


def _place(region: Region, *, in_depth: bool) -> str:
    return f"{region.box} in slices {region.z0} to {region.z1}" if in_depth else f"{region.box}"


@dataclass(frozen=True, order=True)
class Region:
    """Half-open integer box in source voxels; it may reach over the picture's edge until it is clipped."""

    left: int
    top: int
    right: int
    bottom: int
    z0: int = 0
    z1: int = 1

    def __post_init__(self) -> None:
        if self.right <= self.left or self.bottom <= self.top or self.z1 <= self.z0:
            raise BadParameter(
                f"box {_place(self, in_depth=self._in_depth)}",
                "left < right, top < bottom and at least one slice" if self._in_depth else "left < right, top < bottom",
                "Give the box as left,top,right,bottom with the right and bottom edges excluded.",
            )

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom)."""
        return self.left, self.top, self.right, self.bottom

    @property
    def _in_depth(self) -> bool:
        """Whether this is more than a box in a picture, whose only slice needs no mention."""
        return (self.z0, self.z1) != (0, 1)

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def depth(self) -> int:
        return self.z1 - self.z0

    @property
    def shape(self) -> tuple[int, int, int]:
        """(depth, height, width)."""
        return self.depth, self.height, self.width

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of this region in a (depth, height, width, ...) array; only for regions inside it."""
        return slice(self.z0, self.z1), slice(self.top, self.bottom), slice(self.left, self.right)

    def overlap(self, other: Region) -> Region | None:
        """The common part, or None."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        z0, z1 = max(self.z0, other.z0), min(self.z1, other.z1)
        if right <= left or bottom <= top or z1 <= z0:
            return None
        return Region(left, top, right, bottom, z0, z1)

    def clipped(self, to: Region) -> Region:
        """The part inside ``to``. Raises BadParameter when nothing of it is."""
        common = self.overlap(to)
        if common is None:
            in_depth = self._in_depth or to._in_depth
            raise BadParameter(
                f"box {_place(self, in_depth=in_depth)}",
                f"a box that meets the picture {_place(to, in_depth=in_depth)}",
                f"Check the order left,top,right,bottom{' and the slice' if in_depth else ''}.",
            )
        return common

    def iou(self, other: Region) -> float:
        """Intersection over union of voxel counts, 0 to 1."""
        common = self.overlap(other)
        if common is None:
            return 0.0
        inside = np.prod(common.shape)
        return float(inside / (np.prod(self.shape) + np.prod(other.shape) - inside))

    def squared(self) -> Region:
        """The shorter side of the plane stretched to the longer one about its centre; it may leave the picture."""
        extra_x, extra_y = max(0, self.height - self.width), max(0, self.width - self.height)
        left, top = self.left - extra_x // 2, self.top - extra_y // 2
        return replace(self, left=left, top=top, right=left + self.width + extra_x, bottom=top + self.height + extra_y)

    def grown(self, margin: float, within: Region, minimum: int = 1) -> Region:
        """Enlarged in the plane by ``margin`` x its side on each side, to at least ``minimum`` pixels, then clipped."""
        dx = max(round(self.width * margin), -(-(minimum - self.width) // 2), 0)
        dy = max(round(self.height * margin), -(-(minimum - self.height) // 2), 0)
        wide = replace(self, left=self.left - dx, right=self.right + dx, top=self.top - dy, bottom=self.bottom + dy)
        return wide.clipped(within)

    def widened(self, factor: float, within: Region) -> Region:
        """Scaled in the plane by ``factor`` > 1 about its centre, by a pixel on each side at least, then clipped."""
        dx, dy = (math.ceil(side * (factor - 1) / 2) for side in (self.width, self.height))
        wide = replace(self, left=self.left - dx, right=self.right + dx, top=self.top - dy, bottom=self.bottom + dy)
        return wide.clipped(within)

    def shifted(self, dx: int, dy: int, dz: int = 0) -> Region:
        """Moved by whole voxels."""
        return Region(self.left + dx, self.top + dy, self.right + dx, self.bottom + dy, self.z0 + dz, self.z1 + dz)

    @staticmethod
    def around(labels: NDArray[Any]) -> Region | None:
        """The tight region of all non-zero voxels of a (depth, height, width) array, or None."""
        z, y, x = (np.flatnonzero(labels.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
        if z.size == 0:
            return None
        return Region(int(x[0]), int(y[0]), int(x[-1]) + 1, int(y[-1]) + 1, int(z[0]), int(z[-1]) + 1)


@dataclass(frozen=True)
class Point:
    """A voxel of slice ``z`` that lies ``inside`` the object meant, or outside of it."""

    x: int
    y: int
    z: int = 0
    inside: bool = True

    @property
    def region(self) -> Region:
        """The one voxel."""
        return Region(self.x, self.y, self.x + 1, self.y + 1, self.z, self.z + 1)


def around(points: Sequence[Point]) -> Region:
    """The tight region around points, at least one."""
    xs, ys, zs = ([getattr(point, axis) for point in points] for axis in "xyz")
    return Region(min(xs), min(ys), max(xs) + 1, max(ys) + 1, min(zs), max(zs) + 1)


def crop(array: NDArray[Any], region: Region) -> NDArray[Any]:
    """Copy of ``region`` from a (depth, height, width, ...) array; what lies over the edge is 0."""
    patch = np.zeros((*region.shape, *array.shape[3:]), array.dtype)
    common = region.overlap(_grid_of(array))
    if common is not None:
        patch[common.shifted(-region.left, -region.top, -region.z0).slices] = array[common.slices]
    return patch


def paste(patch: NDArray[Any], region: Region, onto: NDArray[Any]) -> None:
    """Write ``patch`` at ``region`` of a (depth, height, width, ...) array in place; what is over the edge is lost."""
    if patch.shape[:3] != region.shape:
        raise BadParameter(
            f"a patch of shape {patch.shape[:3]}", f"the region's shape {region.shape}", "Resize the patch first."
        )
    common = region.overlap(_grid_of(onto))
    if common is not None:
        onto[common.slices] = patch[common.shifted(-region.left, -region.top, -region.z0).slices]


def _grid_of(array: NDArray[Any]) -> Region:
    depth, height, width = array.shape[:3]
    return Region(0, 0, width, height, 0, depth)


@dataclass(frozen=True, eq=False)
class Mask:
    """Labels on the image's own grid.

    Attributes:
        labels: uint8 (depth, height, width), 0 is background.
        names: label id to name, background left out.
    """

    labels: NDArray[np.uint8]
    names: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.labels.ndim != 3 or self.labels.dtype != np.uint8:
            raise UnusableImage(
                f"labels of shape {self.labels.shape} and type {self.labels.dtype}",
                "uint8 of shape (depth, height, width)",
                "Add the depth axis and convert the labels to uint8.",
            )

    @staticmethod
    def empty(grid: Region, names: Mapping[int, str]) -> Mask:
        """All background on ``grid``."""
        return Mask(np.zeros(grid.shape, np.uint8), dict(names))
