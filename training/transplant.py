"""Augmentation that moves lesions: one case's lesion pasted into another case's tissue, and soft deformation.

Small sets show each lesion in one place only. A network that sees the same lesion in other tissue, and other lesions in
the same tissue, cannot learn pictures by heart (simple copy-paste, Ghiasi et al. 2021, arXiv:2012.07177; here with a
feathered rim and matched brightness).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.image import Region

Grey = NDArray[np.uint8]
Float = NDArray[np.float32]
# Of the lesion's sides: rim taken along, and more below, where shadow and enhancement lie.
RIM, BELOW = 0.35, 0.7
SIZE_CHANGE, ASPECT_CHANGE, DEPTH_CHANGE = (-0.4, 0.35), 0.2, 0.15
SMALLEST_AREA = 60
# A place is refused where more of it lies outside the scanned area, or on a lesion that is there already.
MOST_BLACK, MOST_LESION = 0.15, 0.02


@dataclass(frozen=True, eq=False)
class Graft:
    """A lesion cut out with its rim: ``image``, ``mask`` uint8 (height, width); ``depth`` of its top, 0 (skin) to 1."""

    image: Grey
    mask: Grey
    depth: float

    @property
    def scaled(self) -> tuple[int, int]:
        """(height, width)."""
        return self.image.shape[0], self.image.shape[1]


def grafts(pictures: Iterable[tuple[NDArray[Any], NDArray[Any]]]) -> list[Graft]:
    """The largest lesion of every picture that has one. Raises ValueError unless pictures are grey in 8 bits."""
    found: list[Graft] = []
    for image, mask in pictures:
        if image.dtype != np.uint8 or image.ndim != 2:
            raise ValueError(
                f"Found a picture of {image.dtype} {image.shape} to take a lesion from; wanted grey in 8 bits, "
                "(height, width). Set augment.paste to 0."
            )
        graft = cut(image, mask)
        found += [] if graft is None else [graft]
    return found


def cut(image: Grey, mask: Grey) -> Graft | None:
    """The largest lesion of a picture with its rim; None where it has none of 60 pixels or more."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if len(stats) < 2:
        return None
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    x, y, width, height, area = stats[best].tolist()
    if area < SMALLEST_AREA:
        return None
    rim = int(width * RIM) + 3
    grid = Region(0, 0, image.shape[1], image.shape[0])
    above, below = int(height * RIM) + 3, int(height * BELOW) + 3
    rows, columns = Region(x - rim, y - above, x + width + rim, y + height + below).clipped(grid).slices[1:]
    return Graft(
        image[rows, columns], (labels[rows, columns] == best).astype(np.uint8), (rows.start or 0) / image.shape[0]
    )


def paste(image: Grey, mask: Grey, graft: Graft, rng: np.random.Generator) -> tuple[Grey, Grey]:
    """The picture with the graft at a random place of about its own depth; unchanged where that place does not suit."""
    graft = _resized(graft, image.shape, rng)
    height, width = graft.scaled
    wanted = int((graft.depth + rng.uniform(-DEPTH_CHANGE, DEPTH_CHANGE)) * image.shape[0])
    top = int(np.clip(wanted, 0, image.shape[0] - height))
    left = int(rng.integers(0, image.shape[1] - width + 1))
    place = slice(top, top + height), slice(left, left + width)
    if (image[place] == 0).mean() > MOST_BLACK or (mask[place] > 0).mean() > MOST_LESION:
        return image, mask
    changed, labels = image.copy(), mask.copy()
    changed[place] = _blended(image[place], graft)
    labels[place] |= graft.mask
    return changed, labels


def _resized(graft: Graft, within: tuple[int, ...], rng: np.random.Generator) -> Graft:
    """Another size, aspect and side, at most 0.8 of the picture high and 0.9 wide."""
    scale = np.exp(rng.uniform(*SIZE_CHANGE))
    height = graft.scaled[0] * scale * np.exp(rng.uniform(-ASPECT_CHANGE, ASPECT_CHANGE))
    size = (
        min(max(6, int(graft.scaled[1] * scale)), int(within[1] * 0.9)),
        min(max(6, int(height)), int(within[0] * 0.8)),
    )
    image = cv2.resize(graft.image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    mask = cv2.resize(graft.mask, size, interpolation=cv2.INTER_NEAREST)
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return Graft(np.asarray(image, np.uint8), np.asarray(mask, np.uint8), graft.depth)


def _blended(tissue: Grey, graft: Graft) -> Grey:
    """The graft in the tissue: its rim as bright as the tissue it replaces, its edge feathered, no seam."""
    rim = graft.mask == 0
    own, there = (float(plane[rim].mean()) if rim.any() else 0.0 for plane in (graft.image, tissue))
    gain = float(np.clip((there + 8) / (own + 8), 0.5, 2.0))
    share = _feathered(graft.mask)
    return np.clip(tissue * (1 - share) + graft.image * (gain * share), 0, 255).astype(np.uint8)


def _feathered(mask: Grey) -> Float:
    """1 on the lesion, falling to 0 within its rim and at the border of the cut."""
    side = min(mask.shape)
    reach = max(3, int(side * 0.12)) | 1
    grown = cv2.dilate(mask, np.ones((reach, reach), np.uint8)).astype(np.float32)
    soft = np.asarray(cv2.GaussianBlur(grown, (0, 0), max(0.8, side * 0.06)), np.float32)
    soft[:2], soft[-2:], soft[:, :2], soft[:, -2:] = 0, 0, 0, 0
    return soft


@dataclass(frozen=True, eq=False)
class Deformation:
    """Where every pixel of a deformed picture comes from: ``x`` and ``y`` float32 (height, width)."""

    x: Float
    y: Float

    def warp(self, plane: NDArray[Any], *, labels: bool = False) -> NDArray[Any]:
        """A plane so deformed: between its pixels linearly, or the nearest of ``labels``; outside the picture is 0."""
        method = cv2.INTER_NEAREST if labels else cv2.INTER_LINEAR
        return np.asarray(cv2.remap(plane, self.x, self.y, method))


def deformation(shape: tuple[int, ...], rng: np.random.Generator) -> Deformation:
    """A smooth random push of a picture (height, width), up to a few per cent of its longer side."""
    height, width = shape[:2]
    knots = int(rng.integers(3, 7))
    coarse = rng.standard_normal((knots, knots, 2)).astype(np.float32)
    field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    field *= np.float32(max(height, width) * rng.uniform(0.004, 0.018))
    x = np.arange(width, dtype=np.float32)[None, :] + field[..., 0]
    return Deformation(x, np.arange(height, dtype=np.float32)[:, None] + field[..., 1])
