"""A set of MRI phantoms in the layout of MAMA-MIA: NIfTI volumes before and after contrast, masks, a split.

    images/phantom_mri_00000/phantom_mri_00000_0000.nii.gz   before contrast; _0001 the first after it, ...
    segmentations/expert/phantom_mri_00000.nii.gz            1 inside any lesion
    segmentations/each/phantom_mri_00000.nii.gz              1, 2, ... for each lesion
    train_test_splits.csv                                    every fifth exam is test, hence fold 0
    phantoms.csv                                             what was drawn

``breast-cascade-train data prepare mri mama_mia --data DIR -o SLICES`` makes slices of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.nifti1 import Nifti1Extension
from numpy.typing import NDArray

from training.phantoms.mri import Mri, Wish, mri_phantom
from training.phantoms.mri_grid import Grid
from training.phantoms.sets import fold_of, part_of, stem, wished, write_table

DESCRIPTION = b"phantom: yes; drawn by Breast Cascade; no patient was ever imaged"  # NIfTI allows 80 bytes
INTENT = "phantom"
SPLITS, FACTS = "train_test_splits.csv", "phantoms.csv"


def write(folder: Path, seeds: Iterable[int], **wish: Any) -> Path:
    """Draw an exam for each seed; ``wish`` holds fields of `training.phantoms.mri.Wish`.

    Raises ValueError for what cannot be drawn and without seeds.
    """
    wanted, rows = wished(Wish, wish), []
    for seed in seeds:
        phantom = mri_phantom(seed, wanted)
        name = stem("mri", seed)
        _save_exam(phantom, folder, name)
        rows.append({"exam": name, "fold": fold_of(seed), **phantom.metadata})
    write_table(rows, folder / FACTS)
    _write_splits([(row["exam"], part_of(row["fold"])) for row in rows], folder / SPLITS)
    return folder


def _save_exam(phantom: Mri, folder: Path, name: str) -> None:
    volumes = {f"images/{name}/{name}_{number:04d}": phase for number, phase in enumerate(phantom.phases)}
    volumes[f"segmentations/expert/{name}"] = (phantom.labels > 0).astype(np.uint8)
    volumes[f"segmentations/each/{name}"] = phantom.labels
    for path, voxels in volumes.items():
        save_volume(voxels, phantom.grid, folder / f"{path}.nii.gz", phantom.metadata)


def save_volume(voxels: NDArray[Any], grid: Grid, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a volume (depth, height, width) as NIfTI that says in its header what it is; columns run fastest."""
    turn = [2, 1, 0, 3]
    image = nibabel.Nifti1Image(np.ascontiguousarray(voxels.transpose(2, 1, 0)), grid.affine[:, turn])
    image.header["descrip"] = DESCRIPTION
    image.header.set_intent("none", name=INTENT)
    image.header.set_xyzt_units("mm")
    text = "\n".join(f"{key}: {value}" for key, value in metadata.items())
    image.header.extensions.append(Nifti1Extension("comment", text.encode()))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)


def _write_splits(parts: list[tuple[str, str]], path: Path) -> None:
    """Two columns of names, one for each part, as MAMA-MIA's own file has it."""
    train = [name for name, part in parts if part == "train"]
    test = [name for name, part in parts if part == "test"]
    write_table(({"train_split": a, "test_split": b} for a, b in zip_longest(train, test, fillvalue="")), path)
