"""An interruption leaves no trace in a run, and a run goes on with nothing but its own recipe and data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.training.fitting import CASES, WIDTHS, Stop, assert_same, history_of, recipe, stop_at_step
from tests.training.phantom_busi import write_busi
from training.distributed import World
from training.fit import BEST, CHECKPOINT, build_network, fit
from training.sampling import loaders
from training.trained import recipe_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_busi(tmp_path_factory.mktemp("busi"), CASES)


def _assert_same_run(one: Path, other: Path) -> None:
    for name in (BEST, CHECKPOINT):
        assert_same(*(torch.load(out / name, weights_only=True) for out in (one, other)))


@pytest.fixture(scope="module")
def uninterrupted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    fit(recipe(schedule={"epochs": 3}), data, out, workers=0)
    return out


def _steps(data: Path) -> int:
    """Optimisation steps of one epoch."""
    return len(loaders(recipe(), data, 0, World(torch.device("cpu"))).train)


@pytest.mark.parametrize("epochs_done", [0, 1, 2])
def test_a_run_interrupted_in_mid_epoch_and_resumed_is_the_same_run(
    epochs_done: int, data: Path, tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = recipe(schedule={"epochs": 3})
    with monkeypatch.context() as patch:
        stop_at_step(patch, epochs_done * _steps(data) + 2)
        with pytest.raises(Stop):
            fit(whole, data, tmp_path, workers=0)
    torch.manual_seed(1234)  # another process would start from other random numbers
    fit(whole, data, tmp_path, resume=True, workers=0)
    _assert_same_run(tmp_path, uninterrupted)


def test_a_killed_run_keeps_every_finished_epoch(data: Path, tmp_path: Path) -> None:
    endless, out = recipe(schedule={"epochs": 10_000, "rate": {"kind": "constant"}}), tmp_path / "run"
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(endless.model_dump(mode="json", exclude_none=True)))
    command = [sys.executable, "-m", "training.cli", "fit", tmp_path / "recipe.yaml", "--data", data, "-o", out]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(list(map(str, command)), cwd=ROOT, env=environment, stdout=log, stderr=log)
    end = time.monotonic() + 300
    while not ((out / CHECKPOINT).is_file() and len(history_of(out)) > 1):
        assert process.poll() is None, (tmp_path / "log").read_text()
        assert time.monotonic() < end
        time.sleep(0.2)
    process.kill()
    process.wait()
    done = history_of(out)
    fit(recipe(schedule={"epochs": len(done) + 1, "rate": {"kind": "constant"}}), data, out, resume=True, workers=0)
    assert history_of(out)[: len(done)] == done
    assert len(history_of(out)) == len(done) + 1


def test_workers_change_the_speed_and_nothing_else(data: Path, tmp_path: Path, uninterrupted: Path) -> None:
    fit(recipe(schedule={"epochs": 3}), data, tmp_path, workers=1)
    _assert_same_run(tmp_path, uninterrupted)


def test_a_finished_run_that_is_resumed_stays_as_it_is(data: Path, tmp_path: Path) -> None:
    best = fit(recipe(), data, tmp_path, workers=0)
    before = best.read_bytes(), (tmp_path / CHECKPOINT).read_bytes()
    assert fit(recipe(), data, tmp_path, resume=True, workers=0) == best
    assert (best.read_bytes(), (tmp_path / CHECKPOINT).read_bytes()) == before


def test_that_it_was_finished_is_said(data: Path, uninterrupted: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fit(recipe(schedule={"epochs": 3}), data, uninterrupted, resume=True, workers=0)
    assert "tiny was finished after 3 epochs." in " ".join(capfd.readouterr().err.split())


def test_epochs_that_are_done_are_not_taken_back(data: Path, uninterrupted: Path) -> None:
    before = {path: path.read_bytes() for path in uninterrupted.glob("*.*")}
    with pytest.raises(
        ValueError, match=r"Found a run in .* of which 3 epochs are done; wanted at most 2, as now asked"
    ):
        fit(recipe(schedule={"epochs": 2}), data, uninterrupted, resume=True, workers=0)
    assert {path: path.read_bytes() for path in uninterrupted.glob("*.*")} == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"test_fold": 1}, r"whose test_fold is 0; wanted 1, as now asked for\. Pass --fold 0"),
        ({"start": Path("there.pt")}, r"whose start is nothing; wanted .*there\.pt, as"),
        ({"boxes": Path("boxes.json")}, r"whose boxes is nothing; wanted .*boxes\.json, as"),
        ({"excluded": (3,)}, r"whose excluded is \[\]; wanted \[3\], as now asked for\. Go on with the recipe"),
        ({"validation": 0.5}, r"whose validation is 0\.4; wanted 0\.5"),
        ({"schedule": {"learning_rate": 0.5}}, r"whose schedule\.learning_rate is 0\.02; wanted 0\.5"),
        (
            {"network": {"path": "models.compact_unet.CompactUNet", "arguments": {"widths": WIDTHS, "presence": 2}}},
            r"whose network\.arguments\.presence is 1; wanted 2",
        ),
        (
            {"loss": {"path": "torch.nn.functional.binary_cross_entropy_with_logits"}},
            r"whose loss\.path is nothing; wanted torch",
        ),
    ],
)
def test_a_run_goes_on_with_nothing_but_its_own_recipe(
    changes: dict[str, Any], words: str, uninterrupted: Path
) -> None:
    before = (uninterrupted / "config.yaml").read_bytes()
    other = recipe(**changes | {"schedule": {"epochs": 3} | changes.get("schedule", {})})
    data = Path(json.loads((uninterrupted / "environment.json").read_text(encoding="utf-8"))["data"])
    with pytest.raises(ValueError, match=f"Found a run in .* {words}"):
        fit(other, data, uninterrupted, resume=True, workers=0)
    assert (uninterrupted / "config.yaml").read_bytes() == before


def test_a_run_does_not_go_on_with_other_data(uninterrupted: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"whose data is .*busi.*; wanted .*\. Pass --data .*mend `data` in environ"):
        fit(recipe(schedule={"epochs": 3}), tmp_path, uninterrupted, resume=True, workers=0)


def test_a_run_may_go_on_for_longer_and_elsewhere(data: Path, tmp_path: Path) -> None:
    fit(recipe(schedule={"epochs": 1}, test_fold=1), data, tmp_path, workers=0)
    longer = recipe(schedule={"epochs": 2, "early_stop": 9}, test_fold=1, logs=tmp_path / "logs", in_memory=False)
    fit(longer, data, tmp_path, resume=True, workers=0)
    assert len(history_of(tmp_path)) == 2
    assert recipe_of(tmp_path) == longer


def test_a_run_of_which_nothing_tells_how_it_was_trained_does_not_go_on(data: Path, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"alone")
    with pytest.raises(FileNotFoundError, match=r"Found no config\.yaml beside the checkpoint in .*; wanted it"):
        fit(recipe(), data, tmp_path, resume=True, workers=0)


def test_a_run_notes_absolute_paths(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(build_network(recipe()).state_dict(), tmp_path / "start.pt")
    monkeypatch.chdir(tmp_path)
    here = Path(os.path.relpath(data))
    fit(recipe(schedule={"epochs": 1}, start=Path("start.pt")), here, Path("run"), workers=0)
    assert recipe_of(tmp_path / "run").start == tmp_path / "start.pt"
    assert json.loads(Path("run/environment.json").read_text(encoding="utf-8"))["data"] == str(data)
    monkeypatch.chdir(tmp_path.parent)
    fit(recipe(schedule={"epochs": 1}, start=tmp_path / "start.pt"), data, tmp_path / "run", resume=True, workers=0)


def test_an_earlier_run_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"of another run")
    with pytest.raises(FileExistsError, match="Found a checkpoint in .*; wanted an empty folder. Pass --resume"):
        fit(recipe(), data, tmp_path, workers=0)
    assert (tmp_path / CHECKPOINT).read_bytes() == b"of another run"
