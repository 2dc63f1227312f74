"""Maps of an earlier stage: written, read, and put in the place of the depth that cases come with."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.datasets.case import Case
from training.map_files import read_maps, with_maps, write_maps


def test_maps_are_found_wherever_the_folder_is(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    path = write_maps({"a": tmp_path / "here" / "maps" / "0.png"}, tmp_path / "here" / "maps.json")
    assert read_maps(path) == {"a": tmp_path / "here" / "maps" / "0.png"}
    (tmp_path / "here").rename(tmp_path / "there")
    assert read_maps(tmp_path / "there" / "maps.json") == {"a": tmp_path / "there" / "maps" / "0.png"}


def test_cases_without_a_map_keep_their_depth(tmp_path: Path) -> None:
    inputs = {"depth": Path("own.png"), "other": Path("other.png")}
    cases = [Case(name, Path(f"{name}.png"), (), "", name, 0, inputs=inputs) for name in ("a", "b")]
    path = write_maps({"a": tmp_path / "0.png"}, tmp_path / "maps.json")
    one, other = with_maps(cases, path)
    assert one.inputs == {"depth": tmp_path / "0.png", "other": Path("other.png")}
    assert other == cases[1]
    assert with_maps(cases, None) == cases


def test_what_is_no_list_of_maps_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Found no file .*maps.json; wanted the maps of a stage \(JSON\)"):
        read_maps(tmp_path / "maps.json")
    for content in ("[1]", "{", '{"a": 1}'):
        (tmp_path / "maps.json").write_text(content)
        with pytest.raises(ValueError, match=r"Found .*maps.json, which cannot be read as maps"):
            read_maps(tmp_path / "maps.json")
