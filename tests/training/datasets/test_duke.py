"""Duke as TCIA has it: the first pass of each patient with a box, slices counted by instance number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openpyxl
import pytest

from tests.training import tiny_mri
from tests.training.prepare.mri_exams import SMALL, rows_of
from training.datasets.duke import exams
from training.prepare.mri import prepare_mri

IMAGE, _ = tiny_mri.exam()
HEADER = ("Patient ID", "Start Row", "End Row", "Start Column", "End Column", "Start Slice", "End Slice")
BOX = (4, 9, 3, 8, 2, 5)
REAL = Path(__file__).parents[3].parent / "shared/data/mri_exam_duke153"


def write_patient(root: Path, patient: str, descriptions: tuple[str, ...] = ("ax dyn pre", "ax dyn 1st pass")) -> None:
    for number, description in enumerate(descriptions):
        tiny_mri.write_series(
            root / patient / "01-01-1990-NA-MRI" / f"{number}.000000-{description}-1",
            IMAGE + number,
            PatientID=patient,
            SeriesDescription=description,
        )


def write_sheet(root: Path, patients: list[str]) -> None:
    book = openpyxl.Workbook()
    for row in (HEADER, *((patient, *BOX) for patient in patients)):
        book.active.append(row)
    root.mkdir(parents=True, exist_ok=True)
    book.save(root / "Annotation_Boxes.xlsx")


def test_patients_with_a_box_are_read(tmp_path: Path) -> None:
    for patient in ("Breast_MRI_002", "Breast_MRI_001", "Breast_MRI_003"):
        write_patient(tmp_path, patient)
    write_sheet(tmp_path, ["Breast_MRI_001", "Breast_MRI_002"])
    found = exams(tmp_path)
    assert [(exam.name, exam.patient, exam.truth) for exam in found] == [
        (f"Breast_MRI_00{number}", f"Breast_MRI_00{number}", "boxes") for number in (1, 2, 3)
    ]
    with pytest.raises(FileNotFoundError, match=r"Found no box of Breast_MRI_003 in .*Boxes.xlsx; wanted a row"):
        found[2].reader(False)
    scan = found[0].reader(True)
    # Instances run from the head down here: 2 to 4 of 6 are slices 2 to 4 from the feet.
    wanted = np.zeros((6, 24, 20), np.uint8)
    wanted[2:5, 4:9, 3:8] = 1
    np.testing.assert_array_equal(scan.mask.voxels, wanted)
    assert scan.before is not None
    np.testing.assert_array_equal(scan.image.voxels - scan.before.voxels, 1)


def test_a_csv_without_patients_does_for_one_patient(tmp_path: Path) -> None:
    write_patient(tmp_path, "A", ("ax dyn 1st pass",))
    (tmp_path / "box.csv").write_text(
        "start_row,end_row,start_column,end_column,start_instance,end_instance\n4,9,3,8,2,5\n"
    )
    (exam,) = exams(tmp_path)
    assert int(exam.reader(False).mask.voxels.sum()) == 3 * 5 * 5
    with pytest.raises(FileNotFoundError, match="Found no single series before contrast beside .*; wanted one"):
        exam.reader(True)
    write_patient(tmp_path, "B")
    with pytest.raises(ValueError, match=r"Found no column Patient ID in .*box.csv; wanted to know whose boxes"):
        exams(tmp_path)


def test_a_table_is_needed_and_its_columns(tmp_path: Path) -> None:
    write_patient(tmp_path, "A")
    with pytest.raises(FileNotFoundError, match=r"Found 0 tables of boxes in .*; wanted one, Annotation_Boxes.xlsx"):
        exams(tmp_path)
    (tmp_path / "box.csv").write_text("start_row,end_row\n4,9\n")
    with pytest.raises(ValueError, match=r"Found no column startcolumn, .* in .*box.csv"):
        exams(tmp_path)


def test_a_patient_has_one_box_of_whole_numbers(tmp_path: Path) -> None:
    write_patient(tmp_path, "A")
    for rows, text in (
        ("A,4,9,3,8,2,5\nA,4,9,3,8,3,5\n", r"Found 2 boxes of A in .*box.csv; wanted one"),
        ("A,4,,3,8,2,five\n", r"Found the sides 4, nothing, 3, 8, 2, five of A in .*box.csv; wanted six whole numbers"),
    ):
        (tmp_path / "box.csv").write_text(f"{','.join(HEADER)}\n{rows}")
        with pytest.raises(ValueError, match=text):
            exams(tmp_path)[0].reader(False)


def test_one_patient_without_a_box_does_not_cost_the_others(tmp_path: Path) -> None:
    for patient in ("A", "B", "C"):
        write_patient(tmp_path / "in", patient, ("ax dyn pre",) if patient == "C" else ("ax dyn 1st pass",))
    write_sheet(tmp_path / "in", ["A", "C"])
    found = exams(tmp_path / "in")
    with pytest.raises(ValueError, match=r"Found 2 of 3 volumes broken, the first: Found no box of B in .*xlsx"):
        prepare_mri(found, tmp_path / "out", SMALL)
    prepare_mri(found, tmp_path / "out", SMALL, skip_broken=True)
    assert {row["exam"] for row in rows_of(tmp_path / "out")} == {"A"}
    with pytest.raises(ValueError, match=r"Found none of 2 volumes whole; wanted some. See .*broken.csv for what"):
        prepare_mri(found[1:], tmp_path / "none", SMALL, skip_broken=True)


def test_the_first_pass_must_be_there_and_be_one(tmp_path: Path) -> None:
    write_patient(tmp_path / "a", "A", ("ax dyn pre",))
    write_sheet(tmp_path / "a", ["A"])
    with pytest.raises(FileNotFoundError, match=r"Found 0 series of A that could be the first pass .*\(ax dyn pre\)"):
        exams(tmp_path / "a")[0].reader(False)
    write_patient(tmp_path / "b", "A", ("ax dyn 1st pass", "Ph1/dyn"))
    write_sheet(tmp_path / "b", ["A"])
    with pytest.raises(ValueError, match=r"Found 2 series of A that could be the first pass"):
        exams(tmp_path / "b")[0].reader(False)


def test_a_box_beside_the_slices_is_refused(tmp_path: Path) -> None:
    write_patient(tmp_path, "A")
    (tmp_path / "box.csv").write_text(",".join(HEADER) + "\nA,4,9,3,8,70,80\n")
    (exam,) = exams(tmp_path)
    with pytest.raises(ValueError, match=r"Found \(24, 20\) pixels and instances 1 to 6 in .*; wanted some inside Box"):
        exam.reader(False)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data/mri_exam_duke153")
def test_the_real_tumour_takes_up_contrast_inside_its_box() -> None:
    (exam,) = exams(REAL)
    scan = exam.reader(True)
    assert scan.before is not None
    uptake = scan.image.voxels - scan.before.voxels
    inside = scan.mask.voxels > 0
    assert inside.any(axis=(1, 2)).sum() == 17
    # The lesion is the brightest thing its box and mirror box hold.
    assert np.percentile(uptake[inside], 95) > 2 * np.percentile(uptake[inside[:, :, ::-1]], 95)
