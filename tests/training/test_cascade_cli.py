"""The commands fit-cascade and regions: what they pass on, write and refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.training import tiny_export, tiny_runs
from tests.training.tiny_runs import Runs
from tests.training.tiny_sets import write_mammograms, write_tissue
from training import cascade
from training.cascade_plan import Plan
from training.choices import Source
from training.cli import app
from training.regions import read_boxes

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    """What a command says that was wrong."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    return " ".join(result.stderr.replace("│", " ").split())


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    for stage, task in (("localise", "localise"), ("segment", "segment")):
        tiny_export.write_recipe(tiny_runs.recipe(f"tiny_{stage}", task), folder)
    return tiny_export.write_template(folder, "localise", "segment")


def test_options_reach_the_plan(
    template: Path, small_busi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Plan, int | None]] = []
    monkeypatch.setattr(cascade, "fit_cascade", lambda plan, only: asked.append((plan, only)) or plan.out)
    options = {"epochs": "2=3", "lr": "0.5", "batch": "localise=4", "size": "1=64x32", "l1-lambda": "2=0.1", "fold": 1}
    options |= {"name": "mine", "version": "3.0.1"}
    texts = [part for name, value in options.items() for part in (f"--{name}", value)]
    folders = ("--checkpoints", "segment=there", "--logs", tmp_path / "l", "--regions-from", "held_out")
    result = run("fit-cascade", template, "--data", small_busi, "-o", tmp_path, *texts, *folders, "--stage", "segment")
    assert result.stdout.splitlines()[-1] == str(tmp_path), result.output
    ((plan, only),) = asked
    one, two = (stage.chain for stage in plan.stages)
    assert (only, plan.source, one.last.test_fold) == (2, Source.held_out, 1)
    assert plan.naming.model_dump() == {"name": "mine", "version": "3.0.1"}
    assert (one.last.schedule.epochs, two.last.schedule.epochs) == (8, 3)
    assert (one.last.schedule.learning_rate, two.last.schedule.learning_rate) == (0.5, 0.5)
    assert (one.last.schedule.batch, two.last.schedule.batch) == (4, 2)
    assert (one.last.input.size, two.last.input.size) == ((64, 32), (32, 32))
    assert (one.last.l1_lambda, two.last.l1_lambda) == (0, 0.1)
    assert (one.run, two.run) == (tmp_path / "checkpoints" / "localise", Path("there"))
    assert (one.logs, two.logs) == (tmp_path / "l" / "localise", tmp_path / "l" / "segment")


def test_a_smoke_run_of_stage_1_prints_its_weights(tmp_path: Path) -> None:
    arguments = (RECIPES / "mri_compact_pipeline.yaml", "-o", tmp_path, "--smoke", "--regions-from", "held_out")
    result = run("fit-cascade", *arguments, "--stage", 1)
    assert result.stdout.splitlines()[-1] == str(tmp_path / "checkpoints" / "localise" / "best.pt"), result.output
    assert "its figures mean nothing" in result.stderr
    assert read_boxes(tmp_path / "boxes_held_out.json")


def test_regions_of_finished_runs_or_an_error_that_says_which_are_missing(runs: Runs, tmp_path: Path) -> None:
    where = ("--data", runs.data, "-o", tmp_path / "boxes.json")
    result = run("regions", runs.localiser, *where)
    assert isinstance(result.exception, ValueError)
    assert "that every run was trained or validated on" in str(result.exception)
    assert not (tmp_path / "boxes.json").exists()


def test_regions_of_one_data_set_by_a_recipe_of_another(tmp_path: Path) -> None:
    once = {"epochs": 1, "batch": 2, "learning_rate": 0.03, "average": 0, "precision": "float32"}
    classes = ["background", "adipose", "fibroglandular", "pectoral"]
    network = {"path": "models.compact_unet.CompactUNet", "arguments": {"widths": [4, 8, 8], "classes": 4}}
    read = {"path": "training.datasets.tissue.cases"}
    tissue = tiny_runs.recipe("net", "labels", schedule=once, classes=classes, network=network, dataset=read)
    lesion = tiny_runs.recipe("lesion", "segment", dataset={"path": "training.datasets.unified_csv.cases"})
    first, second = (tiny_export.write_recipe(one, tmp_path) for one in (tissue, lesion))
    films, table = write_tissue(tmp_path / "tissue", 10), write_mammograms(tmp_path / "table", [100, 101, 102])
    out = tmp_path / "runs" / "breast_regions.json"
    where = ("--data", table, "--trained-on", films, "-o", out)
    result = run("regions", first, "--for", second, "--label", "fibroglandular", *where)
    assert result.stdout.splitlines()[-1] == str(out), result.output
    assert set(read_boxes(out)) == {"set 00", "set 01", "set 02"}
    assert (tmp_path / "runs" / "breast_regions" / "net" / "best.pt").is_file()


@pytest.mark.parametrize("recipe", ["ultrasound_localiser.yaml", "ultrasound_localiser_second.yaml"])
def test_a_recipe_in_place_of_a_template_names_the_other_command(recipe: str, tmp_path: Path) -> None:
    result = run("fit-cascade", RECIPES / recipe, "-o", tmp_path, "--smoke")
    assert isinstance(result.exception, ValueError)
    assert "wanted the template of a pipeline, with its stages. Use the command fit" in str(result.exception)


def test_a_template_in_place_of_a_recipe_names_the_other_command(tmp_path: Path) -> None:
    result = run("fit", RECIPES / "ultrasound_pipeline.yaml", "-o", tmp_path, "--smoke")
    assert isinstance(result.exception, ValueError)
    assert "wanted the recipe of one network. Use the command fit-cascade" in str(result.exception)


def test_mistakes_are_told_before_anything_is_done(template: Path, runs: Runs, tmp_path: Path) -> None:
    out = ("--data", runs.data, "-o", tmp_path / "out")
    assert "found stage 'lesion', wanted one of localise, segment" in refused(
        "fit-cascade", template, "--epochs", "lesion=1", *out
    )
    assert "found stage '3', wanted one of localise, segment" in refused("fit-cascade", template, "--stage", 3, *out)
    recipe = template.parent / "tiny_localise.yaml"
    assert "found run folders beside recipes" in refused("regions", runs.localiser, recipe, *out)
    assert "found it beside run folders, which have theirs" in refused("regions", runs.localiser, "--fold", 1, *out)
    tissue = tiny_export.write_recipe(
        tiny_runs.recipe("other", "localise", dataset={"path": "training.datasets.tissue.cases"}), tmp_path
    )
    said = refused("regions", tissue, "--for", recipe, *out)
    assert "wanted the folder of training.datasets.tissue.cases: --data is of training.datasets.busi.cases" in said
    assert not (tmp_path / "out").exists()
