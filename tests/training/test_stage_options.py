"""Options for all stages or for one."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from tests.training import tiny_export
from training.stage_options import settings_in, stage_names


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_export.write_template(tmp_path_factory.mktemp("template"), "localise", "segment", "classify")


def test_what_is_said_of_one_stage_counts_more_than_what_is_said_of_all(template: Path) -> None:
    found = settings_in(template, {"epochs": ["segment=5,6", "9"], "size": ["2=64x32"], "batch": None})
    assert {name: one.epochs for name, one in found.items()} == {"localise": (9,), "segment": (5, 6), "classify": (9,)}
    assert {name: one.size for name, one in found.items()} == {"localise": None, "segment": (64, 32), "classify": None}


def test_data_are_shared_and_other_folders_hold_one_for_each_stage(template: Path) -> None:
    found = settings_in(
        template, {"data": ["busi", "1=other"], "checkpoints": ["runs"], "logs": ["l", "segment=there"]}
    )
    assert [found[name].data for name in stage_names(template)] == [Path("other"), Path("busi"), Path("busi")]
    assert found["localise"].checkpoints == Path("runs/localise")
    assert [found[name].logs for name in ("localise", "segment")] == [Path("l/localise"), Path("there")]


def test_a_folder_may_have_an_equals_sign(template: Path) -> None:
    assert settings_in(template, {"data": ["./a=b"]})["segment"].data == Path("a=b")


def test_nothing_said_is_nothing_set(template: Path) -> None:
    assert settings_in(template, {"epochs": None, "data": []}) == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": ["lesion=5"]}, "found stage 'lesion', wanted one of localise, segment, classify"),
        ({"epochs": ["4=5"]}, "found stage '4', wanted one of"),
        ({"learning_rate": ["fast"]}, "found 'fast': Input should be a valid number"),
        ({"size": ["64x"]}, "found '64x': "),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, list[str]], words: str, template: Path) -> None:
    with pytest.raises(typer.BadParameter, match=words):
        settings_in(template, options)
