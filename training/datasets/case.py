"""A case of any data set: where its picture and truth lie, how they are read, and what it must not be split from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[Any]
Labels = NDArray[np.uint8]


def read_grey(path: Path) -> NDArray[np.uint8]:
    """A picture file as grey, uint8 (height, width). Raises FileNotFoundError when it cannot be read."""
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise FileNotFoundError(f"Found no readable picture at {path}; wanted PNG or JPEG. Restore the file.")
    return np.asarray(grey, np.uint8)


def grey_image(case: Case) -> Picture:
    """The case's picture as grey, uint8 (height, width)."""
    return read_grey(case.image)


def merged_masks(case: Case) -> Labels:
    """Union of the case's mask files, uint8 0 or 1 (height, width)."""
    masks = [read_grey(path) > 0 for path in case.masks]
    return np.logical_or.reduce(masks).astype(np.uint8)


def unique_cases(cases: Iterable[Case]) -> list[Case]:
    """The cases, sorted by name. Raises ValueError when two have one name: nobody could tell their results apart."""
    found = sorted(cases, key=lambda case: case.name)
    for one, other in pairwise(found):
        if one.name == other.name:
            raise ValueError(
                f"Found {one.image} and {other.image}; wanted one picture named {one.name}. Remove or rename one."
            )
    return found


@dataclass(frozen=True)
class Case:
    """One picture with its truth.

    Attributes:
        name: unique in its data set.
        image: file of the picture.
        masks: files of the truth, as many as the data set has.
        category: class name of the picture, empty where the data set has none.
        group: patient, or cluster of near-duplicates; a group never comes apart in a split.
        fold: 0 to 4, for cross-validation.
        ambiguous: the category is contradictory and does not teach a classifier.
        inputs: files of further inputs by name, such as depth.
        spacing: mm of a pixel (row, column), None where unknown.
        slice_spacing: mm from a slice to the next of its volume, None where unknown and for what is no slice.
        sliver: share of a view up to which a lesion in it is none worth learning from; data sets whose masks have stray
            pixels say how much.
        speck: share of the picture up to which the box of a further part of the truth is a slip of the hand.
        image_reader: gives the picture (height, width) or (height, width, 3), any real type.
        mask_reader: gives labels uint8 (height, width), 0 for background.
    """

    name: str
    image: Path
    masks: tuple[Path, ...]
    category: str
    group: str
    fold: int
    ambiguous: bool = False
    inputs: Mapping[str, Path] = field(default_factory=dict, hash=False)
    spacing: tuple[float, float] | None = None
    slice_spacing: float | None = None
    sliver: float = 0.0
    speck: float = 0.0
    image_reader: Callable[[Case], Picture] = grey_image
    mask_reader: Callable[[Case], Labels] = merged_masks

    def read_image(self) -> Picture:
        """The picture. Raises what its reader raises, with the file's name."""
        return self.image_reader(self)

    def read_mask(self) -> Labels:
        """The truth. Raises what its reader raises, with the file's name."""
        return self.mask_reader(self)
