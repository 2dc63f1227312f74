"""An MRI exam of any data set: volume and tumour, read when asked; `training.prepare.mri` makes slices of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

from training.volume import Volume, check_same_grid, checked_image, oriented

Official = Literal["", "train", "test"]
Truth = Literal["mask", "boxes"]


@dataclass(frozen=True, eq=False)
class Scan:
    """One time point after contrast, its tumour on the same voxels, and the time point before contrast where asked."""

    image: Volume
    mask: Volume
    before: Volume | None = None


@dataclass(frozen=True)
class Exam:
    """One volume with its truth.

    Attributes:
        name: unique in its data set, fit for a file name.
        patient: never split.
        reader: gives the `Scan`; its argument says whether the time point before contrast is wanted.
        official: part the data set's makers put it in, empty where they did not.
        truth: ``boxes`` where the tumour is only known by a box, which `Scan.mask` then holds filled.
    """

    name: str
    patient: str
    reader: Callable[[bool], Scan]
    official: Official = ""
    truth: Truth = "mask"


def subtracted(image: Volume, before: Volume) -> Volume:
    """``image`` minus ``before``, both oriented to one plane. Raises ValueError on another grid or a NaN in either."""
    check_same_grid(before, image)
    return replace(image, voxels=checked_image(image).voxels - checked_image(before).voxels, source=before.source)


def in_plane(scan: Scan, plane: Literal["axial", "coronal", "sagittal"]) -> Scan:
    """All volumes of a scan as (depth, height, width). Raises ValueError when they are not on one grid."""
    image, mask = oriented(scan.image, plane), oriented(scan.mask, plane)
    check_same_grid(mask, image)
    return Scan(image, mask, scan.before and oriented(scan.before, plane))


def unique_names(exams: Iterable[Exam], root: Path) -> list[Exam]:
    """The exams, sorted by name. Raises ValueError when two have one name, FileNotFoundError when there are none."""
    found = sorted(exams, key=lambda exam: exam.name)
    if not found:
        raise FileNotFoundError(f"Found no exam in {root}; wanted at least one. Give the folder as it was downloaded.")
    for one, other in pairwise(found):
        if one.name == other.name:
            raise ValueError(f"Found two exams called {one.name} in {root}; wanted one. Rename or remove one of them.")
    return found
