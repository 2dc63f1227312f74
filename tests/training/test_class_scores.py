"""Figures of a classifier, worked out by hand, and their file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from training.class_scores import Classified, ClassScore, read_classes, write_classes

NAMES = ("benign", "malignant", "normal")


def row(image: str, category: str, *scores: float, counted: bool = True) -> ClassScore:
    """Without scores: the localiser found nothing."""
    guess = NAMES[int(np.argmax(scores))] if scores else ""
    told = dict(zip(NAMES, scores or (math.nan,) * 3, strict=True))
    return ClassScore(image, image[0], category, guess, counted, told)


SOME = Classified(
    NAMES,
    [
        row("a1", "benign", 0.7, 0.2, 0.1),
        row("a2", "benign", 0.3, 0.6, 0.1),
        row("b1", "malignant", 0.1, 0.8, 0.1),
        row("c1", "malignant"),
        row("d1", "normal"),
        row("e1", "normal", 0.2, 0.2, 0.6),
        row("f1", "benign", 0.0, 1.0, 0.0, counted=False),
    ],
)


def test_right_answers_are_counted_those_without_a_find_among_them() -> None:
    found = SOME.figures["accuracy"]
    # a1, b1, e1 and the normal d1 in which nothing was found; not a2 and the missed c1.
    assert (found.value, found.images) == (pytest.approx(4 / 6), 6)
    assert 0 <= found.low < found.value < found.high <= 1


def test_the_confusion_matrix_has_a_column_for_nothing_found() -> None:
    assert SOME.confusion.tolist() == [[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 1, 1]]


def test_auroc_is_of_the_images_with_scores() -> None:
    figures = SOME.figures
    # Malignant: 0.8 above 0.2, 0.6 and 0.2; benign: 0.7 and 0.3 above 0.1 and 0.2.
    assert figures["auroc_malignant"].value == figures["auroc_benign"].value == 1
    assert (figures["auroc_mean"].value, figures["auroc_mean"].images, figures["auroc_mean"].undefined) == (1, 4, 2)
    mixed = Classified(NAMES, [*SOME.rows, row("g1", "malignant", 0.5, 0.4, 0.1)])
    # Of 2 x 3 pairs, 0.4 is below one 0.6.
    assert mixed.figures["auroc_malignant"].value == pytest.approx(5 / 6)
    assert mixed.figures["auroc_malignant"].low < 5 / 6 <= mixed.figures["auroc_malignant"].high


def test_one_class_alone_has_no_auroc() -> None:
    alone = Classified(NAMES, [row("a1", "benign", 0.7, 0.2, 0.1), row("b1", "benign", 0.6, 0.3, 0.1)])
    for name in ("auroc_benign", "auroc_malignant", "auroc_mean"):
        assert math.isnan(alone.figures[name].value)
        assert (alone.figures[name].images, alone.figures[name].undefined) == (0, 2)


def test_calibration_asks_whether_the_likeliest_class_is_right() -> None:
    bins = SOME.calibration
    assert (bins.counts.sum(), bins.positives.sum()) == (4, 3)
    assert bins.probabilities.sum() == pytest.approx(0.7 + 0.6 + 0.8 + 0.6)
    # 0.6 twice, once right: |1 - 1.2|; 0.7 right: 0.3; 0.8 right: 0.2.
    assert bins.error == pytest.approx((0.2 + 0.3 + 0.2) / 4)
    missed = Classified(NAMES, [row("c1", "malignant")])
    assert math.isnan(missed.calibration.error)
    assert missed.figures["accuracy"].value == 0


def test_where_nothing_counts_nothing_can_be_said() -> None:
    with pytest.raises(ValueError, match="Found no image of the classes benign, malignant, normal; wanted at least"):
        Classified(NAMES, [row("f1", "benign", 0.1, 0.8, 0.1, counted=False)]).figures  # noqa: B018


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "scores.csv"
    write_classes(SOME, path)
    head, first, *_ = path.read_text().splitlines()
    assert head == "image,group,category,guess,counted,right,p_benign,p_malignant,p_normal"
    assert first == "a1,a,benign,benign,1,1,0.7,0.2,0.1"
    again = read_classes(path)
    assert again.names == NAMES
    assert [one.image for one in again.rows] == [one.image for one in SOME.rows]
    assert again.figures == SOME.figures


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Found no .*scores.csv; wanted the scores of a classifier"):
        read_classes(tmp_path / "scores.csv")
    (tmp_path / "scores.csv").write_text("image,label\na,b\n")
    with pytest.raises(ValueError, match=r"Found other columns in .*scores.csv; wanted image, group"):
        read_classes(tmp_path / "scores.csv")
