"""What tests of the loop share: a recipe for a tiny localiser, its history, an end in the middle of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from training import fit as loop
from training.fit import CHECKPOINT
from training.recipe import Recipe

CASES = 12
WIDTHS = [4, 8, 12]


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


def history_of(out: Path) -> list[dict[str, float]]:
    history: list[dict[str, float]] = torch.load(out / CHECKPOINT, weights_only=True)["history"]
    return history


def assert_same(one: Any, other: Any) -> None:
    """Equal to the last bit, all the way down."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    else:
        assert one == other


class Stop(Exception):
    """The power failure of these tests."""


def stop_at_step(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Fail in the given optimisation step, counted from 1."""
    original, done = loop._step, []

    def step(*arguments: Any, **options: Any) -> float:
        done.append(None)
        if len(done) == number:
            raise Stop
        return original(*arguments, **options)

    monkeypatch.setattr(loop, "_step", step)
