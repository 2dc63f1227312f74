"""The training loop on a tiny network: it learns, keeps the best, and refuses what cannot be trained."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.fitting import CASES, WIDTHS, history_of, recipe, stop_at_step
from tests.training.phantom_busi import write_busi
from training import fit as loop
from training import sampling, state
from training.distributed import World
from training.fit import BEST, LAST, build_network, fit, learning_rate, moving_average
from training.sampling import loaders
from training.split import Split


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_busi(tmp_path_factory.mktemp("busi"), CASES)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_loss_falls_and_the_best_weights_are_written(precision: str, data: Path, tmp_path: Path) -> None:
    small = recipe(schedule={"precision": precision, "epochs": 4})
    best = fit(small, data, tmp_path, workers=0)
    history = history_of(tmp_path)
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
    assert math.isfinite(history_of(tmp_path)[0]["loss"])


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
    stop_at_step(monkeypatch, 1)
    network = {"path": "models.compact_unet.CompactUNet", "arguments": {"widths": WIDTHS}}
    with pytest.raises(ValueError, match="Found no validation case with a lesion"):
        fit(recipe(task="segment", network=network), data, tmp_path, workers=0)


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
