"""Commands on top of training: what they write and print, and what they refuse before anything is trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.training import tiny_export, tiny_runs
from tests.training.tiny_runs import Runs
from training.cli import app
from training.scores import read_scores
from training.trained import recipe_of


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def well(*arguments: object) -> str:
    """What a command prints that works."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    """What a command says that was wrong."""
    result = run(*arguments)
    assert result.exit_code == 2
    return " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    "name", ["figures", "evaluate-run", "compare", "sweep", "fit-cascade", "regions", "export-all"]
)
def test_every_command_explains_itself(name: str) -> None:
    assert "Usage" in well(name, "--help")


@pytest.fixture(scope="module")
def compared(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of finished runs; nobody writes here."""
    out = tmp_path_factory.mktemp("compared")
    finished = ("--runs", runs.whole, "--runs", runs.crop, "--external", f"busi:{runs.data}")
    text = well("compare", *finished, "--data", runs.data, "-o", out)
    assert text.splitlines()[-1] == str(out / "table.md")
    return out


def test_compare_takes_finished_runs_and_other_data(compared: Path) -> None:
    assert "## BUSI, all of it" in (compared / "table.md").read_text(encoding="utf-8")


def test_evaluate_run_writes_scores_and_prints_the_summary(runs: Runs, tmp_path: Path) -> None:
    text = well("evaluate-run", runs.whole, "--data", runs.data, "-o", tmp_path, "--part", "validation")
    assert text.splitlines()[-1] == str(tmp_path / "summary.json")
    assert "hd95_px" in text
    assert read_scores(tmp_path / "scores.csv")
    crop = well("evaluate-run", runs.crop, "--data", runs.data, "-o", tmp_path / "b", "--regions", "none")
    assert "lesion" in crop


def test_figures_prints_the_folder(runs: Runs, tmp_path: Path) -> None:
    text = well("figures", runs.whole, "--data", runs.data, "-o", tmp_path, "--worst", 1, "--best", 0)
    assert text.splitlines()[-1] == str(tmp_path)
    assert (tmp_path / "whole_worst.png").is_file()
    assert not (tmp_path / "whole_best.png").exists()


def test_sweep_trains_what_it_is_told_to_set(compared: Path, small_busi: Path, tmp_path: Path) -> None:
    recipe = tiny_export.write_recipe(tiny_runs.recipe("base"), tmp_path)
    out = tmp_path / "out"
    shutil.copytree(compared / "costs", out / "costs")
    well("sweep", recipe, "--set", "l1_lambda=0.001", "--data", small_busi, "-o", out, "--epochs", 1)
    text = (out / "table.md").read_text(encoding="utf-8")
    assert "| l1_lambda=0.001 | whole |" in text
    assert recipe_of(out / "runs" / "base_01").l1_lambda == 0.001


def test_export_all_says_what_equals_torch_and_fails_with_what_does_not(tmp_path: Path) -> None:
    good = tiny_export.write_recipe(tiny_runs.recipe("good"), tmp_path)
    assert well("export-all", good).splitlines()[-1] == "1 of 1 networks equal torch"
    network = {"path": "models.nothing.There", "arguments": {}}
    bad = tiny_export.write_recipe(tiny_runs.recipe("bad", network=network), tmp_path)
    result = run("export-all", bad)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "0 of 1 networks equal torch"
    assert "ImportError" in result.stderr


def test_mistakes_are_told_before_anything_is_done(runs: Runs, tmp_path: Path) -> None:
    there = ("--data", runs.data, "-o", tmp_path / "out")
    recipe = tiny_export.write_recipe(tiny_runs.recipe("base"), tmp_path)
    assert "found 'up', wanted none, detector, truth" in refused("compare", recipe, "--regions", "up", *there)
    assert "found recipes and runs, wanted one of both" in refused("compare", recipe, "--runs", runs.whole, *there)
    assert "found 'busi', wanted DATASET:DIR" in refused("compare", recipe, "--external", "busi", *there)
    assert "found 'all', wanted NAME=VALUE" in refused("evaluate-run", runs.whole, "--option", "all", *there)
    assert not (tmp_path / "out").exists()


def test_the_measured_part_may_be_another_than_what_was_learned_from(runs: Runs, tmp_path: Path) -> None:
    result = run("evaluate-run", runs.whole, "--option", "policy=all", "--data", runs.data, "-o", tmp_path)
    assert isinstance(result.exception, TypeError | ValueError), "BUSI has no slices, its listing takes no policy"
    assert "policy" in str(result.exception)
