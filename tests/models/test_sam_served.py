"""SAM's two ONNX files: they equal torch and answer boxes and points as stages of a pipeline."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from models.sam import Sam, SamPointDecoder, tiny
from service.engine import Engine, Request
from service.image import Image, Point, Region
from service.manifest import InputSpec
from service.preprocess import prepare, restore
from service.stages import network_box, point_prompt
from tests import tiny_pipeline
from tests.models.sams import BOXES, EMBEDDING, IMAGE, PLACES, loud
from training.onnx_graph import check_export, traced

GRAPHS = {
    "encoder": ((IMAGE,), ("image",), "embedding"),
    "decoder": ((EMBEDDING, BOXES), ("embedding", "boxes"), "logits"),
    "pointer": ((EMBEDDING, (PLACES, 2), (PLACES,)), ("embedding", "points", "labels"), "logits"),
}


@pytest.fixture(scope="module")
def network() -> Sam:
    torch.manual_seed(0)
    return loud(tiny())


@pytest.fixture(scope="module")
def graphs(network: Sam) -> dict[str, bytes]:
    """Everything that is ever exported of SAM, once."""
    parts = modules(network)
    return {
        role: traced(parts[role], shapes, inputs, [output]).SerializeToString()
        for role, (shapes, inputs, output) in GRAPHS.items()
    }


def modules(network: Sam) -> dict[str, Any]:
    return {
        "encoder": network.encoder,
        "decoder": network.decoder,
        "pointer": SamPointDecoder(network.decoder).eval(),
    }


@pytest.mark.parametrize("role", list(GRAPHS))
def test_onnx_equals_torch(network: Sam, graphs: dict[str, bytes], role: str) -> None:
    shapes, _, _ = GRAPHS[role]
    check_export(modules(network)[role], graphs[role], *shapes)


SPEC = {"size": [64, 64], "channels": 3, "window": {"kind": "range", "low": 0, "high": 255}, "letterbox": True}


def prompting(root: Path, encoder: bytes, decoder: bytes) -> Engine:
    """The tiny pipeline with its segmenter replaced by a prompt stage of two files."""
    folder = tiny_pipeline.write(root) / tiny_pipeline.NAME / tiny_pipeline.VERSION
    weights = {}
    for role, content in (("encoder", encoder), ("decoder", decoder)):
        (folder / f"{role}.onnx").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        weights[role] = {"file": f"{role}.onnx", "sha256": digest, "licence": "Apache-2.0"}
    raw = yaml.safe_load((folder / "manifest.yaml").read_text())
    raw["stages"][1].update(kind="prompt", weights=weights, input=SPEC)
    (folder / "manifest.yaml").write_text(yaml.safe_dump(raw))
    return Engine.open((root,), "cpu")


@pytest.fixture(scope="module")
def picture() -> Image:
    rng = np.random.default_rng(0)
    return Image(rng.integers(0, 256, (1, 48, 80, 1), np.uint8))


@torch.no_grad()
def expected(network: Sam, picture: Image, points: list[Point], box: Region | None) -> np.ndarray:
    """Probabilities (height, width) of the torch network for the same picture and prompt."""
    tensor, placement = prepare(picture.slab(0, 1)[0], InputSpec.model_validate(SPEC))
    told = point_prompt(placement, PLACES, points, box)
    given = [told["points"], told["labels"]] if points or box is None else [network_box(box, placement)[None]]
    logits = network(torch.from_numpy(tensor)[None], *(torch.from_numpy(one)[None] for one in given))
    return restore(torch.sigmoid(logits)[0].numpy(), placement)[0]


@pytest.mark.parametrize("role", ["decoder", "pointer"])
def test_two_onnx_files_in_a_manifest_folder_answer_a_box(
    network: Sam, graphs: dict[str, bytes], picture: Image, tmp_path: Path, role: str
) -> None:
    engine = prompting(tmp_path, graphs["encoder"], graphs[role])
    box = Region(20, 10, 60, 40)
    result = engine.segment(picture, Request(boxes=(box,))).result
    (patch,) = result.patches
    wanted = expected(network, picture, [], box)
    assert 0.1 < (wanted > 0.5).mean() < 0.9
    np.testing.assert_allclose(patch.probability[0], wanted, atol=1e-4)
    assert [stage.network_runs for stage in result.stages] == [0, 2, 1]


def test_two_onnx_files_in_a_manifest_folder_answer_points(
    network: Sam, graphs: dict[str, bytes], picture: Image, tmp_path: Path
) -> None:
    engine = prompting(tmp_path, graphs["encoder"], graphs["pointer"])
    points = [Point(30, 20), Point(70, 5, inside=False)]
    for count, box in ((1, None), (2, None), (2, Region(20, 10, 60, 40))):
        asked = Request(points=tuple(points[:count]), boxes=(box,) if box else ())
        (patch,) = engine.segment(picture, asked).result.patches
        np.testing.assert_allclose(patch.probability[0], expected(network, picture, points[:count], box), atol=1e-4)
