"""``data check`` and ``data prepare mammography`` as typed: tables, exit codes, what a mistake is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from tests.training.datasets.test_image_folders import write_folders
from tests.training.datasets.tiny_files import blob, texture, write
from training import data_cli

SIZE = (96, 80)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(data_cli.app, list(map(str, arguments)), catch_exceptions=False)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Twelve pictures and masks in images/ and labels/."""
    for number in range(12):
        write(tmp_path / "images" / f"{number}.png", texture(number, SIZE))
        write(tmp_path / "labels" / f"{number}.png", blob(size=SIZE))
    return tmp_path


def test_a_sound_data_set_ends_well_and_with_the_manifest(folders: Path) -> None:
    out = folders / "manifest.csv"
    result = invoke("check", "image_folders", "--data", folders, "-o", out)
    assert result.exit_code == 0
    assert "label 1" in result.stdout
    assert result.stdout.splitlines()[-1] == str(out)
    assert len(out.read_text().splitlines()) == 13


def test_a_broken_one_ends_with_1_and_still_has_its_manifest(folders: Path) -> None:
    (folders / "labels" / "3.png").unlink()
    (folders / "labels" / "4.png").write_text("no picture")
    result = invoke("check", "training.datasets.image_folders.cases", "--data", folders, "-o", folders / "m.csv")
    assert result.exit_code == 1
    text = " ".join(result.stdout.split())
    assert "3: Found no file" in text
    assert "4: Found no readable picture" in text
    assert len((folders / "m.csv").read_text().splitlines()) == 13


def test_many_problems_are_cut_short(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_cli, "SHOWN", 2)
    for number in range(5):
        (folders / "labels" / f"{number}.png").unlink()
    assert "and 4 more" in invoke("check", "image_folders", "--data", folders, "-o", folders / "m.csv").stdout


def test_options_reach_the_data_set_as_yaml(folders: Path) -> None:
    options = ["--option", "classes={0: 0, 1: 2}", "--option", r"patient=^\d+"]
    result = invoke("check", "image_folders", "--data", folders, "-o", folders / "m.csv", *options)
    assert result.exit_code == 0
    assert "label 2" in result.stdout


@pytest.mark.parametrize("option", ["classes", "=1"])
def test_an_option_without_name_or_value_is_refused(folders: Path, option: str) -> None:
    result = invoke("check", "image_folders", "--data", folders, "--option", option)
    assert result.exit_code == 2
    assert f"found '{option}', wanted NAME=VALUE" in result.stderr


def test_a_data_set_nobody_knows_is_refused(folders: Path) -> None:
    with pytest.raises(ImportError, match=r"Found no 'training.datasets.nobody.cases'; wanted the dotted path"):
        invoke("check", "nobody", "--data", folders)


@pytest.mark.parametrize("kind", ["mama_mia", "training.datasets.duke"])
def test_exams_are_told_to_be_prepared_first(folders: Path, kind: str) -> None:
    with pytest.raises(
        ImportError, match=r"Found MRI exams in 'training.datasets.\w+'; wanted cases. Prepare them first"
    ):
        invoke("check", kind, "--data", folders)


def test_a_module_by_its_dotted_path_is_told_what_is_missing(folders: Path) -> None:
    with pytest.raises(ImportError, match="wanted the dotted path of a class or function. Mend DATASET"):
        invoke("check", "training.datasets.masks", "--data", folders)


def test_an_option_that_is_missing_is_named(tmp_path: Path) -> None:
    write(tmp_path / "images" / "1.png", texture(1, SIZE))
    with pytest.raises(
        ValueError, match=r"Found data set training\S*photographs.cases with no .*'greys'.*Mend --option"
    ):
        invoke("check", "photographs", "--data", tmp_path)


def test_an_option_that_the_data_set_does_not_take_is_named(folders: Path) -> None:
    with pytest.raises(ValueError, match=r"with colour, which it does not take .*Mend --option"):
        invoke("check", "image_folders", "--data", folders, "--option", "colour=1")


@pytest.mark.parametrize("greys", ["{0: 0, 50: 1}", "[0, 50]", "0"])
def test_greys_that_name_no_class_are_refused(tmp_path: Path, greys: str) -> None:
    write(tmp_path / "images" / "1.png", texture(1, SIZE))
    with pytest.raises(ValueError, match=r"Found (class 0|greys) .*; wanted (background, body|the class of each grey)"):
        invoke("check", "photographs", "--data", tmp_path, "--option", f"greys={greys}")


@pytest.mark.parametrize("classes", ["3", "{0: tumour}", "{dark: 1}"])
def test_a_map_of_greys_that_is_none_is_refused(folders: Path, classes: str) -> None:
    with pytest.raises(ValueError, match=r"Found .*; wanted a label for each grey, such as .* Mend the map"):
        invoke("check", "image_folders", "--data", folders, "--option", f"classes={classes}")


def test_help_says_what_ends_how() -> None:
    text = " ".join(invoke("-h").stdout.split())
    for words in ("check", "prepare", "Exit codes: 0 all well", "leaks between the parts"):
        assert words in text
    for words in ("--cbis", "--mini-ddsm", "--official", "--zip", "left_out.csv"):
        assert words in invoke("prepare", "mammography", "-h").stdout


def _boxed(root: Path, count: int = 3) -> Path:
    lines = ["image,patient,side,view,pathology,boxes_ltrb_800,fold"]
    for n in range(count):
        write(root / "images" / f"{n:05d}_LEFT_CC.jpg", texture(n, (800, 800)))
        lines.append(f'images/{n:05d}_LEFT_CC.jpg,{n:05d},LEFT,CC,BENIGN,"[[100, 200, 300, 400]]",{n}')
    (root / "index.csv").write_text("\n".join(lines))
    return root


def test_mammograms_are_prepared_checked_and_zipped(tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["prepare", "mammography", "--cbis", _boxed(tmp_path / "cbis"), "-o", out, "--longest", 64]
    result = invoke(*arguments)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == str(out / "unified.csv")
    assert invoke(*arguments, "--zip").stdout.splitlines()[-1] == str(tmp_path / "out.zip")
    assert invoke("check", "unified_csv", "--data", out, "-o", tmp_path / "m.csv").exit_code == 0


def test_without_a_set_there_is_nothing_to_prepare(tmp_path: Path) -> None:
    result = invoke("prepare", "mammography", "-o", tmp_path)
    assert result.exit_code == 2
    assert "found neither, wanted at least one" in result.stderr


def test_the_layout_of_another_data_set_is_told(tmp_path: Path) -> None:
    write_folders(tmp_path)
    with pytest.raises(FileNotFoundError, match="Found neither index.csv nor the folders benign"):
        invoke("check", "busi", "--data", tmp_path)
    assert np.array(list((tmp_path / "images").iterdir())).size == 3
