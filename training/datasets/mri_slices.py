"""MRI slices as `training.prepare.mri` writes them: PNGs with a ``manifest.csv``, one row for each slice.

Columns: exam, patient, z (from the feet, or the first side of another plane), depth of the volume, plane, image, mask
and label (YOLO) relative to the folder, subtraction (empty without), official, truth (``mask`` or ``boxes``),
mm ``spacing_z``, ``spacing_y``, ``spacing_x`` on the prepared pixels, ``source_height``, ``source_width``,
``tumour_px`` on the prepared pixels, ``boxes`` (JSON, left, top, right, bottom, half-open), fold and split.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from training.datasets.case import Case, grey_image
from training.datasets.masks import Lesion
from training.datasets.slice_policy import checked, chosen
from training.datasets.tables import Row, csv_rows

MANIFEST = "manifest.csv"
NEEDED = ("exam", "patient", "z", "image", "mask", "truth", "spacing_y", "spacing_x", "tumour_px", "fold")
CATEGORIES = ("normal", "tumour")


def cases(root: Path, policy: str = "all", truth: Literal["any", "mask", "boxes"] = "any") -> list[Case]:
    """Slices under ``root``, sorted by exam and z; the group is the patient, the name ends in ``_z`` and the slice.

    Args:
        root: the prepared folder.
        policy: which slices, see `training.datasets.slice_policy`. Train on few, evaluate on all.
        truth: whether volumes whose tumour is only known by its box count.

    Raises:
        FileNotFoundError: there is no manifest, the preparation was not finished.
        ValueError: the manifest lacks columns, the policy is none, or nothing is left.
    """
    checked(policy)
    path = root / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"Found no {path}; wanted prepared MRI slices. Run data prepare mri to its end.")
    exams: dict[str, list[Row]] = {}
    for row in csv_rows(path, NEEDED):
        if truth in ("any", row["truth"]):
            exams.setdefault(row["exam"], []).append(row)
    found = [_case(root, row) for name in sorted(exams) for row in _kept(exams[name], policy, name)]
    if not found:
        raise ValueError(f"Found no slice in {path} for policy {policy}, truth {truth}; wanted some. Choose others.")
    return found


def _kept(rows: list[Row], policy: str, name: str) -> Iterable[Row]:
    ordered = sorted(rows, key=lambda row: int(row["z"]))
    return (ordered[index] for index in chosen([int(row["tumour_px"]) > 0 for row in ordered], policy, name))


def _case(root: Path, row: Row) -> Case:
    subtraction = row.get("subtraction")
    return Case(
        name=slice_name(row["exam"], int(row["z"])),
        image=root / row["image"],
        masks=(root / row["mask"],),
        category=CATEGORIES[int(row["tumour_px"]) > 0],
        group=row["patient"],
        fold=int(row["fold"]),
        inputs={"subtraction": root / subtraction} if subtraction else {},
        spacing=(float(row["spacing_y"]), float(row["spacing_x"])),
        slice_spacing=float(row["spacing_z"]) if row.get("spacing_z") else None,
        image_reader=grey_image,
        mask_reader=Lesion(),
    )


def slice_name(exam: str, z: int) -> str:
    """The name of a slice, without suffix."""
    return f"{exam}_z{z:03d}"
