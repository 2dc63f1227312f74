"""Boxes for the stages to come, by the service's own stages."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from service.cascade import Ask
from service.engine import Engine
from service.formats.raster import read_raster
from service.image import Region
from tests import tiny_pipeline
from tests.training.tiny_export import Exported
from tests.training.tiny_runs import Runs
from training.datasets.case import Case
from training.export import deployable, export_network
from training.localiser import boxes_on, first_stage, open_stage
from training.trained import recipe_of

SQUARE = tiny_pipeline.square(16, 24, 16)


def case(folder: Path, name: str, image: np.ndarray) -> Case:
    path = folder / f"{name}.png"
    cv2.imwrite(str(path), image)
    return Case(name, path, (), "benign", name, 0)


@pytest.fixture
def squares(tmp_path: Path) -> list[Case]:
    return [case(tmp_path, "there", SQUARE), case(tmp_path, "nothing", np.full_like(SQUARE, 10))]


def test_the_first_stage_of_a_pipeline_gives_the_boxes_that_it_serves(tmp_path: Path, squares: list[Case]) -> None:
    root = tiny_pipeline.write(tmp_path / "pipelines")
    folder = root / tiny_pipeline.NAME / tiny_pipeline.VERSION
    found = boxes_on(first_stage(folder), squares)
    assert found == {"there": (Region(16, 24, 32, 40),), "nothing": ()}
    cascade = Engine.open([root], "cpu", 1).pipeline(tiny_pipeline.NAME, tiny_pipeline.VERSION).cascade
    served = cascade.run(read_raster(squares[0].image.read_bytes()), Ask()).stages[0]
    assert found["there"] == tuple(look.region for look in served.regions)


BLOCK = {
    "name": "tissue",
    "kind": "segment",
    "labels": ["lesion"],
    "threshold": 0.5,
    "input": {"size": [32, 32], "mean": [0.4], "std": [0.25]},
}


def test_a_stage_that_segments_localises_by_its_parts(runs: Runs, small_busi: Path, tmp_path: Path) -> None:
    from training.datasets.busi import cases

    recipe = recipe_of(runs.whole)
    export_network(deployable(recipe, [runs.whole / "best.pt"], mirror=False), recipe, tmp_path / "graph.onnx")
    stage = open_stage(BLOCK, tmp_path / "graph.onnx")
    some = [one for one in cases(small_busi) if one.category != "normal"]
    found = boxes_on(stage, some, "lesion")
    assert list(found) == [one.name for one in some]
    assert any(found.values()), "a network that outlines finds something"
    assert found == boxes_on(stage, some)


def test_labels_and_stages_that_localise_nothing_are_refused(exported: Exported, squares: list[Case]) -> None:
    stage = first_stage(exported.folder)
    with pytest.raises(ValueError, match="Found no label muscle in stage localise; wanted one of lesion"):
        boxes_on(stage, squares, "muscle")
    engine = Engine.open([exported.folder.parent.parent], "cpu", 1)
    classify = engine.pipeline("small", "1.0.0").cascade.stages[2]
    with pytest.raises(ValueError, match="Found a stage that does classify; wanted detect or segment"):
        boxes_on(classify, squares)
