"""MAMA-MIA: 1,506 breast DCE-MRI exams with expert tumour masks, as NIfTI; Duke, I-SPY1, I-SPY2 and NACT.

Garrucho et al., Scientific Data 12 (2025), arXiv:2406.13844, Synapse syn60868042, CC BY-NC 4.0. One primary tumour a
patient is outlined, on the first phase after contrast; others are not. Two layouts are read, whatever the case of their
names:

* the download: ``images/DUKE_001/DUKE_001_0000.nii.gz`` (before contrast), ``_0001`` (first after), ...,
  ``segmentations/expert/DUKE_001.nii.gz`` and ``train_test_splits.csv`` with the makers' parts;
* ``CASE/image.nii.gz`` with ``CASE/mask.nii.gz``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from training.datasets.exam import Exam, Official, Scan, unique_names
from training.datasets.tables import csv_rows
from training.volume import read_nifti

SPLITS = "train_test_splits.csv"
BEFORE = 0
PAIR = ("image.nii", "image.nii.gz", "mask.nii", "mask.nii.gz")
COLUMNS: dict[str, Official] = {"train_split": "train", "test_split": "test"}


def exams(root: Path, phase: int = 1, segmentations: str = "expert") -> list[Exam]:
    """All exams under ``root``, sorted by name.

    Args:
        root: folder of the data set.
        phase: time point, 1 for the first after contrast.
        segmentations: folder of the masks, ``expert`` or ``automatic``.

    Raises:
        FileNotFoundError: neither layout is there; when an exam is read, its image or mask is missing.
        ValueError: two exams with one name, a split file without its columns; when an exam is read, two files for one
            volume.
    """
    images = _child(root, "images")
    if images is None:
        return unique_names((_pair(folder) for folder in _folders(root) if _holds_pair(folder)), root)
    masks = _child(_child(root, "segmentations"), segmentations)
    if masks is None:
        raise FileNotFoundError(f"Found no folder segmentations/{segmentations} in {root}; wanted the masks. Add it.")
    official = _official(root)
    return unique_names((_exam(folder, masks, phase, official) for folder in _folders(images)), root)


def _exam(folder: Path, masks: Path, phase: int, official: dict[str, Official]) -> Exam:
    name = folder.name.upper()
    image, mask = partial(_wanted, folder, f"{name}_{phase:04d}"), partial(_wanted, masks, name)
    before = partial(_volume, folder, f"{name}_{BEFORE:04d}")
    return Exam(name, name, partial(_scan, image, mask, before), official.get(name, ""))


def _pair(folder: Path) -> Exam:
    name = folder.name
    image, mask = partial(_wanted, folder, "image"), partial(_wanted, folder, "mask")
    return Exam(name, name, partial(_scan, image, mask, lambda: None))


def _holds_pair(folder: Path) -> bool:
    """Whether a folder holds an image or a mask; the one without the other is told when it is read."""
    return any(path.name.lower() in PAIR for path in folder.iterdir())


def _scan(
    image: Callable[[], Path], mask: Callable[[], Path], before: Callable[[], Path | None], subtraction: bool
) -> Scan:
    found, first = image(), before() if subtraction else None
    if subtraction and first is None:
        raise FileNotFoundError(
            f"Found no volume before contrast beside {found}; wanted {BEFORE:04d}. Restore it or leave subtraction out."
        )
    return Scan(read_nifti(found), read_nifti(mask()), read_nifti(first) if first else None)


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir())


def _child(folder: Path | None, name: str) -> Path | None:
    if folder is None or not folder.is_dir():
        return None
    return next((path for path in sorted(folder.iterdir()) if path.name.lower() == name.lower()), None)


def _volume(folder: Path, stem: str) -> Path | None:
    wanted = {f"{stem}.nii.gz".lower(), f"{stem}.nii".lower()}
    found = sorted(path for path in folder.iterdir() if path.name.lower() in wanted)
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise ValueError(f"Found {names} in {folder}; wanted one file for {stem}. Remove one of them.")
    return found[0] if found else None


def _wanted(folder: Path, stem: str) -> Path:
    found = _volume(folder, stem)
    if found is None:
        raise FileNotFoundError(f"Found no {stem}.nii.gz in {folder}; wanted it. Restore the file or remove the exam.")
    return found


def _official(root: Path) -> dict[str, Official]:
    """Part of each exam by its name in capitals: columns train_split and test_split list the names."""
    path = _child(root, SPLITS)
    if path is None:
        return {}
    rows = csv_rows(path, list(COLUMNS))
    listed = {row[column].upper(): part for column, part in COLUMNS.items() for row in rows if row.get(column)}
    both = {row["train_split"].upper() for row in rows} & {row.get("test_split", "").upper() for row in rows} - {""}
    if both:
        raise ValueError(f"Found {min(both)} in both parts of {path}; wanted it in one. Download the file again.")
    return listed
