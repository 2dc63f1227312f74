"""``breast-cascade-train`` from a recipe to a card, and one line for every mistake."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from typer.testing import CliRunner, Result

from service.engine import Engine
from service.manifest import read_manifest
from tests.training.tiny_export import Exported, recipe, write_recipe, write_template
from training import cli, yolo

RUNNER = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"})
COMMANDS = ("fit", "yolo", "export", "evaluate")
RECIPES = Path(__file__).parents[2] / "training" / "recipes"


def invoke(*arguments: object) -> Result:
    return RUNNER.invoke(cli.app, [str(one) for one in arguments])


def done(*arguments: object) -> str:
    """Run a command that must succeed; its last line on stdout."""
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()[-1]


def failed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Run the console script on a mistake; exit code and stderr."""
    monkeypatch.setattr(sys, "argv", ["breast-cascade-train", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0), capsys.readouterr().err


# ---- help -----------------------------------------------------------------------------------------------------------


def test_help_names_every_command_the_order_and_the_exit_codes() -> None:
    text = " ".join(invoke("--help").stdout.split())
    for word in (*COMMANDS, "Usual order", "Exit codes: 0 all well"):
        assert word in text


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "fit",
            ["RECIPE", "--data", "--out", "-o", "--resume", "--start", "--smoke", "--fold", "--boxes", "OUT/best.pt"],
        ),
        ("yolo", ["RECIPE", "--data", "--out", "-o", "--resume", "AGPL-3.0", "OUT/yolo.onnx"]),
        ("export", ["TEMPLATE", "--weights", "STAGE=PATH", "--out", "repeated for a stage"]),
        ("evaluate", ["FOLDER", "--data", "--part", "test|validation", "--limits", "--evidence"]),
    ],
)
def test_help_of_a_command_names_its_parameters(command: str, words: list[str]) -> None:
    result = invoke(command, "-h")
    assert result.exit_code == 0
    assert [word for word in words if word not in result.stdout] == []


# ---- from recipe to card --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(small_busi: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a template, its recipes and a finished run of two epochs of each."""
    folder = tmp_path_factory.mktemp("trained")
    for task in ("localise", "segment"):
        path = write_recipe(recipe(task), folder)
        assert done("fit", path, "--data", small_busi, "-o", folder / task) == str(folder / task / "best.pt")
    write_template(folder, "localise", "segment")
    return folder


@pytest.fixture(scope="module")
def pipeline(trained: Path) -> Path:
    weights = [f"--weights={stage}={trained / stage / 'best.pt'}" for stage in ("localise", "segment")]
    folder = trained / "pipelines" / "small" / "1.0.0"
    assert done("export", trained / "pipeline.yaml", *weights, "-o", trained / "pipelines") == str(folder)
    return folder


def test_what_was_trained_and_exported_is_measured_and_served(pipeline: Path, small_busi: Path, tmp_path: Path) -> None:
    before = read_manifest(pipeline)
    (tmp_path / "limits.md").write_text("## Limits\n\nPhantoms.\n")
    result = invoke(
        *("evaluate", pipeline, "--data", small_busi, "--limits", tmp_path / "limits.md", "--evidence", tmp_path / "e")
    )
    assert result.exit_code == 0, result.output
    assert "lesion Dice, cascade" in result.stdout
    measured = read_manifest(pipeline)
    assert {metric.on for metric in measured.evidence.metrics} == {"BUSI fold 0", "BUSI fold 0, simulated screenshots"}
    assert measured.stages == before.stages
    assert (pipeline / "card.md").read_text().endswith("## Limits\n\nPhantoms.\n")
    evidence = json.loads((tmp_path / "e" / "small" / "1.0.0.json").read_text())
    assert set(evidence["weights"]) == {"tiny_localise.onnx", "tiny_segment.onnx"}
    assert [row["image"] for row in evidence["scores"]["BUSI fold 0"]]
    assert Engine.open([pipeline.parents[1]], "cpu", 1).pipelines()[0].manifest == measured


def test_measuring_the_validation_part_writes_nothing(pipeline: Path, small_busi: Path) -> None:
    before = {path: path.read_bytes() for path in pipeline.iterdir()}
    assert "validation part" in invoke("evaluate", pipeline, "--data", small_busi, "--part", "validation").stdout
    assert {path: path.read_bytes() for path in pipeline.iterdir()} == before


def test_a_finished_run_is_resumed_and_not_begun_again(
    trained: Path, small_busi: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    again = "fit", trained / "tiny_segment.yaml", "--data", small_busi, "-o", trained / "segment"
    code, err = failed(monkeypatch, capsys, *again)
    assert code == 1
    assert err.endswith("wanted an empty folder. Pass --resume to go on or choose another folder.\n")
    assert done(*again, "--resume") == str(trained / "segment" / "best.pt")
    assert len(torch.load(trained / "segment" / "checkpoint.pt", weights_only=True)["history"]) == 2


def test_what_starting_weights_gave_is_told(
    trained: Path, small_busi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start = trained / "segment" / "best.pt"
    here = "fit", trained / "tiny_segment.yaml", "--data", small_busi, "-o", tmp_path / "run", "--start", start
    monkeypatch.setattr(sys, "argv", ["breast-cascade-train", *map(str, here)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    count = len(torch.load(start, weights_only=True))
    assert f"took {count} of {count} tensors of the network from {start}" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["fit", "yolo"])
def test_yolo_is_trained_by_its_own_loop(command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def train(*arguments: Any, **options: Any) -> Path:
        assert arguments[1:] == (tmp_path, tmp_path / "out")
        assert options == {"resume": True}
        assert yolo.is_yolo(arguments[0])
        return tmp_path / "out" / "yolo.onnx"

    monkeypatch.setattr(yolo, "train_yolo", train)
    path = RECIPES / "ultrasound_yolo11n.yaml"
    assert done(command, path, "--data", tmp_path, "-o", tmp_path / "out", "--resume") == f"{tmp_path}/out/yolo.onnx"


# ---- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("localise", "found 'localise', wanted STAGE=PATH"),
        ("=best.pt", "found '=best.pt', wanted STAGE=PATH"),
        ("localise=", "found 'localise=', wanted STAGE=PATH"),
        ("localise=none/best.pt", "found no file 'none/best.pt', wanted the weights of localise"),
    ],
)
def test_weights_are_named_by_stage_and_have_to_be_there(weights: str, words: str, tmp_path: Path) -> None:
    result = invoke("export", RECIPES / "ultrasound_pipeline.yaml", "--weights", weights, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name: [", "while parsing a flow"),
        ("name: tiny", r"Recipe: field task = \{'name': 'tiny'\}: Field required. Mend this field."),
        ("", "Recipe: field all of it = None: Input should be a valid dictionary"),
    ],
)
def test_a_recipe_that_cannot_be_read_ends_in_one_line(
    content: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.yaml").write_text(content)
    code, err = failed(monkeypatch, capsys, "fit", tmp_path / "recipe.yaml", "--data", tmp_path, "-o", tmp_path / "out")
    _assert_one_line(code, err, words)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("yolo", "Found network models.*CompactUNet; wanted YOLO. Use the command fit."),
        ("fit", "Found neither index.csv nor the folders .* Give the folder Dataset_BUSI"),
    ],
)
def test_a_mistake_ends_in_one_line_that_says_what_to_do(
    command: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = command, RECIPES / "ultrasound_localiser.yaml", "--data", tmp_path, "-o", tmp_path / "out"
    _assert_one_line(*failed(monkeypatch, capsys, *arguments), words)


def test_a_pipeline_whose_file_was_altered_is_not_measured(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "small" / "1.0.0"
    copy.mkdir(parents=True)
    for path in exported.folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "tiny_segment.onnx").write_bytes(b"altered")
    _assert_one_line(*failed(monkeypatch, capsys, "evaluate", copy, "--data", tmp_path), "tiny_segment.onnx: sha256")


def test_a_test_part_without_cases_is_not_measured(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "index.csv").write_text("image,mask,class,group,fold,class_ambiguous\n")
    words = "Found no case in BUSI fold 0; wanted at least one"
    _assert_one_line(*failed(monkeypatch, capsys, "evaluate", pipeline, "--data", tmp_path), words)


def _assert_one_line(code: int, err: str, words: str) -> None:
    assert code == 1
    assert re.match(f"breast-cascade-train: .*{words}", err)
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def defect() -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(cli, "app", defect)
    with pytest.raises(KeyError):
        cli.main()


class _Inner(BaseModel):
    size: int


class _Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: _Inner


def test_an_error_is_told_in_one_line() -> None:
    with pytest.raises(ValidationError) as caught:
        _Outer.model_validate({"inner": {"size": "large" * 50}, "other": 1})
    line = cli.one_line(caught.value)
    assert line.startswith("_Outer: field inner.size = 'largelarge")
    assert len(line) < 250
    assert cli.one_line(OSError("two\n  lines")) == "two lines"
    assert cli.one_line(ValueError()) == "ValueError"


# ---- smoke ----------------------------------------------------------------------------------------------------------


def test_a_smoke_run_needs_no_data_and_says_that_its_figures_mean_nothing(tmp_path: Path) -> None:
    result = invoke("fit", RECIPES / "compare_attention_unet.yaml", "--smoke", "-o", tmp_path / "run", "--fold", "0")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == str(tmp_path / "run" / "best.pt")
    assert "its figures mean nothing" in result.stderr
    assert {"best.pt", "last.pt", "config.yaml", "curves.csv", "curves.png", "environment.json", "predictions"} <= {
        path.name for path in (tmp_path / "run").iterdir()
    }
    again = invoke("fit", RECIPES / "compare_attention_unet.yaml", "--smoke", "-o", tmp_path / "run", "--resume")
    assert again.exit_code == 0, again.output


def test_a_run_that_is_no_smoke_run_needs_data(tmp_path: Path) -> None:
    result = invoke("fit", RECIPES / "compare_unet.yaml", "-o", tmp_path / "run")
    assert result.exit_code == 2
    assert "found none, wanted the folder of the data set, or --smoke" in " ".join(result.stderr.split())


def test_the_fold_kept_for_testing_can_be_chosen(small_busi: Path, tmp_path: Path) -> None:
    path = write_recipe(recipe("segment", schedule={"epochs": 1, "batch": 2, "precision": "float32"}), tmp_path)
    done("fit", path, "--data", small_busi, "-o", tmp_path / "run", "--fold", "3", "--workers", "0")
    assert "test_fold: 3" in (tmp_path / "run" / "config.yaml").read_text()
