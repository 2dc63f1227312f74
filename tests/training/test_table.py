"""The table: its numbers are recomputed from the masks, its first row is what the others are held against."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.training.scored import method
from training.table import COLUMNS, CSV, MARKDOWN, PLOT, Results, write_table

BASE: dict[str, int | None] = {"a1": 0, "a2": 5, "b1": 10, "c1": None, "d1": 4}
OTHER: dict[str, int | None] = {"a1": 0, "a2": 2, "b1": 5, "c1": None, "d1": 2}


def dice(shifts: dict[str, int | None], *, lesion: bool) -> float:
    values = [1.0 if shift is None else max(0, 10 - shift) / 10 for shift in shifts.values()]
    return float(
        np.mean([v for v, shift in zip(values, shifts.values(), strict=True) if shift is not None or not lesion])
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nobody writes here."""
    folder = tmp_path_factory.mktemp("table") / "sub"
    methods = [method("base", BASE), method("other", OTHER, gmac=20.0)]
    write_table([Results("BUSI fold 0", methods)], folder, "A comparison", ["Measured in a test."])
    return folder


def read(folder: Path) -> list[dict[str, str]]:
    with (folder / CSV).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_numbers_of_the_csv_are_those_of_the_masks(written: Path) -> None:
    rows = read(written)
    assert tuple(rows[0]) == COLUMNS
    assert [(row["set"], row["method"]) for row in rows] == [
        ("all", "base"),
        ("all", "other"),
        ("lesion", "base"),
        ("lesion", "other"),
    ]
    for row in rows:
        shifts = BASE if row["method"] == "base" else OTHER
        assert float(row["dice_value"]) == pytest.approx(dice(shifts, lesion=row["set"] == "lesion"), rel=1e-5)
        assert float(row["dice_low"]) <= float(row["dice_value"]) <= float(row["dice_high"])
    assert rows[0]["dice_minus_first"] == rows[0]["p_value"] == rows[0]["p_mean"] == ""
    gain = dice(OTHER, lesion=True) - dice(BASE, lesion=True)
    assert float(rows[3]["dice_minus_first"]) == pytest.approx(gain, rel=1e-5)
    assert 0 < float(rows[3]["p_value"]) <= 1
    # The groups a and d gain, b too: two of eight ways of signs are as extreme.
    assert float(rows[3]["p_mean"]) == 2 / 8


def test_the_csv_tells_cost_and_training(written: Path) -> None:
    row = read(written)[1]
    assert (row["parameters"], row["gmac"], row["ms_per_image"]) == ("1500000", "20", "12")
    assert (row["loss"], row["training_loss"], row["validation_loss"]) == ("dice_bce", "0.25", "0.5")
    assert (row["epochs"], row["minutes"], row["hardware"]) == ("3", "1.5", "a processor, 2 threads")
    assert (row["images"], row["empty_truth"], row["both_empty"], row["groups"]) == ("5", "1", "1", "4")
    assert (row["hd95_px_value"], row["hd95_px_undefined"]) == (f"{(0 + 2 + 5 + 2) / 4:g}", "1")
    assert (row["lesion_sensitivity_value"], row["false_positives_per_image_value"]) == ("1", "0")
    assert (row["solidity_value"], row["froc_value"]) == ("1", "")


def test_the_markdown_says_the_same(written: Path) -> None:
    text = (written / MARKDOWN).read_text(encoding="utf-8")
    assert text.startswith("# A comparison\n\n- Measured in a test.\n- Means over images")
    assert "| base | whole | 1.50 M | 1.00 | 12 | dice_bce | 0.2500 | 0.5000 | 3 of 4 | 1.5 |" in text
    assert "### lesion, all images (5 in 4 groups, 1 without a lesion)" in text
    assert "### lesion, lesion images (4 in 3 groups, 0 without a lesion)" in text
    base, other, shapes, others = (
        line for line in text.split("lesion images")[1].splitlines() if line.startswith(("| base", "| other"))
    )
    head = (
        "| method | regions | HD95 px | surface Dice 2 px | lesion sensitivity | false positives per image | solidity |"
    )
    assert head in text, "what no row has is no column"
    assert shapes.startswith("| base | none | 4.8 [")
    assert others.startswith("| other | none | 2.2 [")
    assert base.startswith(f"| base | none | {dice(BASE, lesion=True):.3f} [")
    assert base.endswith("|  |  |  |")
    assert f"| {dice(OTHER, lesion=True) - dice(BASE, lesion=True):+.3f} [" in other


def test_equal_scores_have_no_difference(tmp_path: Path) -> None:
    write_table([Results("x", [method("one", BASE), method("two", BASE)])], tmp_path, "t")
    assert "+0.000 [+0.000, +0.000] | 1.000 | 1.000 |" in (tmp_path / MARKDOWN).read_text(encoding="utf-8")


def test_every_data_set_has_its_own_part(tmp_path: Path) -> None:
    results = [Results("BUSI fold 0", [method("base", BASE)]), Results("elsewhere", [method("base", OTHER)])]
    text = write_table(results, tmp_path, "t").read_text(encoding="utf-8")
    assert text.index("## BUSI fold 0") < text.index("## elsewhere")
    assert text.count("| base | whole |") == 1, "what a method costs is said once"
    assert {row["data_set"] for row in read(tmp_path)} == {"BUSI fold 0", "elsewhere"}


def test_volumes_have_a_part_of_their_own(tmp_path: Path) -> None:
    slices = {"v_z001": 0, "v_z002": 5, "w_z001": 10}
    text = write_table([Results("x", [method("one", slices)])], tmp_path, "t").read_text(encoding="utf-8")
    assert "### lesion, all images (3 in 2 groups" in text
    assert "### lesion, all volumes (2 in 2 groups" in text
    volumes = text.split("all volumes")[1]
    assert "HD95 px" in volumes.split("lesion volumes")[0]
    assert "undefined" not in volumes


def test_millimetres_stand_where_pixels_would(tmp_path: Path) -> None:
    known = method("known", BASE)
    scaled = [replace(row, hd95_mm=row.hd95_px / 10, surface_dice_2mm=1.0) for row in known.scores]
    text = write_table([Results("x", [replace(known, scores=scaled)])], tmp_path, "t").read_text(encoding="utf-8")
    assert "| method | regions | HD95 mm | surface Dice 2 mm | lesion sensitivity |" in text
    some = [*scaled[1:], known.scores[0]]
    text = write_table([Results("x", [replace(known, scores=some)])], tmp_path, "t").read_text(encoding="utf-8")
    assert "| HD95 mm | HD95 px | surface Dice 2 mm | surface Dice 2 px |" in text, "one image has no spacing"


def test_where_methods_look_is_part_of_their_name_in_the_plot(tmp_path: Path) -> None:
    methods = [method("one", BASE), method("one", OTHER, regions="detector")]
    write_table([Results("x", methods)], tmp_path, "t")
    picture = cv2.imread(str(tmp_path / PLOT))
    assert picture is not None
    assert (picture < 250).any(axis=-1).mean() > 0.005


@pytest.mark.parametrize("results", [[], [Results("x", [])]])
def test_a_table_needs_a_row(results: list[Results], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Found no method; wanted at least one row for the table"):
        write_table(results, tmp_path / "t", "t")
    assert not (tmp_path / "t").exists()
