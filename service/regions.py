"""Where a stage looks that looks at an earlier one: the region that labels make together, or the whole image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.canvas import Canvas
from service.components import connected
from service.manifest import StageSpec
from service.result import Flag, Part
from service.stages import Found


def chosen_regions(canvas: Canvas, name: str, labels: Sequence[str]) -> list[Found]:
    """In each slice the box of the largest 8-connected component of ``labels`` together, named ``name``.

    Scored by the mean probability of the component's pixels. The canvas must be a whole one; slices without any of the
    labels have no region.
    """
    canvas.close()
    parts: dict[int, list[Part]] = {}
    for part in canvas.parts:
        if part.label in labels:
            parts.setdefault(part.region.z0, []).append(part)
    wanted = np.zeros(256, np.bool_)
    wanted[[id_ for id_, label in canvas.names.items() if label in labels]] = True
    return [_largest(wanted[canvas.labels[z]], z, name, parts[z]) for z in sorted(parts)]


def _largest(plane: NDArray[np.bool_], z: int, name: str, parts: Sequence[Part]) -> Found:
    region, inside = max(connected(plane), key=lambda pair: int(np.count_nonzero(pair[1])))
    # A part of one label lies in one component as a whole.
    own = [part for part in parts if _holds(region.box, inside, part)]
    score = sum(part.certainty for part in own) / sum(part.pixels for part in own)
    return Found(region.shifted(0, 0, z), name, score)


def _holds(box: tuple[int, int, int, int], inside: NDArray[np.bool_], part: Part) -> bool:
    (left, top, right, bottom), (x, y, _) = box, part.seed
    return left <= x < right and top <= y < bottom and bool(inside[y - top, x - left])


def looks_everywhere(spec: StageSpec) -> bool:
    """Whether the choice of a stage is the whole image."""
    return spec.region is not None and not spec.regions[spec.region]


def asked_wide(spec: StageSpec) -> Flag:
    """That a stage looked everywhere, as it was asked to."""
    text = f"Stage {spec.name} looked at the whole image (roi={spec.region}), whatever stage {spec.on} outlined."
    return Flag("whole_image_asked", text)


def fallen_back(spec: StageSpec) -> Flag:
    """That a stage looked everywhere because an earlier one found nothing."""
    text = f"Stage {spec.on} found nothing; stage {spec.name} looked at the whole image instead."
    return Flag("whole_image_fallback", text)
