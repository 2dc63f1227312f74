"""Pipelines from folders: which is used, what is refused, what an answer carries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from service import loading
from service.engine import Engine, Request
from service.errors import BadParameter, UnknownPipeline, UnusableImage, WeightsError
from service.image import Region
from service.network import BATCH, CUDA, Device
from service.provenance import software
from service.source import Flag
from tests import tiny_pipeline
from tests.fakes import picture, square
from tests.service.pipelines import copied, tiny


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tiny_pipeline.write(tmp_path / "bundled")


@pytest.fixture
def engine(root: Path) -> Engine:
    return Engine.open((root,), "cpu")


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
    assert answer.measurements == ()
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
