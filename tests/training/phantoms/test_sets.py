"""Sets of phantoms: the command writes them, existing readers read them, each picture says what it is."""

from __future__ import annotations

from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from training.cli import app
from training.datasets import busi, mama_mia, mri_slices, tissue, unified_csv
from training.phantoms.mammogram_set import write as write_mammograms
from training.phantoms.mammogram_set import write_inserted
from training.phantoms.mri import Wish as MriWish
from training.phantoms.mri import mri_phantom
from training.phantoms.mri_set import DESCRIPTION
from training.phantoms.mri_set import write as write_mri
from training.phantoms.sets import save_picture, write_table
from training.phantoms_cli import SETS
from training.prepare.mri import MriOptions, prepare_mri
from training.recipe import Part, resolve

SIZE = (240, 160)


@pytest.fixture(scope="module")
def mammograms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mammograms(tmp_path_factory.mktemp("mg"), range(5, 10), size=SIZE, masses=1)


@pytest.fixture(scope="module")
def exams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = (10, 48, 48)
    return write_mri(tmp_path_factory.mktemp("mri"), range(5), shape=shape, phases=2, plane="axial", lesions=2)


def run(*words: str | Path) -> str:
    done = CliRunner().invoke(app, ["phantoms", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()[-1]


def test_the_reader_of_tissue_reads_mammogram_phantoms(mammograms: Path) -> None:
    found = tissue.cases(mammograms)
    assert [case.fold for case in found] == [0, 1, 2, 3, 4]
    for case in found:
        assert case.read_image().shape == SIZE
        assert set(np.unique(case.read_mask())) <= {0, 1, 2, 3}
        assert case.name.startswith("phantom_mammogram_")


def test_the_reader_of_lesions_reads_mammogram_phantoms(mammograms: Path) -> None:
    found = unified_csv.cases(mammograms)
    assert len(found) == 5
    assert sum(case.fold == 0 for case in found) == 1
    for case in found:
        assert case.category == "lesion"
        assert case.read_mask().any()


def test_every_picture_says_that_it_is_a_phantom(mammograms: Path) -> None:
    pictures = sorted(mammograms.rglob("*.png"))
    assert len(pictures) == 15
    for path in pictures:
        assert path.name.startswith("phantom_mammogram_")
        with Image.open(path) as picture:
            assert picture.text["phantom"] == "yes"
            assert "no patient" in picture.text["note"]


def test_simulated_masses_come_into_real_pictures_and_keep_fold_0_apart(mammograms: Path, tmp_path: Path) -> None:
    write_inserted(tmp_path, range(5), data=str(mammograms))
    real = {case.name: case for case in tissue.cases(mammograms)}
    found = unified_csv.cases(tmp_path)
    assert len(found) == 5
    for case in found:
        source = real[case.image.stem.split("_", 3)[3]]
        assert (case.fold == 0) == (source.fold == 0)
        assert case.group == source.group
        mask, tissues = case.read_mask(), source.read_mask()
        assert mask.any()
        assert set(np.unique(tissues[mask > 0])) <= {1, 2}
        changed = case.read_image() != source.read_image()
        reach = cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=60)
        assert not (changed & (reach == 0)).any()
        with Image.open(case.image) as picture:
            assert picture.text["phantom"] == "yes"
            assert "Real mammogram" in picture.text["note"]


def test_outlined_lesions_of_the_given_set_stay_in_the_truth(mammograms: Path, tmp_path: Path) -> None:
    options = {"dataset": "training.datasets.unified_csv", "kind": "calcifications", "count": 2}
    write_inserted(tmp_path, range(1), data=str(mammograms), **options)
    given = unified_csv.cases(mammograms)[0].read_mask()
    (made,) = unified_csv.cases(tmp_path)
    mask = made.read_mask()
    assert (mask[given > 0] == 1).all()
    assert mask.sum() > given.sum()


def test_what_cannot_be_inserted_is_refused(mammograms: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="of kind 'scar'; wanted 1 or more of mass, calcifications"):
        write_inserted(tmp_path, range(1), data=str(mammograms), kind="scar")
    with pytest.raises(ValueError, match="Found no phantom for"):
        write_inserted(tmp_path, range(0), data=str(mammograms))
    (tmp_path / "index.csv").write_text("image,mask,case,fold\n")
    with pytest.raises(ValueError, match="Found no case in"):
        write_inserted(tmp_path, range(1), data=str(tmp_path))


def test_mri_phantoms_go_through_preparation_to_the_reader_of_slices(exams: Path, tmp_path: Path) -> None:
    listed = mama_mia.exams(exams)
    assert [exam.official for exam in listed] == ["test", "train", "train", "train", "train"]
    prepare_mri(listed, tmp_path, MriOptions(size=64, subtraction=True))
    slices = mri_slices.cases(tmp_path)
    assert {case.fold for case in slices if case.group == "PHANTOM_MRI_00000"} == {0}
    assert {case.fold for case in slices if case.group != "PHANTOM_MRI_00000"} <= {1, 2, 3, 4}
    assert {case.category for case in slices} == {"normal", "tumour"}
    assert all("PHANTOM" in case.image.name for case in slices)
    tumour = next(case for case in slices if case.category == "tumour")
    assert tumour.read_mask().any()


def test_nifti_files_hold_the_phantom_and_say_so(exams: Path) -> None:
    phantom = mri_phantom(2, MriWish(shape=(10, 48, 48), phases=2, plane="axial", lesions=2))
    folder = exams / "images" / "phantom_mri_00002"
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == [f"phantom_mri_00002_{n:04d}.nii.gz" for n in range(3)]
    for path, phase in zip(files, phantom.phases, strict=True):
        image = nibabel.load(path)
        assert np.array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), phase)
        assert bytes(image.header["descrip"]).rstrip(b"\0") == DESCRIPTION
        assert b"phantom: yes" in image.header.extensions[0].get_content()
        assert image.header.get_zooms() == pytest.approx(phantom.grid.spacing[::-1], rel=1e-5)
    each = np.asarray(nibabel.load(exams / "segmentations" / "each" / "phantom_mri_00002.nii.gz").dataobj)
    assert np.array_equal(each.transpose(2, 1, 0), phantom.labels)


@pytest.mark.parametrize("name", SETS)
def test_every_set_names_a_writer_that_is_there(name: str) -> None:
    assert callable(resolve(Part(path=SETS[name].writer)))


def test_the_command_draws_the_same_set_twice(tmp_path: Path) -> None:
    options = ("--option", "size=[200, 160]", "--option", "view=CC", "--option", "masses=0")
    one, two = (run("mammogram", "-n", "2", "--seed", "3", "-o", tmp_path / name, *options) for name in "ab")
    assert one == str(tmp_path / "a")
    files = sorted(path.relative_to(one) for path in Path(one).rglob("*.*"))
    assert len(files) >= 6
    for file in files:
        assert (Path(one) / file).read_bytes() == (Path(two) / file).read_bytes()


def test_the_command_draws_ultrasound_for_the_reader_of_busi(tmp_path: Path) -> None:
    run("ultrasound", "-n", "2", "-o", tmp_path)
    found = busi.cases(tmp_path)
    assert len(found) == 2
    for case in found:
        assert case.read_mask().any() == (case.category != "normal")


def test_options_that_a_set_does_not_take_are_told(tmp_path: Path) -> None:
    for words, text in (
        (("mammogram", "--option", "colour=3"), "Found the option 'colour'; wanted one of view, density"),
        (("ultrasound", "--option", "colour=3"), "which it does not take"),
    ):
        with pytest.raises(ValueError, match=text):
            run(words[0], "-n", "1", "-o", tmp_path, *words[1:])


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Found no phantom for"):
        write_table([], tmp_path / "index.csv")


def test_saved_pictures_make_their_folder(tmp_path: Path) -> None:
    path = save_picture(np.zeros((3, 3), np.uint8), tmp_path, "a/b/phantom_x.png", {"phantom": "yes"})
    assert (tmp_path / path).is_file()
