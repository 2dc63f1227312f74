"""YOLO11n: trained for two epochs on phantoms, exported raw and served like any other localiser."""

from __future__ import annotations

import builtins
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

from service.engine import Engine, Request
from service.image import Image
from service.network import Device, OnnxNetwork
from service.preprocess import prepare
from tests import tiny_pipeline
from tests.training.phantom_busi import phantom, write_busi
from training.datasets import busi
from training.kinship import learned
from training.recipe import Recipe, read_recipe
from training.samples import CACHED_SIDE, load
from training.split import split
from training.trained import EVENTS
from training.yolo import boxes_of, is_yolo, train_yolo, write_folder

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "training" / "recipes"
SIDE = 64
needs_yolo = pytest.mark.skipif(
    find_spec("ultralytics") is None, reason="NOT TESTED: training YOLO needs ultralytics (pip install '.[yolo]')"
)
# ultralytics changes its process for good (torch.save, threads, print options), so it gets one of its own, in which any
# attempt to reach a host ends the training. The run is cut off when it has saved its first epoch, and then resumed.
TRAIN = """
import socket, sys
from pathlib import Path

def refused(*args, **kwargs):
    raise SystemExit(f"reached for the network: {args}")

socket.getaddrinfo = socket.gethostbyname = socket.create_connection = socket.socket.connect = refused
from training.recipe import read_recipe
from training.yolo import CONFIG, train_yolo, yolo_class
recipe, data, out = read_recipe(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])
yolo_class(out / CONFIG)
from ultralytics.engine.trainer import BaseTrainer
save = BaseTrainer.save_model

def cut_off(self):
    save(self)
    raise KeyboardInterrupt

BaseTrainer.save_model = cut_off
try:
    train_yolo(recipe, data, out)
    sys.exit("the first attempt was to be cut off")
except KeyboardInterrupt:
    BaseTrainer.save_model = save
print(train_yolo(recipe, data, out, resume=True))
"""


def _recipe(**changes: Any) -> Recipe:
    content = yaml.safe_load((RECIPES / "ultrasound_yolo11n.yaml").read_text(encoding="utf-8"))
    content["network"]["arguments"]["views"] = 1
    content["input"]["size"] = [SIDE, SIDE]
    content["schedule"] |= {"epochs": 2, "batch": 4}
    return Recipe.model_validate(content | {"validation": 0.4, **changes})


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_busi(tmp_path_factory.mktemp("busi"), 10)


@pytest.fixture(scope="module")
def trained(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run: the folder that holds ``yolo.onnx``."""
    out = tmp_path_factory.mktemp("yolo") / "run"
    recipe = out.with_suffix(".yaml")
    recipe.write_text(yaml.safe_dump(_recipe().model_dump(mode="json")), encoding="utf-8")
    command = [sys.executable, "-c", TRAIN, recipe, phantoms, out]
    done = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == str(out / "yolo.onnx")
    return out


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@needs_yolo
def test_the_graph_is_raw_with_a_dynamic_batch(trained: Path) -> None:
    graph = onnx.load(trained / "yolo.onnx").graph
    assert [one.op_type for one in graph.node if "NonMax" in one.op_type] == []
    network = OnnxNetwork((trained / "yolo.onnx").read_bytes(), "yolo", Device())
    assert network.inputs == {"image": (None, 3, SIDE, SIDE)}
    anchors = sum((SIDE // stride) ** 2 for stride in (8, 16, 32))
    for batch in (1, 3):
        (raw,) = network.run({"image": np.zeros((batch, 3, SIDE, SIDE), np.float32)}).values()
        assert raw.shape == (batch, 5, anchors)
        assert 0 <= raw[:, 4].min() <= raw[:, 4].max() <= 1


@needs_yolo
def test_a_run_cut_off_goes_on_where_it_was(trained: Path) -> None:
    rows = (trained / "ultralytics" / "results.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0].strip() for row in rows] == ["1", "2"]


@needs_yolo
def test_a_run_tells_how_it_was_made_and_how_it_went(trained: Path, phantoms: Path) -> None:
    (lesson,) = learned(trained)
    assert lesson.folder == phantoms
    assert {case.fold for case in lesson.cases} == {1, 2, 3, 4}
    steps: dict[str, set[int]] = {}
    for file in trained.glob(EVENTS):
        for event in LegacyEventFileLoader(str(file)).Load():
            for value in event.summary.value:
                steps.setdefault(value.tag, set()).add(event.step)
    for tag in ("loss", "learning_rate", "train/box_loss", "metrics/mAP50(B)"):
        assert 2 in steps[tag], "the first epoch was cut off before it could be told"


@needs_yolo
def test_a_finished_run_is_kept(trained: Path, phantoms: Path) -> None:
    before = (trained / "yolo.onnx").read_bytes()
    with pytest.raises(FileExistsError, match="wanted an empty folder. Pass --resume"):
        train_yolo(_recipe(), phantoms, trained)
    assert train_yolo(_recipe(), phantoms, trained, resume=True) == trained / "yolo.onnx"
    assert (trained / "yolo.onnx").read_bytes() == before


@needs_yolo
@pytest.mark.parametrize(("changes", "words"), [({"test_fold": 1}, "whose test_fold is 0; wanted 1")])
def test_a_run_goes_on_with_nothing_but_its_own_recipe(
    changes: dict[str, Any], words: str, trained: Path, phantoms: Path
) -> None:
    with pytest.raises(ValueError, match=words):
        train_yolo(_recipe(**changes), phantoms, trained, resume=True)


@needs_yolo
def test_it_serves_as_the_localiser_of_a_pipeline(trained: Path, tmp_path: Path) -> None:
    engine = _serving(trained, tmp_path)
    picture = phantom(1, "malignant").image
    answer = engine.segment(Image(picture[None, ..., None]), Request(pipeline=tiny_pipeline.NAME))
    (located,) = (stage for stage in answer.result.stages if stage.name == "localise")
    assert located.regions, "two epochs teach nothing, but at a threshold of 0 something is always found"
    for one in located.regions:
        assert 0 <= one.region.left < one.region.right <= picture.shape[1]
        assert 0 <= one.region.top < one.region.bottom <= picture.shape[0]
        assert 0 <= one.score <= 1
    (stage,) = (stage for stage in engine.loaded[0].manifest.stages if stage.name == "localise")
    assert "AGPL-3.0" in stage.weights["network"].licence


def _serving(run: Path, root: Path) -> Engine:
    """The tiny pipeline with YOLO for its localiser, as the run's ``stage.yaml`` says."""
    folder = tiny_pipeline.write(root) / tiny_pipeline.NAME / tiny_pipeline.VERSION
    shutil.copy(run / "yolo.onnx", folder)
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text(encoding="utf-8"))
    stage = yaml.safe_load((run / "stage.yaml").read_text(encoding="utf-8"))
    stage["decode"]["threshold"] = 0.0
    manifest["stages"][0] = stage
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest), encoding="utf-8")
    return Engine.open([root], "cpu", 1)


def test_the_folder_holds_what_serving_shows_the_network(phantoms: Path, tmp_path: Path) -> None:
    """Half a grey level apart, no more; one line per lesion; the test fold nowhere."""
    recipe = _recipe()
    description = yaml.safe_load(write_folder(recipe, phantoms, tmp_path).read_text())
    assert description["names"] == {0: "lesion"}
    parts = split(busi.cases(phantoms), recipe.test_fold, recipe.validation)
    assert len(list((tmp_path / description["train"]).iterdir())) == len(parts.train)
    written = sorted((tmp_path / description["val"]).iterdir())
    for path, one in zip(written, load(parts.validation, CACHED_SIDE), strict=True):
        served, _ = prepare(one.image[..., None], recipe.input)
        pixels = cv2.imread(str(path), cv2.IMREAD_COLOR).transpose(2, 0, 1).astype(np.float32) / 255
        assert np.abs(pixels - served).max() <= 0.5 / 255 + 1e-6
        lines = (tmp_path / "labels" / "validation" / f"{path.stem}.txt").read_text().splitlines()
        assert len(lines) == (one.case.category != "normal")


def test_a_folder_written_anew_keeps_nothing_of_an_older_one(phantoms: Path, tmp_path: Path) -> None:
    arguments = {"path": "training.yolo.YoloPlan", "arguments": {"views": 3}}
    write_folder(_recipe(network=arguments), phantoms, tmp_path)
    many = len(list((tmp_path / "images" / "train").iterdir()))
    write_folder(_recipe(), phantoms, tmp_path)
    assert len(list((tmp_path / "images" / "train").iterdir())) == many // 3


def test_boxes_are_centre_and_size_of_each_component() -> None:
    mask = torch.zeros(1, 40, 80)
    mask[0, 10:20, 20:40] = 1
    mask[0, 30:38, 60:64] = 1
    mask[0, 0, 0] = 1  # a speck is no lesion
    assert boxes_of(mask) == [(0.375, 0.375, 0.25, 0.25), (0.775, 0.85, 0.05, 0.2)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "segment"}, "Found task segment"),
        ({"input": {"size": [64, 64], "mean": [0.5]}}, r"mean \(0.5,\), .* wanted localise"),
        ({"input": {"size": [64, 96]}}, r"Found input size \(64, 96\); wanted a square"),
        ({"input": {"size": [72, 72]}}, "multiple of 32"),
        ({"schedule": {"precision": "bfloat16"}}, "Found precision bfloat16; wanted float32"),
    ],
)
def test_a_recipe_that_yolo_cannot_follow_is_refused(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        train_yolo(_recipe(**changes), tmp_path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("model", ["yolo11n.pt", "../yolo11n.yaml", "https://example.org/yolo11n.yaml"])
def test_ready_made_weights_and_paths_are_refused(model: str, phantoms: Path, tmp_path: Path) -> None:
    network = {"path": "training.yolo.YoloPlan", "arguments": {"model": model}}
    with pytest.raises(ValueError, match="should match pattern"):
        write_folder(_recipe(network=network), phantoms, tmp_path)


def test_without_ultralytics_the_error_names_extra_and_licence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    original = builtins.__import__

    def missing(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.startswith("ultralytics"):
            raise ModuleNotFoundError("No module named 'ultralytics'", name="ultralytics")
        return original(name, *arguments, **keywords)

    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ModuleNotFoundError, match=r"Found no module ultralytics; .*AGPL-3.0.*\[train,yolo\]"):
        train_yolo(_recipe(), tmp_path, tmp_path / "run")


def test_one_file_imports_ultralytics_and_only_inside_a_function() -> None:
    imports = re.compile(r"^( *)(import|from) ultralytics", re.MULTILINE)
    files = [path for folder in ("models", "service", "training") for path in (ROOT / folder).rglob("*.py")]
    found = {path.name: imports.findall(path.read_text(encoding="utf-8")) for path in files}
    assert {name for name, lines in found.items() if lines} == {"yolo.py"}
    assert all(indent for indent, _ in found["yolo.py"])


def test_one_recipe_is_for_yolo_and_the_others_are_not() -> None:
    recipes = {path.stem: path for path in RECIPES.glob("*.yaml") if "pipeline" not in path.stem}
    assert {name for name, path in recipes.items() if is_yolo(read_recipe(path))} == {
        "ultrasound_yolo11n",
        "mri_yolo11n",
    }
