"""MRI exams prepared once more, interrupted, broken, onto a full disk: what is kept, what is told."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training import tiny_mri
from tests.training.prepare.mri_exams import NAMES, SMALL, rows_of
from training.datasets import mama_mia, mri_slices
from training.datasets.exam import Exam
from training.prepare.mri import prepare_mri


def stamps(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in sorted(out.rglob("*.png"))}


def test_a_finished_volume_is_not_done_twice_an_interrupted_one_is_done_again(source: Path, tmp_path: Path) -> None:
    def stopped(exams: Sequence[Exam]) -> Sequence[Exam]:
        def halt(_: bool) -> None:
            raise KeyboardInterrupt

        return [*exams[:2], replace(exams[2], reader=halt)]

    exams = mama_mia.exams(source)[:3]
    with pytest.raises(KeyboardInterrupt):
        prepare_mri(exams, tmp_path, SMALL, progress=stopped)
    first = stamps(tmp_path)
    assert not (tmp_path / "manifest.csv").exists()
    with pytest.raises(FileNotFoundError, match=r"Found no .*manifest.csv; wanted prepared MRI slices"):
        mri_slices.cases(tmp_path)
    # What an interruption leaves of the second: slices without the mark that it is finished, one of them stray.
    (tmp_path / "volumes" / f"{NAMES[1]}.csv").unlink()
    (tmp_path / "images" / NAMES[1] / "stray.png").write_bytes(b"")
    prepare_mri(exams, tmp_path, SMALL)
    second = stamps(tmp_path)
    assert all((first[path] == second[path]) == (NAMES[0] in str(path)) for path in first)
    assert not (tmp_path / "images" / NAMES[1] / "stray.png").exists()
    assert len(mri_slices.cases(tmp_path)) == 18
    assert not (tmp_path / "broken.csv").exists()


def test_progress_sees_every_exam(source: Path, tmp_path: Path) -> None:
    seen = []

    def noted(exams: Sequence[Exam]) -> Sequence[Exam]:
        seen.extend(exam.name for exam in exams)
        return exams

    prepare_mri(mama_mia.exams(source)[:2], tmp_path, SMALL, progress=noted)
    assert seen == NAMES[:2]


def test_a_folder_prepared_otherwise_is_refused(source: Path, tmp_path: Path) -> None:
    exams = mama_mia.exams(source)[:1]
    prepare_mri(exams, tmp_path, SMALL)
    with pytest.raises(ValueError, match=r"Found .* prepared with .*'size': 48.*; wanted .*'size': 32"):
        prepare_mri(exams, tmp_path, replace(SMALL, size=32))
    prepare_mri(exams, tmp_path, replace(SMALL, keep_free=1, validation=0.5))


def write_broken(root: Path) -> None:
    image, mask = (voxels.astype(np.float32) for voxels in tiny_mri.exam())
    spoilt = image.copy()
    spoilt[3, 4, 5] = np.nan
    moved = tiny_mri.affine_of(origin=(0, 20, -30))
    cases = {
        "a whole": (image, mask, None),
        "b nan": (spoilt, mask, None),
        "c shape": (image, mask[:-1], None),
        "d affine": (image, mask, moved),
        "e value": (image, mask * 3, None),
    }
    for name, (voxels, truth, affine) in cases.items():
        tiny_mri.write_nifti(root / name / "image.nii.gz", voxels)
        tiny_mri.write_nifti(root / name / "mask.nii.gz", truth, affine)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("b nan", r"Found 1 voxels that are not finite in .*b nan/image.nii.gz, the first at \(5, 19, 16\); wanted"),
        ("c shape", r"Found shape \(6, 24, 19\) in .*c shape/mask.nii.gz; wanted \(6, 24, 20\), as in .*image.nii.gz"),
        ("d affine", r"Found .*d affine/mask.nii.gz up to 10.00 mm away from .*image.nii.gz; wanted the same affine"),
        ("e value", r"Found the values 0, 3 in .*e value/mask.nii.gz; wanted 0 with 1 or 255"),
    ],
)
def test_a_broken_volume_is_told_by_file(name: str, text: str, tmp_path: Path) -> None:
    write_broken(tmp_path / "in")
    exams = [exam for exam in mama_mia.exams(tmp_path / "in") if exam.name in ("a whole", name)]
    with pytest.raises(ValueError, match=f"(?s)Found 1 of 2 volumes broken, the first: {text}"):
        prepare_mri(exams, tmp_path / "out", SMALL)
    assert (tmp_path / "out" / "volumes" / "a whole.csv").is_file()
    assert not (tmp_path / "out" / "manifest.csv").exists()


def test_broken_volumes_can_be_skipped_and_are_listed(tmp_path: Path) -> None:
    write_broken(tmp_path / "in")
    prepare_mri(mama_mia.exams(tmp_path / "in"), tmp_path / "out", SMALL, skip_broken=True)
    assert {row["exam"] for row in rows_of(tmp_path / "out")} == {"a whole"}
    with (tmp_path / "out" / "broken.csv").open(newline="") as file:
        assert [row["exam"] for row in csv.DictReader(file)] == ["b nan", "c shape", "d affine", "e value"]


def test_no_free_disk_stops_at_once(source: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=rf"Found \d+ MB free in {tmp_path}; wanted \d+ MB for {NAMES[0]}. Free some"):
        prepare_mri(mama_mia.exams(source), tmp_path, replace(SMALL, keep_free=10**18))


def test_names_must_be_fit_for_files(source: Path, tmp_path: Path) -> None:
    (exam, *_) = mama_mia.exams(source)
    with pytest.raises(ValueError, match=r"Found an exam called '../x'; wanted letters"):
        prepare_mri([replace(exam, name="../x")], tmp_path, SMALL)


def test_no_slice_at_all_is_told(tmp_path: Path) -> None:
    image, mask = tiny_mri.exam()
    tiny_mri.write_nifti(tmp_path / "in" / "c" / "image.nii.gz", image)
    tiny_mri.write_nifti(tmp_path / "in" / "c" / "mask.nii.gz", mask * 0)
    with pytest.raises(ValueError, match="Found no slice for policy tumour_only in 1 volumes; wanted some"):
        prepare_mri(mama_mia.exams(tmp_path / "in"), tmp_path / "out", replace(SMALL, policy="tumour_only"))


def test_a_manifest_without_its_columns_or_slices_is_refused(source: Path, tmp_path: Path) -> None:
    prepare_mri(mama_mia.exams(source)[:1], tmp_path, SMALL)
    with pytest.raises(ValueError, match=r"Found no slice in .*manifest.csv for policy all, truth boxes; wanted some"):
        mri_slices.cases(tmp_path, truth="boxes")
    with pytest.raises(ValueError, match="Found the slice policy 'some'; wanted all"):
        mri_slices.cases(tmp_path, "some")
    (tmp_path / "manifest.csv").write_text("exam,z\nE,0\n")
    with pytest.raises(ValueError, match=r"Found no column patient, .* in .*manifest.csv"):
        mri_slices.cases(tmp_path)
