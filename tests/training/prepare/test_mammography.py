"""The mammography chain: enhanced as it is served, joined across sets, left out with a reason, resumed."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from service.enhance import adaptive_clahe, canonical_side, median_clahe
from tests.training.datasets.tiny_files import blob, texture, write
from training.datasets import unified_csv
from training.datasets.case import Case, read_grey
from training.datasets.masks import Lesion
from training.datasets.pictures import grey_picture
from training.prepare import mammography
from training.prepare.mammography import Made, MammographyOptions, prepare_mammography, zipped

SIZE = (96, 80)
BOX = (10, 20, 40, 60)


def film(seed: int) -> np.ndarray:
    """A breast at the right edge, with a texture of its own."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    inside = np.hypot((rows - 48) / 46, (columns - 80) / 60) < 1
    return np.where(inside, texture(seed, SIZE) // 2 + 90, 0).astype(np.uint8)


def case(root: Path, name: str, seed: int, fold: int = 1, box: tuple[int, int, int, int] | None = BOX) -> Case:
    image = write(root / f"{name}.png", film(seed))
    masks = (write(root / f"{name}_m.png", blob(box, SIZE) * np.uint8(255)),) if box else ()
    patient = name.rpartition("_LEFT")[0] or name.rpartition("_RIGHT")[0]
    return Case(name, image, masks, "benign", patient, fold, image_reader=grey_picture, mask_reader=Lesion())


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, list[Case]]:
    """Two sets; film 1 lies in both under different names of patients."""
    cbis = [case(tmp_path / "c", f"P_{n}_LEFT_CC", n, fold=n % 5) for n in range(4)]
    mini = [case(tmp_path / "m", "C_1_RIGHT_MLO", 1), case(tmp_path / "m", "C_7_LEFT_MLO", 17, box=None)]
    return {"cbis_ddsm": cbis, "mini_ddsm": mini}


def rows(table: Path) -> dict[str, dict[str, str]]:
    with table.open(newline="") as file:
        return {Path(row["image"]).stem: row for row in csv.DictReader(file)}


def left_out(out: Path) -> dict[str, str]:
    with (out / "left_out.csv").open(newline="") as file:
        return {row["image"]: row["reason"] for row in csv.DictReader(file)}


def test_pictures_are_enhanced_as_they_are_served(sets: dict[str, list[Case]], tmp_path: Path) -> None:
    prepare_mammography(sets, tmp_path / "out")
    image = read_grey(tmp_path / "out" / "images" / "cbis_ddsm" / "P_2_LEFT_CC.png")
    assert np.array_equal(image, median_clahe(film(2), clip=1.5, tiles=(8, 8)))
    mask = read_grey(tmp_path / "out" / "masks" / "cbis_ddsm" / "P_2_LEFT_CC.png")
    assert np.array_equal(mask, blob(BOX, SIZE) * np.uint8(255))
    assert not read_grey(tmp_path / "out" / "masks" / "mini_ddsm" / "C_7_LEFT_MLO.png").any()


@pytest.mark.parametrize(("enhance", "wanted"), [("none", film(2)), ("adaptive_clahe", adaptive_clahe(film(2)))])
def test_other_enhancements(sets: dict[str, list[Case]], tmp_path: Path, enhance: str, wanted: np.ndarray) -> None:
    options = MammographyOptions(enhance=enhance)  # type: ignore[arg-type]
    prepare_mammography({"a": sets["cbis_ddsm"][2:3]}, tmp_path / "out", options)
    assert np.array_equal(read_grey(tmp_path / "out" / "images" / "a" / "P_2_LEFT_CC.png"), wanted)


def test_deep_pictures_are_stretched_to_eight_bits(tmp_path: Path) -> None:
    one = case(tmp_path, "P_1_LEFT_CC", 1)
    write(one.image, film(1).astype(np.uint16) * 16)
    prepare_mammography({"a": [one]}, tmp_path / "out", MammographyOptions(enhance="none"))
    wanted = np.round(film(1) * (255 / film(1).max()))
    assert np.abs(read_grey(tmp_path / "out" / "images" / "a" / "P_1_LEFT_CC.png") - wanted).max() <= 1


def test_picture_and_mask_are_mirrored_and_shrunk_together(sets: dict[str, list[Case]], tmp_path: Path) -> None:
    options = MammographyOptions(enhance="none", canonical=True, longest=48)
    prepare_mammography({"a": sets["cbis_ddsm"][:1]}, tmp_path / "out", options)
    image, mask = (read_grey(tmp_path / "out" / kind / "a" / "P_0_LEFT_CC.png") for kind in ("images", "masks"))
    assert image.shape == mask.shape == (48, 40)
    assert canonical_side(film(0))[1], "the breast lies at the right"
    assert image[:, :20].mean() > image[:, 20:].mean()
    wanted = blob((40 - BOX[2] // 2, BOX[1] // 2, 40 - BOX[0] // 2, BOX[3] // 2), (48, 40))
    assert np.array_equal(mask, wanted * np.uint8(255))


def test_one_film_in_two_sets_joins_its_patients(sets: dict[str, list[Case]], tmp_path: Path) -> None:
    table = prepare_mammography(sets, tmp_path / "out")
    found = rows(table)
    assert found["C_1_RIGHT_MLO"]["group"] == found["P_1_LEFT_CC"]["group"] == "cbis_ddsm P_1"
    assert found["C_7_LEFT_MLO"]["group"] == "mini_ddsm C_7"
    assert len({row["group"] for row in found.values()}) == 5
    row = found["C_1_RIGHT_MLO"]
    assert (row["laterality"], row["view"], row["patient"], row["source"]) == ("RIGHT", "MLO", "C_1", "mini_ddsm")
    cases = {one.name: one for one in unified_csv.cases(tmp_path / "out")}
    assert cases["mini_ddsm C_1_RIGHT_MLO"].fold == cases["cbis_ddsm P_1_LEFT_CC"].fold
    assert np.array_equal(cases["cbis_ddsm P_1_LEFT_CC"].read_mask(), blob(BOX, SIZE))


def test_a_published_test_part_takes_its_twins_along(sets: dict[str, list[Case]], tmp_path: Path) -> None:
    sets["cbis_ddsm"] = [replace(one, fold=int(one.group != "P_1")) for one in sets["cbis_ddsm"]]
    found = rows(prepare_mammography(sets, tmp_path / "out", official=["cbis_ddsm"]))
    assert {name for name, row in found.items() if row["split"] == "test"} == {"P_1_LEFT_CC", "C_1_RIGHT_MLO"}
    assert {row["split"] for row in found.values()} == {"test", "train"}


def test_what_is_broken_is_left_out_with_the_reason(sets: dict[str, list[Case]], tmp_path: Path) -> None:
    one, two, *_ = sets["cbis_ddsm"]
    one.image.write_text("no picture")
    write(two.masks[0], blob(size=(50, 50)))
    found = rows(prepare_mammography(sets, tmp_path / "out"))
    assert not {one.name, two.name} & set(found)
    reasons = left_out(tmp_path / "out")
    assert reasons["images/cbis_ddsm/P_0_LEFT_CC.png"].startswith("Found no readable picture in ")
    assert "Found 50 x 50" in reasons["images/cbis_ddsm/P_1_LEFT_CC.png"]


def test_pictures_without_a_lesion_may_be_left_out(sets: dict[str, list[Case]], tmp_path: Path) -> None:
    prepare_mammography(sets, tmp_path / "out", MammographyOptions(empty=False))
    assert left_out(tmp_path / "out") == {"images/mini_ddsm/C_7_LEFT_MLO.png": "no lesion in the mask"}
    prepare_mammography(sets, tmp_path / "out", MammographyOptions())
    assert not left_out(tmp_path / "out"), "rows are chosen anew each time"


def test_outliers_are_left_out_and_named(tmp_path: Path) -> None:
    plain = [case(tmp_path, f"P_{n}_LEFT_CC", n % 3, box=(20 + n % 4, 30, 50, 60)) for n in range(24)]
    odd = case(tmp_path, "P_99_LEFT_CC", 99, box=(0, 0, 80, 96))
    prepare_mammography({"a": [*plain, odd]}, tmp_path / "out", MammographyOptions(outliers=0.05))
    assert left_out(tmp_path / "out") == {"images/a/P_99_LEFT_CC.png": "outlier"}


def test_too_few_pictures_for_outliers_are_told_before_any_is_made(sets: dict[str, list[Case]], tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"Found \d+ pictures with a lesion; wanted more than 20 to find outliers among"
    ):
        prepare_mammography(sets, tmp_path / "out", MammographyOptions(outliers=0.05))
    assert not list((tmp_path / "out").rglob("*.png"))


class StoppedError(Exception):
    """As Ctrl-C."""


def test_a_stopped_run_goes_on_where_it_was(sets: dict[str, list[Case]], tmp_path: Path) -> None:
    def stops(listed: Sequence[Made]) -> Iterable[Made]:
        yield from listed[:2]
        raise StoppedError

    with pytest.raises(StoppedError):
        prepare_mammography(sets, tmp_path / "out", progress=stops)
    assert not (tmp_path / "out" / "unified.csv").exists()
    done = sorted((tmp_path / "out" / "images").glob("*/*.png"))
    before = [path.stat().st_mtime_ns for path in done]
    # An orphan of a picture whose mask was not yet written.
    write(tmp_path / "out" / "images" / "cbis_ddsm" / "P_2_LEFT_CC.png", texture(5))
    table = prepare_mammography(sets, tmp_path / "out")
    assert len(done) == 2
    assert [path.stat().st_mtime_ns for path in done] == before
    assert len(rows(table)) == 6
    assert read_grey(tmp_path / "out" / "images" / "cbis_ddsm" / "P_2_LEFT_CC.png").shape == SIZE
    assert not list((tmp_path / "out").rglob("*.part"))


def test_other_settings_want_another_folder(sets: dict[str, list[Case]], tmp_path: Path) -> None:
    prepare_mammography(sets, tmp_path / "out")
    with pytest.raises(ValueError, match=r"out prepared with .*'clahe'.*; wanted .*'none'.*. Choose another folder"):
        prepare_mammography(sets, tmp_path / "out", MammographyOptions(enhance="none"))


def test_names_that_are_there_twice_and_nothing_at_all_are_refused(sets: dict[str, list[Case]], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Found images/a/P_0_LEFT_CC.png twice; wanted each name once in a set"):
        prepare_mammography({"a": sets["cbis_ddsm"][:1] * 2}, tmp_path / "twice")
    sets["cbis_ddsm"][0].image.unlink()
    with pytest.raises(ValueError, match=r"Found no picture to keep of 1; wanted some. .*left_out.csv says why"):
        prepare_mammography({"a": sets["cbis_ddsm"][:1]}, tmp_path / "nothing")


def test_a_full_disk_stops_with_what_is_wanted(
    sets: dict[str, list[Case]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mammography, "PICTURE_BYTES", 10**18)
    with pytest.raises(OSError, match=r"MB free in .*; wanted 1000000000000 MB for P_0_LEFT_CC"):
        prepare_mammography(sets, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.png"))


def test_the_zip_holds_what_the_table_names_and_trains_from_there(sets: dict[str, list[Case]], tmp_path: Path) -> None:
    prepare_mammography(sets, tmp_path / "out", MammographyOptions(empty=False))
    path = zipped(tmp_path / "out")
    assert path == tmp_path / "out.zip"
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 1 + 2 * 5
        archive.extractall(tmp_path / "elsewhere")
    found = unified_csv.cases(tmp_path / "elsewhere")
    assert len(found) == 5
    assert all(cv2.countNonZero(one.read_mask()) for one in found)
