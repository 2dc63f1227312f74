"""QIN: the time point nearest to 90 s of each visit, and its mask in three forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training import tiny_mri
from tests.training.prepare.mri_exams import SMALL, rows_of
from training.datasets.exam import in_plane
from training.datasets.qin import delay, exams
from training.dicom_series import find_series
from training.prepare.mri import prepare_mri

PATIENT = "QIN-Breast-DCE-MRI-BC01"
IMAGE, MASK = tiny_mri.exam()
TRUTH = MASK[::-1, ::-1].transpose(2, 1, 0)
DELAYS = (9.6, 49.6, 87.2, 130.0)


def write_visit(root: Path, date: str, uid: str) -> dict[float, list[Path]]:
    """One series for each time point, brighter with time, and a localiser; the files by delay."""
    folder = root / PATIENT / f"{date}-NA-Breast CE-59716"
    header = {"PatientID": PATIENT, "StudyInstanceUID": uid, "StudyDate": date}
    tiny_mri.write_series(folder / "01.000000-localizer-1", IMAGE, SeriesDescription="localizer", **header)
    return {
        seconds: tiny_mri.write_series(
            folder / f"{number:02d}.000000-twist20sdynTRA h20 ex B17TT{seconds}s-1830{number}",
            IMAGE + number,
            SeriesDescription=f"twist20sdynTRA h20 ex B17TT{seconds}s",
            **header,
        )
        for number, seconds in enumerate(DELAYS, start=7)
    }


def test_delays_come_from_the_description_or_the_folder(tmp_path: Path) -> None:
    tiny_mri.write_series(tmp_path / "a TT12s", IMAGE, SeriesDescription="dyn TT 49.6s")
    tiny_mri.write_series(tmp_path / "b TT12s", IMAGE)
    tiny_mri.write_series(tmp_path / "c", IMAGE)
    assert [delay(header) for header in find_series(tmp_path)] == [49.6, 12, None]


def test_the_nearest_time_point_with_a_nifti_mask(tmp_path: Path) -> None:
    write_visit(tmp_path, "20100301", "1.2.1")
    tiny_mri.write_nifti(tmp_path / "masks" / f"{PATIENT}-V1.nii.gz", MASK, axes="LPS")
    (exam,) = exams(tmp_path)
    assert (exam.name, exam.patient) == (f"{PATIENT}-V1", PATIENT)
    scan = in_plane(exam.reader(True), "axial")
    np.testing.assert_array_equal(scan.image.voxels, (IMAGE + 9)[::-1, ::-1].transpose(2, 1, 0))
    np.testing.assert_array_equal(scan.mask.voxels, TRUTH)
    assert scan.before is not None
    np.testing.assert_array_equal(scan.image.voxels - scan.before.voxels, 2)


def test_visits_are_counted_by_date_with_matlab_masks(tmp_path: Path) -> None:
    write_visit(tmp_path, "20100901", "1.2.1")
    write_visit(tmp_path, "20100301", "1.2.2")
    late = np.roll(MASK, 1, axis=2)
    tiny_mri.write_mat(tmp_path / "BC01-V1.mat", {"mask": tiny_mri.as_rows(MASK)})
    tiny_mri.write_mat(tmp_path / "BC01_V2.mat", {"mask": tiny_mri.as_rows(late)})
    first, second = exams(tmp_path)
    assert (first.patient, second.patient) == (PATIENT, PATIENT)
    np.testing.assert_array_equal(first.reader(False).mask.voxels, TRUTH)
    np.testing.assert_array_equal(second.reader(False).mask.voxels, late[::-1, ::-1].transpose(2, 1, 0))
    (turned, _) = exams(tmp_path, mat_from_last=True)
    np.testing.assert_array_equal(turned.reader(False).mask.voxels, TRUTH[::-1])


def test_a_segmentation_decides_the_time_point_it_was_drawn_on(tmp_path: Path) -> None:
    points = write_visit(tmp_path, "20100301", "1.2.1")
    drawn = points[130.0]
    tiny_mri.write_seg(drawn[0].parents[1] / "99.000000-seg-1" / "1-1.dcm", drawn, MASK)
    (exam,) = exams(tmp_path, segment="Tumour")
    scan = exam.reader(False)
    np.testing.assert_array_equal(scan.mask.voxels, TRUTH)
    np.testing.assert_array_equal(scan.image.voxels, (IMAGE + 10)[::-1, ::-1].transpose(2, 1, 0))


def test_a_segmentation_of_a_series_that_is_not_there_is_refused(tmp_path: Path) -> None:
    points = write_visit(tmp_path, "20100301", "1.2.1")
    other = tiny_mri.write_series(tmp_path / "elsewhere", IMAGE, PatientID=PATIENT, StudyInstanceUID="1.2.1")
    tiny_mri.write_seg(points[130.0][0].parents[1] / "seg" / "1.dcm", other, MASK)
    for path in other:
        path.unlink()
    with pytest.raises(ValueError, match=r"Found no series of the visit among the 1 that .*1.dcm refers to"):
        exams(tmp_path)[0].reader(False)


def test_a_visit_without_mask_or_time_point_is_refused(tmp_path: Path) -> None:
    write_visit(tmp_path / "a", "20100301", "1.2.1")
    tiny_mri.write_nifti(tmp_path / "a" / "BC01-V11.nii", MASK)
    with pytest.raises(FileNotFoundError, match=r"Found no mask \(SEG, NIfTI or MATLAB\) for .*BC01-V1; wanted one"):
        exams(tmp_path / "a")[0].reader(False)
    tiny_mri.write_series(tmp_path / "b" / "s", IMAGE, PatientID=PATIENT)
    with pytest.raises(FileNotFoundError, match="Found no time point with a delay behind TT for .*BC01-V1; wanted one"):
        exams(tmp_path / "b")[0].reader(False)


def test_two_masks_for_a_visit_are_refused(tmp_path: Path) -> None:
    write_visit(tmp_path, "20100301", "1.2.1")
    tiny_mri.write_nifti(tmp_path / "BC01-V1.nii", MASK)
    tiny_mri.write_mat(tmp_path / "BC01-V1.mat", {"mask": tiny_mri.as_rows(MASK)})
    with pytest.raises(ValueError, match="Found 2 masks for .*BC01-V1 .*; wanted one"):
        exams(tmp_path)[0].reader(False)


def test_one_visit_without_a_segmentation_does_not_cost_the_others(tmp_path: Path) -> None:
    drawn = write_visit(tmp_path / "in", "20100301", "1.2.1")[87.2]
    write_visit(tmp_path / "in", "20100901", "1.2.2")
    tiny_mri.write_seg(drawn[0].parents[1] / "99.000000-seg-1" / "1-1.dcm", drawn, MASK)
    found = exams(tmp_path / "in")
    assert [exam.name for exam in found] == [f"{PATIENT}-V1", f"{PATIENT}-V2"]
    with pytest.raises(ValueError, match=r"Found 1 of 2 volumes broken, the first: Found no mask \(SEG, NIfTI or"):
        prepare_mri(found, tmp_path / "out", SMALL)
    prepare_mri(found, tmp_path / "out", SMALL, skip_broken=True)
    assert {row["exam"] for row in rows_of(tmp_path / "out")} == {f"{PATIENT}-V1"}
    assert f"no mask (SEG, NIfTI or MATLAB) for {PATIENT}-V2" in (tmp_path / "out" / "broken.csv").read_text()


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda mask: mask[:-1], r"Found shape \(6, 24, 19\) in .*BC01-V1.nii; wanted \(6, 24, 20\), as in .*TT87"),
        (lambda mask: mask * np.uint8(3), "Found the values 0, 3 in .*BC01-V1.nii; wanted 0 with 1 or 255"),
    ],
)
def test_a_mask_that_does_not_fit_is_told_by_file(tmp_path: Path, spoil: Any, text: str) -> None:
    write_visit(tmp_path / "in", "20100301", "1.2.1")
    tiny_mri.write_nifti(tmp_path / "in" / "BC01-V1.nii", spoil(MASK), axes="LPS")
    with pytest.raises(ValueError, match=text):
        prepare_mri(exams(tmp_path / "in"), tmp_path / "out", SMALL)


def test_subtraction_needs_an_earlier_time_point(tmp_path: Path) -> None:
    header = {"PatientID": PATIENT, "SeriesDescription": "dyn TT90s"}
    tiny_mri.write_series(tmp_path / "s", IMAGE, **header)
    tiny_mri.write_nifti(tmp_path / "BC01-V1.nii", MASK)
    (exam,) = exams(tmp_path)
    with pytest.raises(FileNotFoundError, match="Found no time point earlier than .*; wanted one before contrast"):
        exam.reader(True)
