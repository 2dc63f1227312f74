"""Graphs that training has exported already, such as YOLO's, on their way into a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from service.engine import Engine
from service.manifest import read_manifest
from tests import tiny_graphs
from tests.training import tiny_runs
from tests.training.tiny_export import recipe, write_recipe, write_template, write_weights
from training.export import export_pipeline
from training.recipe import Recipe

DECODE = {"kind": "yolo", "threshold": 0.5}


def yolo() -> Recipe:
    network = {"path": "training.yolo.YoloPlan", "arguments": {}}
    return tiny_runs.recipe("tiny_localise", "localise", network=network, input={"size": [32, 32]})


def template(folder: Path, **changes: Any) -> Path:
    """A box detector in front of a segmenter."""
    for one in (yolo(), recipe("segment")):
        write_recipe(one, folder)
    path = write_template(folder, "localise", "segment")
    content = yaml.safe_load(path.read_text())
    content["stages"][0] |= {"mirror": False, "decode": DECODE, **changes}
    path.write_text(yaml.safe_dump(content))
    return path


def test_an_onnx_file_is_taken_as_it_is_and_serves(tmp_path: Path) -> None:
    graph = tmp_path / "yolo.onnx"
    graph.write_bytes(tiny_graphs.one_box(16, 16, 8, 8))
    weights = {"localise": [graph], "segment": [write_weights(recipe("segment"), tmp_path / "segment.pt")]}
    folder = export_pipeline(template(tmp_path), weights, tmp_path / "pipelines")
    assert (folder / "tiny_localise.onnx").read_bytes() == graph.read_bytes()
    first = read_manifest(folder).stages[0]
    assert first.training["onnx_against_torch"] is None
    assert first.training["network"]["path"] == "training.yolo.YoloPlan"
    assert Engine.open([tmp_path / "pipelines"], "cpu", 1).pipeline("small", "1.0.0").cascade.stages[0].spec == first


@pytest.mark.parametrize(("files", "changes"), [(2, {}), (1, {"mirror": True})])
def test_graphs_cannot_be_averaged(files: int, changes: dict[str, Any], tmp_path: Path) -> None:
    weights = {"localise": [tmp_path / f"{number}.onnx" for number in range(files)], "segment": [tmp_path]}
    with pytest.raises(ValueError, match=r"Found 0.onnx.* for stage localise; wanted one ONNX file, taken as it is"):
        export_pipeline(template(tmp_path, **changes), weights, tmp_path / "pipelines")
