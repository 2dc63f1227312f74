"""Exporting everything: shared networks once, what fails is told and stops nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.training import tiny_export, tiny_runs
from training.cost import parameters
from training.export_all import export_all, recipes_in
from training.state import build_network

UNET = "models.compact_unet.CompactUNet"


def write(folder: Path, name: str, task: str = "whole", **changes: Any) -> Path:
    return tiny_export.write_recipe(tiny_runs.recipe(name, task, **changes), folder)


def test_networks_that_recipes_share_are_exported_once(tmp_path: Path) -> None:
    paths = [write(tmp_path, "a"), write(tmp_path, "b", l1_lambda=0.1), write(tmp_path, "c", "localise")]
    one, other = export_all(paths)
    assert (one.recipes, other.recipes) == (("a", "b"), ("c",))
    assert (one.network, one.size, one.problem) == (UNET, (32, 32), "")
    assert one.difference is not None
    assert one.difference <= 1e-4
    assert one.parameters == parameters(build_network(tiny_runs.recipe("a"))) / 1e6
    assert one.megabytes > 0
    assert one.seconds > 0


def test_a_network_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    broken = write(tmp_path, "broken", network={"path": UNET, "arguments": {"widths": "none"}})
    missing = write(tmp_path, "missing", network={"path": "models.nothing.There", "arguments": {}})
    first, second, third = export_all([broken, missing, write(tmp_path, "good")])
    assert (first.difference, second.difference, third.problem) == (None, None, "")
    assert second.problem.startswith("ImportError: Found no 'models.nothing.There'")
    assert first.problem


def test_starting_weights_are_no_part_of_a_graph(tmp_path: Path) -> None:
    network = {"path": "tests.training.test_export_all.starting", "arguments": {"weights": "a hub that is not there"}}
    (one,) = export_all([write(tmp_path, "a", network=network)])
    assert one.problem == ""


def starting(weights: str | None) -> Any:
    """A network that would fetch its weights."""
    if weights is not None:
        raise OSError("no network")
    return build_network(tiny_runs.recipe("a"))


def test_the_projects_recipes_are_found_and_its_templates_left_out() -> None:
    names = [path.stem for path in recipes_in()]
    assert "ultrasound_segmenter" in names
    assert "ultrasound_pipeline" not in names
    assert names == sorted(names)
