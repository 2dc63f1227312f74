"""Mask readers: what a mask file must hold, checked against the picture each time it is read.

Readers are frozen values, so a Case stays hashable and can be sent to another process. All raise FileNotFoundError for
a mask that is not there, `WrongSize` and `UndeclaredValue`; each text names the file, what was found and wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from training.datasets.case import Case, Labels, Picture
from training.datasets.pictures import JPEG, picture_size, read_plane, read_unchanged

# JPEG rings about edges: what was 0 or 255 comes back as anything nearby.
LOSSY_THRESHOLD = 127
# Heights and widths of one picture at two sizes are rounded each on its own.
ASPECT_TOLERANCE = 0.02
ONES = (1, 255, 65535)


class WrongSize(ValueError):
    """A mask of another size than its picture."""


class UndeclaredValue(ValueError):
    """A mask holds a value nobody declared."""


@dataclass(frozen=True)
class Lesion:
    """Labels 1 where any of the case's masks is set, else 0; a case without masks has no lesion.

    Lossless masks hold 0 and one of 1, 255, 65535; JPEG masks are cut at 127. With ``rescale`` a mask of another size
    and the picture's aspect (2 % tolerance) is resized to it, nearest neighbour.
    """

    rescale: bool = False

    def __call__(self, case: Case) -> Labels:
        """Labels uint8 (height, width)."""
        union = np.zeros(picture_size(case.image), np.uint8)
        for path in case.masks:
            union |= fitted(binary(read_plane(path), path), path, case.image, rescale=self.rescale)
        return union


@dataclass(frozen=True)
class AlphaLesion:
    """Like `Lesion`, but a mask may lie in the file's alpha channel: taken where alpha varies, else luminance > 0."""

    def __call__(self, case: Case) -> Labels:
        """Labels uint8 (height, width)."""
        union = np.zeros(picture_size(case.image), np.uint8)
        for path in case.masks:
            union |= fitted(_alpha_or_luminance(read_unchanged(path)), path, case.image)
        return union


@dataclass(frozen=True)
class Levels:
    """Labels by an explicit map of the one mask's grey values; any other value is an error.

    ``classes`` holds (grey, label) pairs; make it by `levels`.
    """

    classes: tuple[tuple[int, int], ...]

    def __call__(self, case: Case) -> Labels:
        """Labels uint8 (height, width)."""
        (path,) = case.masks
        mask = fitted(read_plane(path), path, case.image)
        declared = dict(self.classes)
        _declared(mask, declared, path)
        table = np.zeros(int(max(mask.max(), *declared)) + 1, np.uint8)
        table[list(declared)] = list(declared.values())
        return table[mask]


@dataclass(frozen=True)
class Boxes:
    """Labels 1 inside boxes (left, top, right, bottom; half-open), weak supervision; ``grid`` is their picture's size.

    ``grid`` is (height, width). Raises `WrongSize` for a picture of another size.
    """

    boxes: tuple[tuple[float, float, float, float], ...]
    grid: tuple[int, int]

    def __call__(self, case: Case) -> Labels:
        """Labels uint8 (height, width)."""
        mask = np.zeros(self.grid, np.uint8)
        for box in self.boxes:
            left, top, right, bottom = (max(0, round(side)) for side in box)
            mask[top:bottom, left:right] = 1
        if picture_size(case.image) != self.grid:
            raise WrongSize(
                f"Found {_size(picture_size(case.image))} in {case.image}; wanted {_size(self.grid)} as its boxes. "
                "Restore the picture that they were drawn on."
            )
        return mask


def levels(classes: Mapping[int, int] | Mapping[int | str, int]) -> Levels:
    """Reader of a grey-to-label map; keys may be digits in text, as JSON writes them.

    Raises ValueError for what is no such map.
    """
    if not isinstance(classes, Mapping) or not all(map(_natural, classes, classes.values())):
        raise ValueError(f"Found {classes!r}; wanted a label for each grey, such as {{0: 0, 255: 1}}. Mend the map.")
    return Levels(tuple(sorted((int(grey), label) for grey, label in classes.items())))


def _natural(grey: object, label: object) -> bool:
    return isinstance(label, int) and (isinstance(grey, int) or (isinstance(grey, str) and grey.isdigit()))


def binary(mask: Picture, path: Path) -> Labels:
    """0/1 of a mask file's plane. Raises `UndeclaredValue` where a lossless one holds more than 0 and one other."""
    if path.suffix.lower() in JPEG:
        return (mask > LOSSY_THRESHOLD).astype(np.uint8)
    top = int(mask.max())
    _declared(mask, {0: 0, top if top in ONES else ONES[1]: 1}, path)
    return (mask > 0).astype(np.uint8)


def fitted(mask: Picture, path: Path, image: Path, *, rescale: bool = False) -> Picture:
    """The mask if it is of the picture's size; see `Lesion` for ``rescale``. Raises `WrongSize`."""
    found, wanted = mask.shape[:2], picture_size(image)
    if found == wanted:
        return mask
    if not rescale:
        raise WrongSize(
            f"Found {_size(found)} in {path}; wanted {_size(wanted)} as {image}. Mend it or leave the picture out."
        )
    if not same_aspect(found, wanted):
        raise WrongSize(
            f"Found {_size(found)} in {path}; wanted the aspect of {_size(wanted)} as {image}. Leave the picture out."
        )
    return cv2.resize(mask, wanted[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def same_aspect(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Have two (height, width) the same aspect, within 2 %?"""
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= ASPECT_TOLERANCE


def _declared(mask: Picture, declared: Mapping[int, int], path: Path) -> None:
    strange = sorted(set(np.flatnonzero(np.bincount(mask.ravel())).tolist()) - set(declared))
    if strange:
        shown = ", ".join(map(str, strange[:8]))
        raise UndeclaredValue(
            f"Found grey {shown} in {path}; wanted only {', '.join(map(str, sorted(declared)))}. "
            "Declare these values or mend the mask."
        )


def _alpha_or_luminance(mask: Picture) -> Labels:
    if mask.ndim == 3 and mask.shape[2] == 4 and mask[..., 3].min() < mask[..., 3].max():
        return (mask[..., 3] > 0).astype(np.uint8)
    colours = mask[..., :3].max(axis=2) if mask.ndim == 3 else mask
    return (colours > 0).astype(np.uint8)


def _size(size: tuple[int, ...]) -> str:
    return f"{size[0]} x {size[1]} (height x width)"
