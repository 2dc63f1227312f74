"""Pipelines from folders: which is used, what is refused, what an answer carries."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import yaml

from service import loading
from service.answers.parameters import read_parameters
from service.engine import Engine, Request, software
from service.errors import BadParameter, DeviceError, ManifestError, UnknownPipeline, UnusableImage, WeightsError
from service.image import Region
from service.network import BATCH, CUDA, Device, onnxruntime
from service.source import Flag
from tests import tiny_graphs, tiny_pipeline
from tests.fakes import picture, square

Raw = dict[str, Any]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tiny_pipeline.write(tmp_path / "bundled")


@pytest.fixture
def engine(root: Path) -> Engine:
    return Engine.open((root,), "cpu")


def edited(folder: Path, change: Callable[[Raw], object]) -> None:
    """Change the manifest of a pipeline's folder."""
    path = folder / "manifest.yaml"
    raw = yaml.safe_load(path.read_text())
    change(raw)
    path.write_text(yaml.safe_dump(raw))


def copied(source: Path, target: Path, **fields: Any) -> None:
    """The same pipeline under another name, version or modality."""
    shutil.copytree(source, target)
    edited(target, lambda raw: raw.update(name=target.parent.name, version=target.name, **fields))


def with_weights(folder: Path, stage: int, content: bytes) -> None:
    """Give a stage another network, with the digest that belongs to it."""
    (folder / "other.onnx").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    block = {"network": {"file": "other.onnx", "sha256": digest, "licence": "none"}}
    edited(folder, lambda raw: raw["stages"][stage].update(weights=block))


def tiny(root: Path) -> Path:
    return root / "tiny" / "1.0.0"


def test_an_answer_carries_everything(engine: Engine) -> None:
    image = picture(
        square(10, 20, 12), notes=("grey",), modality="US", spacing=(None, 0.5, 0.25), spacing_source="user"
    )
    answer = engine.segment(image, Request())
    assert answer.image is image
    assert answer.manifest.name == "tiny"
    assert (answer.result.status, answer.flags) == ("found", ())
    (finding,) = answer.findings
    assert (finding.box, finding.area_px, finding.area_mm2) == ((10, 20, 22, 32), 144, 18)
    assert finding.score is not None
    assert finding.score > 0.99
    assert answer.timings_ms["stages"] > 0
    assert answer.measurements == {}
    weights = answer.provenance["weights"]
    assert isinstance(weights, dict)
    assert set(weights) == {"localise.onnx", "segment.onnx", "classify.onnx"}
    assert all(len(digest) == 64 for digest in weights.values())
    assert answer.provenance["provider"] == "CPUExecutionProvider"
    preprocessing = answer.provenance["preprocessing"]
    assert isinstance(preprocessing, dict)
    assert preprocessing["decoding"] == ["grey"]
    assert preprocessing["stages"]["lesion"]["size"] == [32, 32]


def test_request_reaches_the_cascade(engine: Engine) -> None:
    image = picture(square(10, 20, 12))
    given = engine.segment(image, Request(boxes=(Region(40, 40, 60, 60),), threshold=0.9, stage="lesion"))
    assert given.result.status == "none_found"
    assert given.result.stages[0].localisation == "given"
    with pytest.raises(BadParameter, match="Found threshold=2"):
        engine.segment(image, Request(threshold=2))


def test_software_names_what_can_change_a_result() -> None:
    assert {"breast-cascade", "onnxruntime", "numpy", "opencv-python-headless"} <= set(software())
    assert "celery" not in software()


def test_the_highest_version_is_the_default_and_others_can_be_had(root: Path) -> None:
    for version in ("1.9.0", "1.10.0"):
        copied(tiny(root), root / "tiny" / version)
    engine = Engine.open((root,), "cpu")
    loaded = engine.pipelines()
    assert [one.manifest.version for one in loaded if one.default] == ["1.10.0"]
    assert len(loaded) == 3
    assert engine.pipeline("tiny").manifest.version == "1.10.0"
    assert engine.pipeline("tiny", "1.9.0").manifest.version == "1.9.0"
    assert engine.segment(picture(square(0, 0, 9)), Request(version="1.0.0")).manifest.version == "1.0.0"


def test_the_users_folder_wins(root: Path, tmp_path: Path) -> None:
    copied(tiny(root), tmp_path / "own" / "tiny" / "1.0.0", title="My own")
    copied(tiny(root), tmp_path / "own" / "mine" / "0.1.0")
    engine = Engine.open((root, tmp_path / "own"), "cpu")
    assert engine.pipeline("tiny").manifest.title == "My own"
    assert [one.manifest.name for one in engine.pipelines()] == ["mine", "tiny"]


@pytest.mark.parametrize(("name", "version"), [("other", None), ("tiny", "9.9.9"), ("", None)])
def test_an_unknown_pipeline_or_version(engine: Engine, name: str, version: str | None) -> None:
    with pytest.raises(UnknownPipeline, match=rf"Found pipeline '{name}.*; wanted one of: tiny 1\.0\.0\. See GET"):
        engine.pipeline(name, version)
    with pytest.raises(UnknownPipeline):
        engine.segment(picture(square(0, 0, 9)), Request(pipeline=name, version=version))


@pytest.fixture
def two(root: Path) -> Engine:
    """Ultrasound and mammography."""
    copied(tiny(root), root / "mammo" / "1.0.0", modality="MG")
    return Engine.open((root,), "cpu")


@pytest.mark.parametrize(("modality", "name"), [("US", "tiny"), ("MG", "mammo")])
def test_the_modality_decides(two: Engine, modality: str, name: str) -> None:
    assert two.chosen(picture(square(0, 0, 9), modality=modality), Request()).manifest.name == name


@pytest.mark.parametrize("modality", [None, "OT", "SC"])
def test_where_nothing_decides_the_pipeline_must_be_named(two: Engine, modality: str | None) -> None:
    image = picture(square(0, 0, 9), modality=modality)
    with pytest.raises(BadParameter, match="Found no pipeline; wanted one of: mammo, tiny. Name the pipeline"):
        two.chosen(image, Request())
    assert two.chosen(image, Request(pipeline="mammo")).manifest.name == "mammo"


@pytest.mark.parametrize("name", [None, "tiny", "mammo"])
def test_an_image_of_another_modality_is_refused(two: Engine, name: str | None) -> None:
    with pytest.raises(UnusableImage, match=r"Found an image of modality CT; wanted one of .*(US|MG)") as caught:
        two.chosen(picture(square(0, 0, 9), modality="CT"), Request(pipeline=name))
    assert caught.value.code == "wrong_modality"


def test_a_digitised_film_fits_mammography(two: Engine) -> None:
    image = picture(square(0, 0, 9), modality="CR")
    assert two.chosen(image, Request(pipeline="mammo")).manifest.name == "mammo"


def test_raw_values_are_wanted_where_the_manifest_says_so(root: Path) -> None:
    copied(tiny(root), root / "mammo" / "1.0.0", modality="MG", voxels="raw")
    engine = Engine.open((root,), "cpu")
    assert engine.raw_modalities(Request()) == {"MG", "CR", "DX", "RG"}
    assert engine.raw_modalities(Request(pipeline="tiny")) == set()
    assert engine.raw_modalities(Request(pipeline="mammo")) >= {"MG", "OT", None}


def test_flags_of_the_source_come_first(engine: Engine) -> None:
    image = replace(picture(square(0, 0, 9)), flags=(Flag("lossy", "Compressed with loss."),))
    assert engine.segment(image, Request()).flags[0].code == "lossy"


def test_the_only_pipeline_needs_no_name(engine: Engine) -> None:
    assert engine.chosen(picture(square(0, 0, 9)), Request()).manifest.name == "tiny"


def test_the_provider_is_what_sessions_report(engine: Engine) -> None:
    assert engine.provider == engine.pipeline("tiny").provider == "CPUExecutionProvider"
    files = ("localise.onnx", "segment.onnx", "classify.onnx")
    assert engine.pipeline("tiny").providers == dict.fromkeys(files, "CPUExecutionProvider")


def test_sessions_that_run_on_different_devices_are_all_told(engine: Engine) -> None:
    (tiny,) = engine.pipelines()
    mixed = Engine((tiny, replace(tiny, providers={"a.onnx": CUDA, "b.onnx": "CPUExecutionProvider"})))
    assert tiny.provider == "CPUExecutionProvider"
    assert mixed.provider == mixed.loaded[1].provider == "CPUExecutionProvider, CUDAExecutionProvider"


class OnGpu(loading.OnnxNetwork):
    """Says that it runs on a GPU, which has room for ``room`` examples and is thought to have it for 32."""

    warmed: ClassVar[list[int]] = []
    room: ClassVar[int] = 64

    def __init__(self, content: bytes, name: str, device: Device) -> None:
        super().__init__(content, name, device)
        self.provider, self.batch = CUDA, 32

    def warm(self, batch: int) -> dict[str, Any]:
        self.warmed.append(batch)
        if batch > self.room:
            raise WeightsError("no memory", "more of it", "Buy some.")
        return super().warm(batch)


@pytest.mark.parametrize(
    ("room", "tried", "batch"), [(64, [32], 32), (31, [32, 16], 16), (15, [32, 16], 8), (8, [32, 16], 8)]
)
def test_on_a_gpu_every_batch_size_is_warmed_the_largest_first(
    root: Path, room: int, tried: list[int], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "OnnxNetwork", OnGpu)
    monkeypatch.setattr(OnGpu, "warmed", [])
    monkeypatch.setattr(OnGpu, "room", room)
    engine = Engine.open((root,), "cpu")
    assert engine.provider == CUDA
    assert OnGpu.warmed == [*tried, *range(BATCH, 0, -1), 2] * 3
    assert {stage.network.batch for stage in engine.pipeline("tiny").cascade.stages} == {batch}  # type: ignore[union-attr]


def test_a_gpu_without_room_for_the_least_stops_the_start(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "OnnxNetwork", OnGpu)
    monkeypatch.setattr(OnGpu, "room", 7)
    with pytest.raises(WeightsError, match="Found no memory"):
        Engine.open((root,), "cpu")


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
