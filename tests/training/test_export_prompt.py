"""SAM on its way into a pipeline: two files; the decoder is that of points where the recipe prompts by them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from service.engine import Engine, Request
from service.image import Image, Point, Region
from service.manifest import read_manifest
from tests.training import tiny_runs
from tests.training.phantom_busi import phantom
from tests.training.tiny_export import write_recipe, write_template
from training.export import export_pipeline
from training.predict import Predictor
from training.recipe import Recipe
from training.state import build_network

PICTURE = phantom(1, "malignant").image
SEEN = {"size": [64, 64], "channels": 3, "window": {"kind": "full"}}
STAGE = {"name": "segment", "kind": "prompt", "labels": ["lesion"], "recipe": "sam.yaml", "licence": "none"}


def sam() -> Recipe:
    network, prompts = {"path": "models.sam.tiny", "arguments": {}}, {"points": 2, "box": False}
    return tiny_runs.recipe("sam", "prompt", network=network, input=SEEN, prompts=prompts)


def template(folder: Path, **changes: object) -> Path:
    write_recipe(sam(), folder)
    path = write_template(folder)
    content = yaml.safe_load(path.read_text()) | {"stages": [STAGE | changes]}
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """The network that is exported, its logits far from zero."""
    network = build_network(sam()).eval()
    with torch.no_grad():
        network.decoder.mask_decoder.output_hypernetworks_mlps[0].proj_out.weight.mul_(30)  # type: ignore
    return Predictor(sam(), network, torch.device("cpu"))


@pytest.fixture(scope="module")
def folder(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline; nobody writes here."""
    root = tmp_path_factory.mktemp("prompted")
    torch.save(predictor.network.state_dict(), root / "best.pt")
    return export_pipeline(template(root), {"segment": [root / "best.pt"]}, root / "pipelines")


def test_the_manifest_names_both_files(folder: Path) -> None:
    (stage,) = read_manifest(folder).stages
    assert {role: one.file for role, one in stage.weights.items()} == {
        "encoder": "sam_encoder.onnx",
        "decoder": "sam_point_decoder.onnx",
    }
    assert {path.name for path in folder.glob("*.onnx")} == {one.file for one in stage.weights.values()}
    assert stage.training["onnx_against_torch"] <= 1e-4


@pytest.mark.parametrize("points", [[Point(70, 50)], [Point(70, 50), Point(60, 40)]])
def test_points_are_served_as_they_were_measured(folder: Path, predictor: Predictor, points: list[Point]) -> None:
    engine = Engine.open([folder.parents[1]], "cpu", 1)
    answer = engine.segment(Image(PICTURE[None, ..., None]), Request("small", points=tuple(points)))
    wanted = predictor(PICTURE, boxes=[Region(50, 30, 90, 70)], points=[points])[0]
    served = answer.result.mask.labels[0] > 0
    assert 0.02 < served.mean() < 0.98
    assert (served == (wanted > 0.5)).mean() > 0.99, "the service clips nothing and drops no part here"


def test_embeddings_cannot_be_averaged(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Found 2 weights for stage segment; wanted one, as it is: embeddings cannot"):
        export_pipeline(template(tmp_path), {"segment": [tmp_path / "a.pt", tmp_path / "b.pt"]}, tmp_path / "out")
    with pytest.raises(ValueError, match="Found 1 weights for stage segment to be mirrored; wanted one, as it is"):
        export_pipeline(template(tmp_path, mirror=True), {"segment": [tmp_path / "a.pt"]}, tmp_path / "out")
