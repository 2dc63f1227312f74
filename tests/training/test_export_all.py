"""Exporting everything: shared networks once, what fails is told and stops nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.training import tiny_export, tiny_runs
from training.cost import parameters
from training.export_all import Exported, export_all, recipes_in
from training.state import build_network

UNET = "models.compact_unet.CompactUNet"


def write(folder: Path, name: str, task: str = "whole", **changes: Any) -> Path:
    return tiny_export.write_recipe(tiny_runs.recipe(name, task, **changes), folder)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """Four recipes of three networks, by the first recipe of each."""
    folder = tmp_path_factory.mktemp("recipes")
    hub = {"path": f"{__name__}.starting", "arguments": {"weights": "a hub that is not there"}}
    paths = [
        write(folder, "broken", network={"path": UNET, "arguments": {"widths": "none"}}),
        write(folder, "missing", network={"path": "models.nothing.There", "arguments": {}}),
        write(folder, "a", network=hub),
        write(folder, "b", network=hub, l1_lambda=0.1),
    ]
    return {one.recipes[0]: one for one in export_all(paths)}


def test_networks_that_recipes_share_are_exported_once(done: dict[str, Exported]) -> None:
    assert list(done) == ["broken", "missing", "a"]
    one = done["a"]
    assert one.recipes == ("a", "b")
    assert (one.network, one.size, one.problem) == (f"{__name__}.starting", (32, 32), "")
    assert one.difference is not None
    assert one.difference.relative <= 1e-4
    assert one.difference.of_spread <= 0.01
    assert one.parameters == parameters(build_network(tiny_runs.recipe("a"))) / 1e6
    assert one.megabytes > 0
    assert one.seconds > 0


def test_a_network_that_fails_does_not_stop_the_others(done: dict[str, Exported]) -> None:
    assert done["broken"].problem
    assert done["missing"].problem.startswith("ImportError: Found no 'models.nothing.There'")
    assert done["broken"].difference is done["missing"].difference is None


def starting(weights: str | None) -> Any:
    """A network that would fetch its weights; they are no part of its graph."""
    if weights is not None:
        raise OSError("no network")
    return build_network(tiny_runs.recipe("a"))


def test_the_projects_recipes_are_found_and_its_templates_left_out() -> None:
    names = [path.stem for path in recipes_in()]
    assert "ultrasound_segmenter" in names
    assert "ultrasound_pipeline" not in names
    assert names == sorted(names)
