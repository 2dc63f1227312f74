"""Groups from names or from looks; sides and views from names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.datasets.tiny_files import texture, write
from training.datasets.patients import grouped, laterality_and_view, matched


def test_names_tell_the_patient(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.png" for name in ("P_1_LEFT", "P_1_RIGHT", "P_2_LEFT")]
    assert grouped(paths, r"P_\d+") == ["P_1", "P_1", "P_2"]
    assert matched(r"P_(\d+)", "P_12_LEFT") == "12"


def test_a_name_that_tells_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Found nothing of P_.d. in the name case7; wanted a match"):
        matched(r"P_\d+", "case7")


def test_near_duplicates_are_grouped_and_broken_files_stand_alone(tmp_path: Path) -> None:
    first = write(tmp_path / "a.png", texture(1, (96, 80)))
    broken = tmp_path / "b.png"
    broken.write_text("no picture")
    copy = write(tmp_path / "c.png", (texture(1, (96, 80)) * 0.9).astype(np.uint8))
    other = write(tmp_path / "d.png", texture(2, (96, 80)))
    assert grouped([first, broken, copy, other]) == ["group0000", "unreadable b", "group0000", "group0001"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("P_00001_LEFT_CC", ("LEFT", "CC")),
        ("C_0029_1.RIGHT_MLO", ("RIGHT", "MLO")),
        ("x_LEFT", ("LEFT", "")),
        ("case001", ("", "")),
    ],
)
def test_side_and_view_are_read_off_a_name(name: str, told: tuple[str, str]) -> None:
    assert laterality_and_view(name) == told
