"""The check goes on past every broken file and tells what breaks training from what is worth knowing."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.datasets.tiny_files import REAL, blob, texture, write
from training.data_check import Report, check, write_manifest
from training.datasets import busi
from training.datasets.case import Case
from training.datasets.masks import Lesion, levels
from training.datasets.pictures import colour_picture, grey_picture

SIZE = (96, 80)
BUSI = REAL / "ultrasound_busi"
needs_real = pytest.mark.skipif(not BUSI.is_dir(), reason=f"NOT TESTED on real pictures: none in {BUSI}")


def case(root: Path, name: str, seed: int, fold: int, category: str = "benign") -> Case:
    image = write(root / f"{name}.png", texture(seed, SIZE))
    mask = write(root / "masks" / f"{name}.png", blob(size=SIZE) * np.uint8(255 * (category != "normal")))
    return Case(name, image, (mask,), category, f"g{name}", fold, image_reader=grey_picture, mask_reader=Lesion())


@pytest.fixture
def sound(tmp_path: Path) -> list[Case]:
    """Ten different pictures in five folds, one of them normal."""
    return [case(tmp_path, f"c{n}", n, n % 5, "normal" if n == 3 else "benign") for n in range(10)]


def texts(report: Report, kind: str) -> list[str]:
    return [problem.text for problem in report.problems if problem.kind == kind]


def test_a_sound_data_set_is_counted_by_class_label_part_and_fold(sound: list[Case]) -> None:
    report = check(sound, source="drawn", validation=0.5)
    counts = report.counts()
    assert not report.broken
    assert counts["class benign"] == {0: 2, 1: 2, 2: 2, 3: 1, 4: 2}
    assert counts["class normal"] == {3: 1}
    assert counts["label 1"].total() == 9
    assert counts["test part"] == {0: 2}
    assert (counts["train part"] + counts["validation part"]).total() == 8
    assert list(counts)[-1] == "all"
    assert texts(report, "empty masks") == [
        "Found 1 pictures of class normal with nothing in the mask; say in reports how they count."
    ]


@pytest.mark.parametrize(("share", "thin"), [(0.0, True), (0.999, False)])
def test_a_thin_validation_part_is_told_and_breaks_nothing(share: float, thin: bool, sound: list[Case]) -> None:
    report = check(sound, validation=share)
    assert not report.broken
    found = texts(report, "thin validation")
    assert bool(found) == thin
    if thin:
        assert found[0].startswith("Found 0 pictures with something in the mask in the validation part of 0; wanted 5")


def test_the_manifest_has_a_line_per_case(sound: list[Case], tmp_path: Path) -> None:
    extra = replace(sound[0], name="two", masks=(*sound[0].masks, tmp_path / "masks" / "c1.png"), group="gc0")
    out = tmp_path / "new" / "manifest.csv"
    write_manifest(check([*sound, extra], source="drawn"), out, tmp_path)
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 11
    digest = hashlib.sha256((tmp_path / "c0.png").read_bytes()).hexdigest()
    first = {"name": "c0", "image": "c0.png", "masks": "masks/c0.png", "group": "gc0", "fold": "0", "split": "test"}
    assert rows[0] == first | {
        "label": "benign",
        "source": "drawn",
        "width": "80",
        "height": "96",
        "sha256": digest,
    }
    assert rows[-1]["masks"] == "masks/c0.png;masks/c1.png"
    assert {row["split"] for row in rows} <= {"train", "validation", "test"}


def test_paths_outside_of_the_root_stay_whole(sound: list[Case], tmp_path: Path) -> None:
    write_manifest(check(sound[:1]), tmp_path / "m.csv", tmp_path / "elsewhere")
    assert str(tmp_path / "c0.png") in (tmp_path / "m.csv").read_text()


def test_no_broken_file_stops_the_check(sound: list[Case], tmp_path: Path) -> None:
    def fails(_: Case) -> np.ndarray:
        raise RuntimeError("a decoder of somebody else's")

    sound[0].image.write_text("no picture")
    sound[1].image.unlink()
    sound[2].masks[0].unlink()
    write(sound[4].masks[0], blob(size=(50, 50)))
    write(sound[5].masks[0], blob(size=SIZE) * np.uint8(9))
    sound[6] = replace(sound[6], mask_reader=fails)
    sound[7] = replace(sound[7], mask_reader=lambda _: np.zeros((3, 3), np.uint8))
    report = check(sound)
    assert report.broken
    assert [text.partition(":")[0] for text in texts(report, "unreadable")] == ["c0", "c1", "c2", "c6"]
    assert texts(report, "unreadable")[3] == "c6: a decoder of somebody else's"
    other_size, other_shape = texts(report, "mask size")
    assert other_size.startswith("c4: Found 50 x 50 (height x width) in ")
    assert other_shape.startswith("c7: Found a mask of (3, 3); wanted (96, 80)")
    assert "c5: Found grey 9 in" in texts(report, "mask values")[0]
    entries = {entry.name: entry for entry in report.entries}
    assert (entries["c1"].width, entries["c1"].sha256) == (0, "")
    assert (entries["c2"].width, len(entries["c2"].sha256)) == (80, 64)
    assert report.problems[0].breaks
    assert not report.problems[-1].breaks


def test_copies_in_two_folds_leak(sound: list[Case], tmp_path: Path) -> None:
    write(tmp_path / "c1.png", texture(0, SIZE))
    write(tmp_path / "c2.png", (texture(0, SIZE) * 0.9).astype(np.uint8))
    found = texts(check(sound), "leak")
    assert len(found) == 3
    assert found[0].startswith("Found identical pictures c0 and c1 in groups gc0 and gc1, fold 0 (test) and fold 1 (")
    assert sum("nearly identical" in text for text in found) == 2


def test_copies_in_two_groups_of_one_part_are_worth_knowing(sound: list[Case], tmp_path: Path) -> None:
    write(tmp_path / "c5.png", texture(0, SIZE))
    report = check(sound)
    assert not report.broken
    assert texts(report, "two groups") == [
        "Found identical pictures c0 and c5 in groups gc0 and gc5, both of fold 0; wanted one group. Join the groups."
    ]


def test_copies_that_training_and_validation_share_leak_inside_a_fold(sound: list[Case], tmp_path: Path) -> None:
    """Folds 1 to 4 are parted by groups once more."""
    folded = [replace(one, fold=1 + n % 2) for n, one in enumerate(sound)]
    parts = {entry.name: entry.split for entry in check(folded, validation=0.5).entries}
    one, other = (next(c for c in folded if c.fold == 1 and parts[c.name] == part) for part in ("train", "validation"))
    write(other.image, grey_picture(one))
    (leak,) = texts(check(folded, validation=0.5), "leak")
    assert "fold 1 (train)" in leak
    assert "fold 1 (validation)" in leak


def test_copies_inside_a_group_are_a_number(sound: list[Case], tmp_path: Path) -> None:
    write(tmp_path / "c5.png", texture(0, SIZE))
    sound[5] = replace(sound[5], group="gc0")
    report = check(sound)
    assert not report.broken
    assert texts(report, "copies in a group") == [
        "Found 1 pairs of identical pictures inside groups; they never come apart."
    ]


def test_a_group_in_two_folds_leaks(sound: list[Case]) -> None:
    sound[1] = replace(sound[1], group="gc0")
    assert texts(check(sound), "leak") == [
        "Found group gc0 in folds 0, 1; wanted it in one. Move it into one fold.",
    ]


def test_two_cases_of_one_name_are_told(sound: list[Case]) -> None:
    sound[5] = replace(sound[5], name="c0")
    report = check(sound)
    assert report.broken
    assert texts(report, "name") == ["Found 2 cases named c0; wanted one. Rename or remove the others."]


def test_rescaled_masks_are_flagged(sound: list[Case]) -> None:
    write(sound[0].masks[0], blob(size=(192, 160)) * np.uint8(255))
    sound[0] = replace(sound[0], mask_reader=Lesion(rescale=True))
    report = check(sound)
    assert not report.broken
    (text,) = texts(report, "rescaled mask")
    assert text.startswith("c0: Found (192, 160) in ")


def test_flat_pictures_and_colour_are_no_trouble(sound: list[Case], tmp_path: Path) -> None:
    for name in ("c1", "c2"):
        write(tmp_path / f"{name}.png", np.zeros((*SIZE, 3), np.uint8))
    coloured = [replace(one, image_reader=colour_picture) for one in sound]
    report = check(coloured)
    assert not report.broken
    assert (report.entries[1].height, report.entries[1].width) == SIZE


def test_labels_of_several_classes_are_counted(tmp_path: Path) -> None:
    one = case(tmp_path, "a", 1, 0, "")
    write(one.masks[0], np.repeat(np.array([64, 128, 255], np.uint8), 2560).reshape(SIZE))
    report = check([replace(one, mask_reader=levels({64: 0, 128: 1, 255: 3}))])
    assert report.labels == ((0, 1, 3),)
    assert set(report.counts()) == {"label 1", "label 3", "test part", "all"}


def test_progress_wraps_the_cases(sound: list[Case]) -> None:
    seen: list[str] = []

    def progress(cases: Sequence[Case]) -> Iterable[Case]:
        for one in cases:
            seen.append(one.name)
            yield one

    check(sound[:3], progress=progress)
    assert seen == ["c0", "c1", "c2"]


@needs_real
def test_the_real_folds_of_busi_do_not_leak() -> None:
    report = check([one for one in busi.cases(BUSI) if one.name.endswith(("1", "2"))])
    assert not report.broken
    assert report.counts()["all"].total() > 100
