"""QIN Breast DCE-MRI: 10 patients with two visits each, one DICOM series for each time point.

Huang et al., doi:10.7937/k9/tcia.2014.a2n1ixox, CC BY 3.0. Not to be confused with QIN-BREAST. The delay of a time
point stands behind ``TT`` in its series description (``twist20sdynTRA h20 ex B17TT49.6s``). The time point nearest to
90 s is taken; sorting slices by file name would mix time points.

In which form the tumour masks come could not be confirmed, so three are read, looked for in this order:

* a DICOM segmentation among the visit's series: of the series it refers to, the one nearest to 90 s is taken;
* NIfTI or MATLAB 7.3 anywhere below the root, named after patient and visit: ``...BC01-V1.nii.gz``, ``...BC10-V2.mat``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from training.datasets.exam import Exam, Scan, unique_names
from training.dicom_series import SeriesHeader, find_series, read_series
from training.mri_masks import read_mat, read_seg, referenced_series
from training.volume import Volume, read_nifti

WANTED = 90.0
DELAY = re.compile(r"TT\s*(\d+(?:\.\d+)?)\s*s", re.IGNORECASE)
PATIENT = re.compile(r"BC\d+", re.IGNORECASE)
SUFFIXES = (".nii", ".nii.gz", ".mat")


def exams(root: Path, segment: str | None = None, *, mat_from_last: bool = False) -> list[Exam]:
    """One exam for each visit, sorted by name (``QIN-Breast-DCE-MRI-BC01-V1``); visits are counted by date.

    A visit without a time point with a delay, without a mask or with two of a kind, or with a segmentation that refers
    to none of its series, is told when its exam is read, so that others can be used.

    Args:
        root: folder of the download.
        segment: label of the tumour in DICOM segmentations that hold more than one.
        mat_from_last: MATLAB masks count their slices from the far end of the normal.

    Raises FileNotFoundError where there is no series.
    """
    headers = find_series(root)
    masks = sorted(path for path in root.rglob("*") if path.is_file() and path.name.lower().endswith(SUFFIXES))
    found = [
        Exam(name, patient, partial(_read, name, visit, masks, (segment, mat_from_last)))
        for patient in sorted({header.patient for header in headers})
        for number, visit in enumerate(_visits(headers, patient), start=1)
        for name in (f"{patient}-V{number}",)
    ]
    return unique_names(found, root)


def _visits(headers: Sequence[SeriesHeader], patient: str) -> list[list[SeriesHeader]]:
    """A patient's series by study, the earliest first."""
    visits: dict[str, list[SeriesHeader]] = {}
    for header in headers:
        if header.patient == patient:
            visits.setdefault(header.study, []).append(header)
    return sorted(visits.values(), key=lambda visit: (min(header.date for header in visit), visit[0].study))


def delay(header: SeriesHeader) -> float | None:
    """Seconds after the start of the dynamic run, from the description or the folder's name; None without ``TT``."""
    found = DELAY.search(header.description) or DELAY.search(header.folder.name)
    return float(found.group(1)) if found else None


def _read(
    name: str, visit: Sequence[SeriesHeader], masks: Sequence[Path], how: tuple[str | None, bool], subtraction: bool
) -> Scan:
    points = [header for header in visit if header.modality == "MR" and delay(header) is not None]
    segs = [header.first for header in visit if header.modality == "SEG"]
    mask = _only(segs, name) or _only(_named(masks, name), name)
    if not points or mask is None:
        lacking = "time point with a delay behind TT" if not points else "mask (SEG, NIfTI or MATLAB)"
        raise FileNotFoundError(f"Found no {lacking} for {name}; wanted one. Restore it or remove the visit.")
    before = min(points, key=_delay)
    chosen = _nearest(_drawn_on(points, mask) if segs else points)
    return _scan(chosen.folder, before.folder, mask, how, subtraction)


def _delay(header: SeriesHeader) -> float:
    return delay(header) or 0.0


def _nearest(points: Sequence[SeriesHeader]) -> SeriesHeader:
    return min(points, key=lambda header: abs(_delay(header) - WANTED))


def _drawn_on(points: Sequence[SeriesHeader], seg: Path) -> list[SeriesHeader]:
    wanted = referenced_series(seg)
    found = [header for header in points if header.series in wanted]
    if not found:
        raise ValueError(
            f"Found no series of the visit among the {len(wanted)} that {seg} refers to; wanted one. "
            "Restore the series it was drawn on."
        )
    return found


def _named(masks: Sequence[Path], name: str) -> list[Path]:
    patient, visit = PATIENT.search(name), name.rsplit("-", 1)[1]
    wanted = rf"(?<![A-Za-z0-9]){patient.group() if patient else re.escape(name)}[-_ ]{visit}(?!\d)"
    return [path for path in masks if re.search(wanted, path.name, re.IGNORECASE)]


def _only(paths: Sequence[Path], name: str) -> Path | None:
    if len(paths) > 1:
        names = ", ".join(str(path) for path in paths)
        raise ValueError(f"Found {len(paths)} masks for {name} ({names}); wanted one. Remove the others.")
    return paths[0] if paths else None


def _scan(chosen: Path, before: Path, mask: Path, how: tuple[str | None, bool], subtraction: bool) -> Scan:
    series = read_series(chosen)
    if mask.name.lower().endswith(".mat"):
        truth = read_mat(mask, series, from_last=how[1])
    elif mask.suffix.lower() == ".dcm":
        truth = read_seg(mask, series, how[0])
    else:
        truth = read_nifti(mask)
    return Scan(series.volume, truth, _before(before, chosen) if subtraction else None)


def _before(before: Path, chosen: Path) -> Volume:
    if before == chosen:
        raise FileNotFoundError(
            f"Found no time point earlier than {chosen}; wanted one before contrast. Leave subtraction out."
        )
    return read_series(before).volume
