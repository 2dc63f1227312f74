"""Sets of mammogram phantoms, and of real mammograms with simulated findings, as training reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training.datasets import tissue
from training.datasets.case import Case
from training.datasets.pictures import eight_bits
from training.datasets.unified_csv import TABLE, Entry
from training.datasets.unified_csv import write as write_unified
from training.phantoms.mammogram import Mammogram, Wish, lesion_mask, mammogram_phantom
from training.phantoms.mammogram_findings import ClusterRanges, MassRanges
from training.phantoms.mammogram_insert import Inserted, Ranges, Where, insert
from training.phantoms.sets import fold_of, part_of, save_picture, stem, wished, write_table

LEVEL_OF = {label: grey for grey, label in tissue.GREYS.items()}
WIDTHS = (460, 620)  # for a height of 960, as films are cut
RANGES: Mapping[str, Ranges] = {"mass": MassRanges(), "calcifications": ClusterRanges()}
PECTORAL = tissue.LABELS.index("pectoral muscle")


def write(folder: Path, seeds: Iterable[int], **wish: Any) -> Path:
    """Whole phantoms: ``index.csv`` for the tissue set's reader, ``unified.csv`` for that of lesions.

    ``wish`` holds fields of `training.phantoms.mammogram.Wish`; widths are drawn where it says nothing of the size.
    Raises ValueError for what cannot be drawn and without seeds.
    """
    tissues, lesions = [], []
    for seed in seeds:
        width = int(np.random.default_rng(seed).integers(*WIDTHS))
        phantom = mammogram_phantom(seed, wished(Wish, {"size": (960, width), **wish}))
        row, entry = _saved(phantom, folder, seed)
        tissues.append(row)
        lesions.append(entry)
    write_table(tissues, folder / "index.csv")
    write_unified(lesions, folder / TABLE)
    return folder


def _saved(phantom: Mammogram, folder: Path, seed: int) -> tuple[dict[str, Any], Entry]:
    name, facts, fold = stem("mammogram", seed), phantom.metadata, fold_of(seed)
    table = np.zeros(len(tissue.LABELS), np.uint8)
    table[list(LEVEL_OF)] = list(LEVEL_OF.values())
    image = save_picture(phantom.image, folder, f"images/{name}.png", facts)
    mask = save_picture(table[phantom.tissue], folder, f"masks/{name}_tissue.png", facts)
    found = lesion_mask(phantom)
    outline = ""
    if found.any():
        outline = save_picture(np.asarray(found * 255, np.uint8), folder, f"lesions/{name}_lesions.png", facts)
    row = {"image": image, "mask": mask, "case": name, "fold": fold, "lesions": outline, **facts}
    label = "lesion" if outline else "normal"
    entry = Entry(
        image, outline, name, facts["laterality"], facts["view"], label, part_of(fold), "phantom mammogram", name
    )
    return row, entry


@dataclass(frozen=True)
class Insertion:
    """What is put into which real pictures.

    Attributes:
        data: folder of the real data set.
        dataset: its module, or another that lists cases of grey pictures.
        kind: of the findings, ``mass`` or ``calcifications``.
        count: of findings in each picture.
    """

    data: str = "."
    dataset: str = "training.datasets.tissue"
    kind: Literal["mass", "calcifications"] = "mass"
    count: int = 1


def write_inserted(folder: Path, seeds: Iterable[int], **wish: Any) -> Path:
    """Real mammograms with simulated findings: ``unified.csv`` for the reader of lesions.

    ``wish`` holds fields of `Insertion`. The real pictures are taken in turn, seed by seed. A picture keeps its patient
    and its side of the split: what comes from fold 0 is test, all else train. Lesions that the data set itself outlines
    stay in the truth; muscle, where it outlines tissue, stays clear.

    Raises:
        ValueError: no case, no seed, another option, or no room in a picture.
    """
    wanted = wished(Insertion, wish)
    if wanted.kind not in RANGES or wanted.count < 1:
        raise ValueError(
            f"Found {wanted.count} findings of kind {wanted.kind!r}; wanted 1 or more of {', '.join(RANGES)}. Mend it."
        )
    cases: list[Case] = import_module(wanted.dataset).cases(Path(wanted.data))
    if not cases:
        raise ValueError(f"Found no case in {wanted.data}; wanted one or more. Give the folder of {wanted.dataset}.")
    entries = [_saved_insertion(cases[seed % len(cases)], folder, seed, wanted) for seed in seeds]
    if not entries:
        raise ValueError(f"Found no phantom for {folder / TABLE}; wanted one or more. Ask for more.")
    write_unified(entries, folder / TABLE)
    return folder


def _saved_insertion(case: Case, folder: Path, seed: int, wanted: Insertion) -> Entry:
    picture, given = eight_bits(case.read_image()), case.read_mask()
    truth, findings = _inserted(picture, given, wanted, np.random.default_rng(seed))
    name = f"{stem('inserted', seed)}_{case.name}"
    facts = {
        "phantom": "yes",
        "modality": "MG",
        "lesions": ", ".join(one.kind for one in findings),
        "seed": str(seed),
        "note": f"Real mammogram {case.name} with lesions simulated by Breast Cascade.",
    }
    image = save_picture(findings[-1].image, folder, f"images/{name}.png", facts)
    mask = save_picture(np.asarray(truth * 255, np.uint8), folder, f"lesions/{name}_lesions.png", facts)
    return Entry(image, mask, case.group, "", "", "lesion", part_of(case.fold), "phantom inserted", case.group)


def _inserted(
    picture: NDArray[np.uint8], given: NDArray[np.uint8], wanted: Insertion, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], list[Inserted]]:
    """0/1 truth and the findings one after the other, each in the picture that the one before left."""
    tissues = int(given.max()) > 1
    taken = given == PECTORAL if tissues else given > 0
    truth = np.zeros_like(given) if tissues else given.copy()
    findings: list[Inserted] = []
    for _ in range(wanted.count):
        where = Where(breast=given > 0 if tissues else None, forbidden=taken)
        findings.append(insert(picture, rng, RANGES[wanted.kind], where))
        picture, taken = findings[-1].image, taken | (findings[-1].region > 0)
        truth |= findings[-1].region
    return truth, findings
