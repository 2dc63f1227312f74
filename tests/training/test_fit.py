"""The training loop on a tiny network: it learns, keeps the best, and an interruption leaves no trace."""

from __future__ import annotations

import json
import logging
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.phantom_busi import write_busi
from training import fit as loop
from training import sampling, state
from training.distributed import World
from training.fit import BEST, CHECKPOINT, LAST, build_network, fit, learning_rate, moving_average
from training.recipe import Recipe
from training.sampling import loaders
from training.split import Split
from training.trained import recipe_of

CASES = 12
WIDTHS = [4, 8, 12]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_busi(tmp_path_factory.mktemp("busi"), CASES)


def recipe(**changes: Any) -> Recipe:
    """A localiser with dropout, so that order, augmentation and random numbers of torch all matter."""
    schedule = {"epochs": 2, "batch": 2, "learning_rate": 0.02, "average": 0.5, "precision": "float32"}
    content = {
        "name": "tiny",
        "task": "localise",
        "network": {"path": "models.compact_unet.CompactUNet", "arguments": {"widths": WIDTHS, "presence": 1}},
        "dataset": {"path": "training.datasets.busi.cases"},
        "input": {"size": [32, 32], "mean": [0.4], "std": [0.25]},
        "validation": 0.4,
    }
    return Recipe.model_validate(content | changes | {"schedule": schedule | changes.get("schedule", {})})


def _history(out: Path) -> list[dict[str, float]]:
    history: list[dict[str, float]] = torch.load(out / CHECKPOINT, weights_only=True)["history"]
    return history


def _assert_same(one: Any, other: Any) -> None:
    """Equal to the last bit, all the way down."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            _assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            _assert_same(*pair)
    else:
        assert one == other


def _assert_same_run(one: Path, other: Path) -> None:
    for name in (BEST, CHECKPOINT):
        _assert_same(*(torch.load(out / name, weights_only=True) for out in (one, other)))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_loss_falls_and_the_best_weights_are_written(precision: str, data: Path, tmp_path: Path) -> None:
    small = recipe(schedule={"precision": precision, "epochs": 4})
    best = fit(small, data, tmp_path, workers=0)
    history = _history(tmp_path)
    assert len(history) == 4
    assert history[-1]["loss"] < history[0]["loss"]
    assert best == tmp_path / BEST
    build_network(small).load_state_dict(torch.load(best, weights_only=True))
    assert {one.dtype for one in torch.load(best, weights_only=True).values()} == {torch.float32, torch.int64}
    assert list(tmp_path.glob("events.out.tfevents*"))
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("task", ["segment", "classify"])
def test_the_other_tasks_train_as_well(task: str, data: Path, tmp_path: Path) -> None:
    path = {"segment": "models.compact_unet.CompactUNet", "classify": "models.compact_unet.CompactClassifier"}[task]
    small = recipe(task=task, network={"path": path, "arguments": {"widths": WIDTHS}}, schedule={"epochs": 1})
    assert fit(small, data, tmp_path, workers=0).is_file()
    assert math.isfinite(_history(tmp_path)[0]["loss"])


class _Stop(Exception):
    """The power failure of these tests."""


def _stop_at_step(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Fail in the given optimisation step, counted from 1."""
    original, done = loop._step, []

    def step(*arguments: Any, **options: Any) -> float:
        done.append(None)
        if len(done) == number:
            raise _Stop
        return original(*arguments, **options)

    monkeypatch.setattr(loop, "_step", step)


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
        _stop_at_step(patch, epochs_done * _steps(data) + 2)
        with pytest.raises(_Stop):
            fit(whole, data, tmp_path, workers=0)
    torch.manual_seed(1234)  # another process would start from other random numbers
    fit(whole, data, tmp_path, resume=True, workers=0)
    _assert_same_run(tmp_path, uninterrupted)


def test_workers_change_the_speed_and_nothing_else(data: Path, tmp_path: Path, uninterrupted: Path) -> None:
    fit(recipe(schedule={"epochs": 3}), data, tmp_path, workers=1)
    _assert_same_run(tmp_path, uninterrupted)


def test_an_epoch_that_ends_amid_a_step_weighs_its_batches_alike(data: Path, tmp_path: Path) -> None:
    """Of two batches that a step of five has to do with, each counts by half: as one batch of twice the size does."""
    plain: dict[str, Any] = {
        "task": "whole",
        # Neither batch norm nor dropout, which would know how many pictures come together.
        "network": {"path": "models.unet.tiny", "arguments": {"dropout": (0, 0)}},
        "loss": {"path": "torch.nn.functional.binary_cross_entropy_with_logits"},
        "optimizer": {"path": "torch.optim.SGD"},
    }
    rate = {"kind": "constant", "warm_up": 0}
    schedule = {"epochs": 1, "learning_rate": 0.5, "weight_decay": 0, "average": 0, "clip": 0, "rate": rate}
    weights = []
    for name, batch, accumulate in (("halves", 3, 5), ("one", 6, 1)):
        block = recipe(**plain, schedule=schedule | {"batch": batch, "accumulate": accumulate})
        assert len(loaders(block, data, 0, World(torch.device("cpu"))).train) == 6 // batch
        fit(block, data, tmp_path / name, workers=0)
        weights.append(torch.load(tmp_path / name / LAST, weights_only=True))
    start = build_network(block).state_dict()
    assert any(not torch.equal(start[key], weights[1][key]) for key in start)
    for key in start:
        torch.testing.assert_close(weights[0][key], weights[1][key], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("count", "wanted"),
    [
        (4, [(2, False), (2, True), (2, False), (2, True)]),
        (3, [(2, False), (2, True), (1, True)]),
        (1, [(1, True)]),
    ],
)
def test_batches_know_their_step(count: int, wanted: list[tuple[int, bool]]) -> None:
    two = recipe(schedule={"accumulate": 2})
    assert [loop._place_in_step(two, number, count) for number in range(count)] == wanted


def test_a_finished_run_that_is_resumed_stays_as_it_is(data: Path, tmp_path: Path) -> None:
    best = fit(recipe(), data, tmp_path, workers=0)
    before = best.read_bytes(), (tmp_path / CHECKPOINT).read_bytes()
    assert fit(recipe(), data, tmp_path, resume=True, workers=0) == best
    assert (best.read_bytes(), (tmp_path / CHECKPOINT).read_bytes()) == before


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
    assert len(_history(tmp_path)) == 2
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


def test_a_failed_save_leaves_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pt"
    state.save({"a": 1}, path)

    def fails(content: Any, target: Path) -> None:
        target.write_bytes(b"half a file")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(OSError, match="Found no way to write .*no space left.*; wanted room on the disk"):
        state.save({"a": 2}, path)
    assert torch.load(path, weights_only=True) == {"a": 1}


def test_a_loss_that_is_not_finite_ends_training(data: Path, tmp_path: Path) -> None:
    weights = build_network(recipe()).state_dict()
    torch.save(
        {name: torch.full_like(value, math.nan) for name, value in weights.items() if value.ndim == 4},
        tmp_path / "broken.pt",
    )
    broken = recipe(start=tmp_path / "broken.pt")
    with pytest.raises(FloatingPointError, match="Found a loss of nan in epoch 1; wanted a finite one. Lower"):
        fit(broken, data, tmp_path / "run", workers=0)
    assert not (tmp_path / "run" / BEST).exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schedule": {"batch": 64}}, r"Found \d+ training and \d+ validation cases; wanted a batch of 64"),
        ({"validation": 1e-9}, "and 0 validation cases; wanted a batch of 2 and at least one"),
    ],
)
def test_too_few_cases_are_refused(changes: dict[str, Any], words: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        fit(recipe(**changes), data, tmp_path, workers=0)


def test_a_validation_part_in_which_nothing_counts_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = sampling.split

    def without_lesions(*arguments: Any) -> Split:
        parts = original(*arguments)
        everyone = (*parts.train, *parts.validation, *parts.test)
        normal = tuple(case for case in everyone if case.category == "normal")
        return Split(parts.train, normal, ())

    monkeypatch.setattr(sampling, "split", without_lesions)
    _stop_at_step(monkeypatch, 1)
    network = {"path": "models.compact_unet.CompactUNet", "arguments": {"widths": WIDTHS}}
    with pytest.raises(ValueError, match="Found no validation case with a lesion"):
        fit(recipe(task="segment", network=network), data, tmp_path, workers=0)


def test_starting_weights_are_taken_over_where_they_fit(tmp_path: Path) -> None:
    from_network = {"path": "models.compact_unet.CompactClassifier", "arguments": {"widths": WIDTHS}}
    trained = build_network(recipe(network=from_network, schedule={"seed": 7})).state_dict()
    torch.save(trained, tmp_path / "start.pt")
    started = build_network(recipe(start=tmp_path / "start.pt")).state_dict()
    plain = build_network(recipe()).state_dict()
    shared = [name for name in trained if name in started and trained[name].shape == started[name].shape]
    assert any(name.startswith("down.") for name in shared)
    for name, value in started.items():
        assert torch.equal(value, (trained if name in shared else plain)[name])


def test_starting_weights_of_another_family_are_refused(tmp_path: Path) -> None:
    torch.save({"something.else": torch.zeros(3)}, tmp_path / "start.pt")
    with pytest.raises(ValueError, match="Found no parameter of the starting weights in this network"):
        build_network(recipe(start=tmp_path / "start.pt"))


@pytest.mark.parametrize(("kept", "level"), [(1.0, logging.INFO), (0.3, logging.WARNING)])
def test_it_is_said_how_much_is_taken_over(
    kept: float, level: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights = build_network(recipe(schedule={"seed": 7})).state_dict()
    names = list(weights)[: round(kept * len(weights))]
    torch.save({name: weights[name] for name in names}, tmp_path / "start.pt")
    with caplog.at_level(logging.INFO, "breast_cascade.training"):
        build_network(recipe(start=tmp_path / "start.pt"))
    (record,) = caplog.records
    assert record.levelno == level
    assert f"took {len(names)} of {len(weights)} tensors of the network from {tmp_path}" in caplog.text
    assert ("Is it of the same architecture?" in caplog.text) == (level == logging.WARNING)


def test_equal_seeds_build_equal_networks() -> None:
    one, again, other = (build_network(recipe(schedule={"seed": seed})).state_dict() for seed in (1, 1, 2))
    _assert_same(one, again)
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_the_average_forgets_the_start_quickly_and_then_smooths() -> None:
    start, value = torch.zeros(1), torch.ones(1)
    assert moving_average(0.998, start, value, 0).item() == pytest.approx(0.9)
    assert moving_average(0.998, start, value, torch.tensor(8)).item() == pytest.approx(0.5)
    assert moving_average(0.998, start, value, 10**6).item() == pytest.approx(0.002)
    assert moving_average(0.5, start, value, 10**6).item() == pytest.approx(0.5)


def test_counters_are_copied_and_not_averaged() -> None:
    assert moving_average(0.998, torch.tensor(3), torch.tensor(40), 5).item() == 40


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    ten = recipe(schedule={"epochs": 10, "learning_rate": 1.0})
    assert learning_rate(ten, 0) == pytest.approx(0.02)
    assert learning_rate(ten, 0.48) == pytest.approx(0.5, abs=0.01)
    assert learning_rate(ten, 1) == max(learning_rate(ten, step / 20) for step in range(20, 201))
    assert learning_rate(ten, 5) == pytest.approx(0.5)
    assert learning_rate(ten, 10) == pytest.approx(0)
    assert learning_rate(ten, 11) == pytest.approx(0)
