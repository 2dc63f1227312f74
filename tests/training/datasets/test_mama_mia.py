"""MAMA-MIA: both layouts, names in any case, the makers' split, what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training import tiny_mri
from training.datasets.exam import in_plane, subtracted
from training.datasets.mama_mia import exams


def test_the_download_is_read(tmp_path: Path) -> None:
    root = tiny_mri.write_mama_mia(tmp_path, ["DUKE_001", "ISPY1_1001"])
    (root / "train_test_splits.csv").write_text("train_split,test_split\nDUKE_001,ISPY1_1001\n")
    found = exams(root)
    assert [(exam.name, exam.patient, exam.official, exam.truth) for exam in found] == [
        ("DUKE_001", "DUKE_001", "train", "mask"),
        ("ISPY1_1001", "ISPY1_1001", "test", "mask"),
    ]
    image, mask = tiny_mri.exam(seed=1)
    scan = found[1].reader(False)
    np.testing.assert_array_equal(scan.image.voxels, image)
    np.testing.assert_array_equal(scan.mask.voxels, mask)
    assert scan.before is None


def test_the_subtraction_is_the_tumour(tmp_path: Path) -> None:
    (exam,) = exams(tiny_mri.write_mama_mia(tmp_path, ["DUKE_001"]))
    scan = in_plane(exam.reader(True), "axial")
    assert scan.before is not None
    np.testing.assert_array_equal(subtracted(scan.image, scan.before).voxels, 400 * scan.mask.voxels)


def test_another_phase_and_other_masks(tmp_path: Path) -> None:
    root = tiny_mri.write_mama_mia(tmp_path, ["DUKE_001"])
    (root / "segmentations" / "expert").rename(root / "segmentations" / "automatic")
    (exam,) = exams(root, phase=0, segmentations="automatic")
    np.testing.assert_array_equal(exam.reader(False).image.voxels.max() < 700, True)
    with pytest.raises(FileNotFoundError, match="Found no folder segmentations/expert in .*; wanted the masks"):
        exams(root)


def test_names_are_found_whatever_their_case(tmp_path: Path) -> None:
    image, mask = tiny_mri.exam()
    tiny_mri.write_nifti(tmp_path / "Images" / "duke_001" / "Duke_001_0001.NII.GZ".replace("NII.GZ", "nii.gz"), image)
    tiny_mri.write_nifti(tmp_path / "Segmentations" / "Expert" / "duke_001.nii", mask)
    (tmp_path / "TRAIN_TEST_SPLITS.csv").write_text("train_split,test_split\nDuke_001,\n")
    (exam,) = exams(tmp_path)
    assert (exam.name, exam.official) == ("DUKE_001", "train")


def test_pairs_of_image_and_mask_are_read(tmp_path: Path) -> None:
    image, mask = tiny_mri.exam()
    tiny_mri.write_nifti(tmp_path / "case 7" / "image.nii.gz", image)
    tiny_mri.write_nifti(tmp_path / "case 7" / "mask.nii.gz", mask)
    (tmp_path / "notes").mkdir()
    (exam,) = exams(tmp_path)
    assert (exam.name, exam.official) == ("case 7", "")
    np.testing.assert_array_equal(exam.reader(False).mask.voxels, mask)
    with pytest.raises(FileNotFoundError, match="Found no volume before contrast beside .*image.nii.gz; wanted 0000"):
        exam.reader(True)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Found no exam in .*; wanted at least one"):
        exams(tmp_path)


@pytest.mark.parametrize("lost", ["images/DUKE_001/DUKE_001_0001.nii.gz", "segmentations/expert/DUKE_001.nii.gz"])
def test_a_missing_volume_or_mask_is_named(lost: str, tmp_path: Path) -> None:
    root = tiny_mri.write_mama_mia(tmp_path, ["DUKE_001"])
    (root / lost).unlink()
    with pytest.raises(FileNotFoundError, match=f"Found no {Path(lost).name} in .*; wanted it"):
        [exam.reader(False) for exam in exams(root)]


@pytest.mark.parametrize("lost", ["image", "mask"])
def test_half_a_pair_is_told_when_it_is_read(lost: str, tmp_path: Path) -> None:
    image, mask = tiny_mri.exam()
    tiny_mri.write_nifti(tmp_path / "case 7" / "image.nii.gz", image)
    tiny_mri.write_nifti(tmp_path / "case 7" / "mask.nii.gz", mask)
    (tmp_path / "case 7" / f"{lost}.nii.gz").unlink()
    (exam,) = exams(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"Found no {lost}.nii.gz in .*case 7; wanted it"):
        exam.reader(False)


def test_two_files_for_one_volume_are_refused(tmp_path: Path) -> None:
    root = tiny_mri.write_mama_mia(tmp_path, ["DUKE_001"])
    tiny_mri.write_nifti(root / "segmentations" / "expert" / "duke_001.nii", tiny_mri.exam()[1])
    with pytest.raises(ValueError, match=r"Found DUKE_001.nii.gz and duke_001.nii in .*; wanted one file for DUKE_001"):
        [exam.reader(False) for exam in exams(root)]


def test_two_exams_of_one_name_are_refused(tmp_path: Path) -> None:
    root = tiny_mri.write_mama_mia(tmp_path, ["DUKE_001"])
    tiny_mri.write_nifti(root / "images" / "duke_001" / "duke_001_0001.nii.gz", tiny_mri.exam()[0])
    with pytest.raises(ValueError, match="Found two exams called DUKE_001 in .*; wanted one"):
        exams(root)


def test_a_split_file_without_its_columns_is_refused(tmp_path: Path) -> None:
    root = tiny_mri.write_mama_mia(tmp_path, ["DUKE_001"])
    (root / "train_test_splits.csv").write_text("patient,part\nDUKE_001,test\n")
    with pytest.raises(ValueError, match="Found no column train_split, test_split in .*train_test_splits.csv"):
        exams(root)


def test_a_split_that_trains_on_what_it_tests_is_refused(tmp_path: Path) -> None:
    root = tiny_mri.write_mama_mia(tmp_path, ["DUKE_001"])
    (root / "train_test_splits.csv").write_text("train_split,test_split\nduke_001,DUKE_001\n")
    with pytest.raises(ValueError, match="Found DUKE_001 in both parts of .*train_test_splits.csv"):
        exams(root)
