"""Outlines where only boxes are known: a mass is grown inside its box, or is the ellipse that the box holds.

Weak supervision, to be called so. A mass is brighter than what lies around it on a mammogram, so inside the box what is
nearer to the grey of its centre than to that of its surroundings is taken; where this gives no plausible shape, the
ellipse that touches the four sides is (a drawn mass fills 0.7 to 0.8 of its box; an ellipse fills pi / 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

from service.image import Region
from training.datasets.case import Case, Labels, Picture
from training.datasets.masks import WrongSize
from training.datasets.pictures import grey_picture

Box = tuple[float, float, float, float]
Outline = Literal["box", "ellipse", "grown"]
OUTLINES: tuple[str, ...] = get_args(Outline)
# Of the box: how large its core and the ring around it are, how much is blurred away, and what a shape may fill.
CORE, RING, BLUR = 0.45, 0.35, 0.06
FILLS = (0.35, 0.92)
# No mass fills a corner: the power of the superellipse that cuts them off.
ROUNDED = 4
# Share of the box's sides that a shape must reach: the annotator drew the box around it.
REACHES = 0.7


@dataclass(frozen=True)
class Reshaped:
    """The picture brought to another aspect: ``width`` of a picture whose height is kept, for films stored squashed."""

    width: int

    def __call__(self, case: Case) -> Picture:
        """The grey picture (height, width), shrunk over area or enlarged linearly."""
        picture = grey_picture(case)
        how = cv2.INTER_AREA if self.width < picture.shape[1] else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(picture, (self.width, picture.shape[0]), interpolation=how))


@dataclass(frozen=True)
class Outlined:
    """Labels 1 inside shapes made from boxes (left, top, right, bottom) on a grid (height, width) of their own.

    ``width`` is the picture's as it is used, with the grid's
    height. Raises `WrongSize` for a file that has not the boxes' grid.
    """

    boxes: tuple[Box, ...]
    grid: tuple[int, int]
    width: int
    outline: Outline

    def __call__(self, case: Case) -> Labels:
        """Labels uint8 (height, width)."""
        found = grey_picture(case).shape[:2]
        if found != self.grid:
            raise WrongSize(
                f"Found {found[0]} x {found[1]} (height x width) in {case.image}; wanted {self.grid[0]} x "
                f"{self.grid[1]} as its boxes. Restore the picture that they were drawn on."
            )
        picture = Reshaped(self.width)(case)
        mask = np.zeros(picture.shape[:2], np.uint8)
        for box in self.boxes:
            place = self._region(box)
            mask[place.slices[1:]] |= self._shape(picture, place)
        return mask

    def _shape(self, picture: Picture, place: Region) -> Labels:
        match self.outline:
            case "grown":
                return grown(picture, place)
            case "ellipse":
                return inscribed(place)
            case _:
                return np.ones((place.height, place.width), np.uint8)

    def _region(self, box: Box) -> Region:
        factor = self.width / self.grid[1]
        left, top, right, bottom = round(box[0] * factor), round(box[1]), round(box[2] * factor), round(box[3])
        whole = Region(0, 0, self.width, self.grid[0])
        return Region(left, top, max(right, left + 1), max(bottom, top + 1)).clipped(whole)


def inscribed(box: Region) -> Labels:
    """The ellipse that touches the four sides of ``box``, uint8 0 or 1 (box height, box width)."""
    return _ellipse((box.height, box.width), 1.0)


def grown(picture: Picture, box: Region) -> Labels:
    """The bright shape about the centre of ``box``, uint8 0 or 1 (box height, box width).

    ``picture`` is grey (height, width), any real type. The inscribed ellipse where no shape that fills 0.35 to 0.92 of
    the box and reaches over 0.7 of both its sides stands out.
    """
    inside, ring = _smooth(picture, box)
    shape = inside > (np.median(inside[_core(inside.shape)]) + np.median(ring)) / 2
    whole = _centred(shape.astype(np.uint8) & _ellipse(shape.shape, 1.0, ROUNDED))
    return whole if _plausible(whole) else inscribed(box)


def _smooth(picture: Picture, box: Region) -> tuple[Picture, Picture]:
    """The blurred box, and the values of a ring around it."""
    by = round(RING * max(box.width, box.height)) + 1
    height, width = picture.shape[:2]
    wide = Region(box.left - by, box.top - by, box.right + by, box.bottom + by).clipped(Region(0, 0, width, height))
    patch = picture[wide.slices[1:]].astype(np.float32)
    patch = np.asarray(cv2.GaussianBlur(patch, (0, 0), max(0.5, BLUR * (box.width + box.height) / 2)))
    rows = slice(box.top - wide.top, box.bottom - wide.top)
    columns = slice(box.left - wide.left, box.right - wide.left)
    around = np.ones(patch.shape, bool)
    around[rows, columns] = False
    inside = patch[rows, columns]
    return inside, patch[around] if around.any() else inside.ravel()


def _core(shape: tuple[int, ...]) -> np.ndarray:
    return _ellipse(shape, CORE).astype(bool)


def _ellipse(shape: tuple[int, ...], share: float, power: int = 2) -> Labels:
    y, x = (np.arange(side) + 0.5 - side / 2 for side in shape[:2])
    height, width = (max(side * share / 2, 0.75) for side in shape[:2])
    return ((y[:, None] / height) ** power + (x[None] / width) ** power <= 1).astype(np.uint8)


def _centred(shape: Labels) -> Labels:
    """The smoothed part of ``shape`` with most of the core, its holes filled; nothing where the core is empty."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    opened = np.asarray(cv2.morphologyEx(shape, cv2.MORPH_OPEN, kernel), np.uint8)
    _, parts = cv2.connectedComponents(opened, connectivity=4)
    met = np.bincount(np.asarray(parts)[_core(shape.shape)].ravel(), minlength=2)
    best = int(met[1:].argmax()) + 1
    part = (np.asarray(parts) == best).astype(np.uint8) if met[best] else np.zeros_like(shape)
    return _filled(part)


def _filled(part: Labels) -> Labels:
    outlines, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(part.copy(), outlines, -1, 1, cv2.FILLED), np.uint8)


def _plausible(shape: Labels) -> bool:
    low, high = FILLS
    reach = min(shape.any(axis=axis).mean() for axis in (0, 1))
    return bool(low <= shape.mean() <= high and reach >= REACHES)
