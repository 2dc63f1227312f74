"""Boxes for the stages to come, by the service's own stages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from service.cascade import Ask
from service.engine import Engine
from service.formats.raster import read_raster
from service.image import Region
from tests import tiny_graphs, tiny_mammography, tiny_pipeline
from training.datasets.case import Case
from training.datasets.pictures import colour_picture
from training.localiser import boxes_on, first_stage, open_stage

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


def test_a_stage_that_segments_localises_by_its_parts(tmp_path: Path) -> None:
    folder = tiny_pipeline.write(tmp_path / "pipelines") / tiny_pipeline.NAME / tiny_pipeline.VERSION
    block = {
        "name": "tissue",
        "kind": "segment",
        "labels": ["lesion"],
        "input": {"size": [32, 32], "window": {"kind": "range", "low": 0, "high": 255}},
    }
    stage = open_stage(block, folder / "segment.onnx")
    image = np.maximum(SQUARE, tiny_pipeline.square(40, 8, 8))
    some = [case(tmp_path, "two", image), case(tmp_path, "nothing", np.zeros_like(SQUARE))]
    found = boxes_on(stage, some, "lesion")
    assert found == {"two": (Region(16, 24, 32, 40), Region(40, 8, 48, 16)), "nothing": ()}
    assert found == boxes_on(stage, some)


def test_without_a_label_every_label_is_boxed(tmp_path: Path) -> None:
    """A network that takes what is red for one label and what is green for another."""
    graph = tmp_path / "colours.onnx"
    graph.write_bytes(tiny_graphs.threshold(32, 3))
    look = {"size": [32, 32], "channels": 3, "window": {"kind": "range", "low": 0, "high": 255}}
    names = ["red", "green", "blue"]
    stage = open_stage({"name": "colours", "kind": "segment", "labels": names, "input": look}, graph)
    nothing = np.zeros_like(SQUARE)
    one = case(tmp_path, "two", np.dstack([nothing, SQUARE, tiny_pipeline.square(40, 8, 8)]))
    red, green = Region(40, 8, 48, 16), Region(16, 24, 32, 40)
    coloured = replace(one, image_reader=colour_picture)
    assert boxes_on(stage, [coloured]) == {"two": (red, green)}
    assert boxes_on(stage, [coloured], "green") == {"two": (green,)}
    assert boxes_on(stage, [coloured], None, ("red", "green")) == {"two": (green,)}, "the largest part together"
    with pytest.raises(ValueError, match="Found no label fat in stage colours.* Mend the next stage's `regions`"):
        boxes_on(stage, [coloured], None, ("red", "fat"))


def test_a_picture_with_the_chest_wall_on_the_other_side_is_shown_in_a_mirror(tmp_path: Path) -> None:
    film = tiny_mammography.breast()
    root = tiny_mammography.write(tmp_path / "pipelines")
    stage = first_stage(root / tiny_mammography.NAME / tiny_mammography.VERSION)
    (tmp_path / "cases").mkdir()
    one, other = case(tmp_path / "cases", "one", film), case(tmp_path / "cases", "other", film[:, ::-1].copy())
    looked = boxes_on(stage, [one, other], None, ("adipose", "fibroglandular"), "left")
    assert looked == {"one": (Region(0, 8, 40, 56),), "other": (Region(24, 8, 64, 56),)}


def test_labels_and_stages_that_localise_nothing_are_refused(tmp_path: Path, squares: list[Case]) -> None:
    root = tiny_pipeline.write(tmp_path / "pipelines")
    stage = first_stage(root / tiny_pipeline.NAME / tiny_pipeline.VERSION)
    with pytest.raises(ValueError, match="Found no label muscle in stage localise; wanted one of lesion"):
        boxes_on(stage, squares, "muscle")
    engine = Engine.open([root], "cpu", 1)
    classify = engine.pipeline(tiny_pipeline.NAME, tiny_pipeline.VERSION).cascade.stages[2]
    with pytest.raises(ValueError, match="Found a stage that does classify; wanted detect or segment"):
        boxes_on(classify, squares)
