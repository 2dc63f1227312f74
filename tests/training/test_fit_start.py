"""Where a network starts: from its seed, or from the weights that fit it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from tests.training.fitting import WIDTHS, assert_same, recipe
from training.fit import build_network


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
    assert_same(one, again)
    assert not torch.equal(one["head.weight"], other["head.weight"])
