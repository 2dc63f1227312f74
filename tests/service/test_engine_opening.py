"""Opening pipelines: folders, cards, weights and graphs that do not fit are told before anything is served."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from service.answers.parameters import read_parameters
from service.engine import Engine, Request
from service.errors import DeviceError, ManifestError, WeightsError
from service.image import Region
from service.network import CUDA, onnxruntime
from tests import tiny_graphs, tiny_pipeline
from tests.fakes import picture, square
from tests.service.pipelines import Raw, edited, tiny


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tiny_pipeline.write(tmp_path / "bundled")


def with_weights(folder: Path, stage: int, content: bytes) -> None:
    """Give a stage another network, with the digest that belongs to it."""
    (folder / "other.onnx").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    block = {"network": {"file": "other.onnx", "sha256": digest, "licence": "none"}}
    edited(folder, lambda raw: raw["stages"][stage].update(weights=block))


@pytest.mark.skipif(CUDA in onnxruntime.get_available_providers(), reason="this ONNX Runtime knows CUDA")
def test_cuda_asked_for_stops_the_start(root: Path) -> None:
    with pytest.raises(DeviceError, match="wanted CUDAExecutionProvider"):
        Engine.open((root,), "cuda")


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such folder; wanted a folder of pipelines. Create it or mend BREAST_"):
        Engine.open((tmp_path / "none",), "cpu")


def test_no_pipeline(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="Found no pipeline; wanted at least one <name>/<version>/manifest.yaml"):
        Engine.open((tmp_path,), "cpu")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_no_card(root: Path, content: bytes | None) -> None:
    (tiny(root) / "card.md").unlink()
    if content is not None:
        (tiny(root) / "card.md").write_bytes(content)
    with pytest.raises(
        ManifestError, match=r"no readable card\.md; wanted a card beside the manifest\. Write or restore"
    ):
        Engine.open((root,), "cpu")


def test_altered_and_missing_weights(root: Path) -> None:
    path = tiny(root) / "segment.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(WeightsError, match=r"segment\.onnx: sha256 [0-9a-f]{64}; wanted"):
        Engine.open((root,), "cpu")
    path.unlink()
    with pytest.raises(WeightsError, match=r"segment\.onnx: no readable file; wanted a file with sha256"):
        Engine.open((root,), "cpu")


def test_an_input_of_another_shape(root: Path) -> None:
    with_weights(tiny(root), 1, tiny_graphs.threshold(16))
    found, wanted = r"\{'image': \(1, 16, 16\)\} beside the batch", r"\{'image': \(1, 32, 32\)\}, as stage lesion says"
    with pytest.raises(WeightsError, match=rf"other\.onnx: inputs {found}; wanted {wanted}"):
        Engine.open((root,), "cpu")


OUTPUTS = [
    (0, tiny_graphs.convolutions(labels=2), r"\{'logits': \(2, 2, 32, 32\)\}.*wanted logits of shape \(2, 1, 32, 32\)"),
    (0, tiny_graphs.threshold(output="heat"), r"\{'heat': .*wanted logits of shape \(2, 1, 32, 32\)"),
    (1, tiny_graphs.convolutions(labels=3), r"\{'logits': \(2, 3, 32, 32\)\}.*\(2, 1, 32, 32\), as stage lesion"),
    (2, tiny_graphs.threshold(), r"\{'logits': \(2, 1, 32, 32\)\}.*wanted logits of shape \(2, 3\), as stage classify"),
]


@pytest.mark.parametrize(("stage", "content", "message"), OUTPUTS)
def test_outputs_of_another_shape(root: Path, stage: int, content: bytes, message: str) -> None:
    with_weights(tiny(root), stage, content)
    with pytest.raises(WeightsError, match=message):
        Engine.open((root,), "cpu")


def test_a_graph_that_forgets_its_batch(root: Path) -> None:
    with_weights(tiny(root), 1, tiny_graphs.forgets_batch())
    with pytest.raises(WeightsError, match="wanted a graph that ONNX Runtime can run"):
        Engine.open((root,), "cpu")


def test_presence_has_an_entry_for_each_label(root: Path) -> None:
    with_weights(tiny(root), 0, tiny_graphs.with_presence(labels=1))
    answer = Engine.open((root,), "cpu").segment(picture(square(10, 20, 12)), Request())
    # Presence is sigmoid(0) for whatever lies in the picture.
    assert answer.result.stages[0].regions[0].score == pytest.approx(0.5, abs=1e-3)
    with_weights(tiny(root), 0, tiny_graphs.with_presence(labels=2))
    with pytest.raises(WeightsError, match=r"'presence': \(2, 2\)"):
        Engine.open((root,), "cpu")


def test_a_yolo_output(root: Path) -> None:
    decode = {"kind": "yolo", "threshold": 0.25}
    edited(tiny(root), lambda raw: raw["stages"][0].update(decode=decode))
    with pytest.raises(WeightsError, match=r"wanted logits of shape \(2, 5, None\)"):
        Engine.open((root,), "cpu")
    with_weights(tiny(root), 0, tiny_graphs.one_box(8, 12, 6, 6))
    answer = Engine.open((root,), "cpu").segment(picture(square(10, 20, 12)), Request())
    assert answer.result.stages[0].regions[0].region == Region(10, 18, 22, 30)


def test_a_map_pipeline_from_files(root: Path) -> None:
    def with_depth(raw: Raw) -> None:
        depth = {**raw["stages"][0], "name": "depth", "kind": "map", "labels": []}
        del depth["decode"]
        lesion = {**raw["stages"][1], "on": "image", "with": ["depth"]}
        raw["stages"] = [depth, lesion]

    edited(tiny(root), with_depth)
    with_weights(tiny(root), 0, tiny_graphs.threshold())
    with pytest.raises(WeightsError, match=r"inputs \{'image': \(1, 32, 32\)\}.*wanted \{'image': \(2, 32, 32\)\}"):
        Engine.open((root,), "cpu")
    content = tiny_graphs.last_channel(32, 2)
    with_weights(tiny(root), 1, content)
    # Both stages' files are called the same here; the map's is written anew.
    (tiny(root) / "depth.onnx").write_bytes(tiny_graphs.threshold())
    digest = hashlib.sha256(tiny_graphs.threshold()).hexdigest()
    edited(tiny(root), lambda raw: raw["stages"][0]["weights"]["network"].update(file="depth.onnx", sha256=digest))
    answer = Engine.open((root,), "cpu").segment(picture(square(8, 8, 32)), Request())
    # The lesion is where the map is above a half, and the map is -10 or 10.
    np.testing.assert_array_equal(answer.result.mask.labels[0], square(8, 8, 32) > 0)


def prompting(root: Path, decoder: bytes) -> None:
    """The segmenter becomes a prompt stage of an encoder and a decoder."""
    files = {"encoder": tiny_graphs.encoder(), "decoder": decoder}
    block: Raw = {}
    for role, content in files.items():
        (tiny(root) / f"{role}.onnx").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        block[role] = {"file": f"{role}.onnx", "sha256": digest, "licence": "none"}
    edited(tiny(root), lambda raw: raw["stages"][1].update(kind="prompt", weights=block))


def test_a_prompt_pipeline_from_files(root: Path) -> None:
    prompting(root, tiny_graphs.decoder())
    engine = Engine.open((root,), "cpu")
    image = picture(square(8, 8, 16))
    first, second = (engine.segment(image, Request()) for _ in range(2))
    assert first.result.status == "found"
    assert [answer.result.stages[1].network_runs for answer in (first, second)] == [2, 1]
    np.testing.assert_array_equal(first.result.mask.labels, second.result.mask.labels)


def test_a_decoder_that_does_not_fit_its_encoder(root: Path) -> None:
    prompting(root, tiny_graphs.decoder(64))
    with pytest.raises(
        WeightsError, match=r"decoder\.onnx: inputs .*\(1, 32, 32\).*wanted \{'boxes': \(1, 4\), 'embedding'"
    ):
        Engine.open((root,), "cpu")


def test_a_prompt_pipeline_of_points_from_files(root: Path) -> None:
    prompting(root, tiny_graphs.pointer())
    engine = Engine.open((root,), "cpu")
    two = np.maximum(square(8, 8, 16), square(40, 40, 16))
    parameters = read_parameters([("points", "48,48,1"), ("points", "41,41,0")])
    result = engine.segment(picture(two), parameters.request()).result
    assert [stage.localisation for stage in result.stages] == ["given"] * 3
    # The classifier looks at what the points were answered with, not at what nobody localised.
    assert Region(38, 38, 58, 58).overlap(result.stages[2].regions[0].region) == result.stages[2].regions[0].region
    assert result.mask.labels[0, 52, 52] == 1
    assert not result.mask.labels[0, 42, 42]
    assert not result.mask.labels[0, :32].any()


def test_a_decoder_of_points_needs_places_for_a_box_and_a_point(root: Path) -> None:
    prompting(root, tiny_graphs.pointer(places=2))
    with pytest.raises(WeightsError, match=r"'points': \(2, 2\).*wanted \{'points': \(3, 2\), 'labels': \(3,\)"):
        Engine.open((root,), "cpu")
