"""Left and right exchanged: of an image before networks see it, of what is asked, and of the result on the way back.

Exact to the pixel: mirroring twice gives the same again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.components import connected
from service.image import Image, Mask, Point, Region, SlabReader
from service.result import Ask, CascadeResult, Part, Patch, StageResult


@dataclass(frozen=True, eq=False)
class Mirrored:
    """A volume mirrored slab by slab as it is read, (depth, height, width, channels)."""

    voxels: NDArray[Any] | SlabReader

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.voxels.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.voxels.dtype

    def __getitem__(self, key: slice) -> NDArray[Any]:
        return np.ascontiguousarray(self.voxels[key][:, :, ::-1])


def mirrored_image(image: Image) -> Image:
    """The same grid, seen in a mirror; it keeps what the file said."""
    lazy = Mirrored(image.voxels)
    focus = mirrored_region(image.focus, image.width) if image.focus else None
    return replace(image, voxels=lazy[0:1] if image.depth == 1 else lazy, focus=focus)


def mirrored_ask(ask: Ask, width: int) -> Ask:
    """Boxes and points of an image of that width."""
    boxes = tuple(mirrored_region(box, width) for box in ask.boxes)
    return replace(ask, boxes=boxes, points=tuple(_point(point, width) for point in ask.points))


def mirrored_region(region: Region, width: int) -> Region:
    """A region of an image of that width."""
    return replace(region, left=width - region.right, right=width - region.left)


def mirrored_result(result: CascadeResult, width: int) -> CascadeResult:
    """All of a result that has a place in the image."""
    return replace(
        result,
        mask=_mask(result.mask),
        masks={name: _mask(mask) for name, mask in result.masks.items()},
        patches=tuple(_patch(patch, width) for patch in result.patches),
        stages=tuple(_stage(stage, width) for stage in result.stages),
        parts=tuple(_parts(result.parts, result.mask, width)),
    )


def _point(point: Point, width: int) -> Point:
    return replace(point, x=width - 1 - point.x)


def _mask(mask: Mask) -> Mask:
    return replace(mask, labels=np.ascontiguousarray(mask.labels[:, :, ::-1]))


def _patch(patch: Patch, width: int) -> Patch:
    return Patch(mirrored_region(patch.region, width), np.ascontiguousarray(patch.probability[:, :, ::-1]))


def _stage(stage: StageResult, width: int) -> StageResult:
    looks = tuple(replace(look, region=mirrored_region(look.region, width)) for look in stage.regions)
    return replace(stage, regions=looks)


def _parts(parts: Iterable[Part], mask: Mask, width: int) -> Iterable[Part]:
    ids = {name: id_ for id_, name in mask.names.items()}
    for part in parts:
        x, y, z = _last_of_first_row(part, mask.labels, ids[part.label])
        yield replace(part, region=mirrored_region(part.region, width), seed=(width - 1 - x, y, z))


def _last_of_first_row(part: Part, labels: NDArray[np.uint8], label: int) -> tuple[int, int, int]:
    """What is a part's seed in the mirror: other parts may lie in its region, and a first row may have gaps."""
    box, (x, y, z) = part.region, part.seed
    _, rows, columns = box.slices
    for region, inside in connected(labels[z, rows, columns] == label):
        row, column = y - box.top - region.top, x - box.left - region.left
        held = 0 <= row < region.height and 0 <= column < region.width and inside[row, column]
        if held:
            return box.left + region.left + int(np.flatnonzero(inside[row])[-1]), y, z
    raise ValueError(f"Found no pixel of label {label} at {part.seed}; wanted the part's own mask. Give that.")
