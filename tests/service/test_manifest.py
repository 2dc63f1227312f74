"""The pipeline's card: what is right is frozen, what is wrong is named by file, field, found and wanted."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from service.errors import ManifestError, WeightsError
from service.manifest import InputSpec, Manifest, Weights, Window, read_manifest, verified_weights
from tests import tiny_pipeline
from tests.fakes import manifest, spec

Raw = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_pipeline.write(tmp_path) / "tiny" / "1.0.0"


def changed(folder: Path, change: Callable[[Raw], object]) -> Path:
    """The folder with something else in its manifest."""
    path = folder / "manifest.yaml"
    raw = json.loads(json.dumps(yaml.safe_load(path.read_text())))  # blocks that were one and the same become several
    change(raw)
    path.write_text(yaml.safe_dump(raw))
    return folder


def test_a_right_manifest_is_read_and_frozen(folder: Path) -> None:
    card = read_manifest(folder)
    assert (card.name, card.version, card.modality) == ("tiny", "1.0.0", "US")
    assert [stage.name for stage in card.stages] == ["localise", "lesion", "classify"]
    found = card.stage("lesion")
    assert found is card.stages[1]
    assert card.stage("none") is None
    with pytest.raises(ValidationError, match="frozen"):
        card.name = "other"  # type: ignore[misc]


def stage(number: int) -> Callable[[Raw], Raw]:
    return lambda raw: raw["stages"][number]


WRONG: list[tuple[str, Callable[[Raw], object], str]] = [
    ("unknown field", lambda r: r.update(colour=1), r"field colour = 1; wanted Extra inputs are not permitted"),
    ("unknown field deep", lambda r: stage(1)(r)["input"].update(sise=1), r"field stages\.1\.input\.sise = 1"),
    ("missing field", lambda r: r.pop("title"), r"field title = .*; wanted Field required"),
    ("name", lambda r: r.update(name="Tiny!"), r"field name = 'Tiny!'; wanted String should match pattern"),
    ("version", lambda r: r.update(version="1.0"), r"field version = '1\.0'"),
    ("modality", lambda r: r.update(modality="CT"), r"field modality = 'CT'; wanted Input should be 'US', 'MG'"),
    ("evidence", lambda r: r["evidence"].update(level="good"), r"field evidence\.level = 'good'"),
    (
        "validated by nothing",
        lambda r: r["evidence"].update(level="validated", metrics=[]),
        r"field evidence = .*; wanted Value error, level validated needs metrics",
    ),
    (
        "label id",
        lambda r: r["labels"][0].update(id=0),
        r"field labels\.0\.id = 0; wanted .*greater than or equal to 1",
    ),
    ("label id", lambda r: r["labels"][0].update(id=256), r"field labels\.0\.id = 256"),
    ("no stages", lambda r: r.update(stages=[]), r"field stages = \[\]; wanted .*at least 1 item"),
    ("sha", lambda r: stage(0)(r)["weights"]["network"].update(sha256="ab"), r"weights\.network\.sha256 = 'ab'"),
    ("path", lambda r: stage(0)(r)["weights"]["network"].update(file="../a.onnx"), r"file = '\.\./a\.onnx'"),
    ("threshold", lambda r: stage(1)(r).update(threshold=1.5), r"field stages\.1\.threshold = 1\.5"),
    (
        "not finite",
        lambda r: stage(1)(r)["input"].update(mean=[float("nan")]),
        r"input\.mean\.0 = nan; wanted .*finite",
    ),
    ("size", lambda r: stage(1)(r)["input"].update(size=[32, 0]), r"field stages\.1\.input\.size\.1 = 0"),
    ("std", lambda r: stage(1)(r)["input"].update(std=[0]), r"field stages\.1\.input\.std\.0 = 0"),
    (
        "mean",
        lambda r: stage(1)(r)["input"].update(mean=[0, 0]),
        r"stages\.1\.input = .*mean has 2 values, wanted 1 or 1",
    ),
    ("volume", lambda r: stage(1)(r)["input"].update(slices="volume"), r"slices volume is not served yet: use each or"),
    ("even", lambda r: stage(1)(r)["input"].update(slices="stack:4"), r"slices stack:4 has no middle.*must be odd"),
    ("slices", lambda r: stage(1)(r)["input"].update(slices="stack:0"), r"field stages\.1\.input\.slices = 'stack:0'"),
    ("window", lambda r: stage(1)(r)["input"].update(window={"low": 9, "high": 9}), r"low < high, found 9\.0 and 9\.0"),
    ("window", lambda r: stage(1)(r)["input"].update(window={"low": -1}), r"percentiles from 0 to 100, found -1\.0"),
    ("window", lambda r: stage(1)(r)["input"].update(window={"high": 101}), r"percentiles from 0 to 100, found 1\.0"),
    (
        "no decode",
        lambda r: stage(0)(r).pop("decode"),
        r"field stages\.0 = .*stage localise detects and needs a decode",
    ),
    ("no labels", lambda r: stage(1)(r).update(labels=[]), r"stage lesion needs the labels of its output"),
    ("twice", lambda r: stage(1)(r).update(labels=["lesion"] * 2), r"stage lesion names a label twice"),
    ("on_miss", lambda r: stage(1)(r).pop("on_miss"), r"stage lesion looks at localise and needs on_miss"),
    (
        "roles",
        lambda r: stage(1)(r).update(kind="prompt"),
        r"needs weights for \['decoder', 'encoder'\], found \['network'\]",
    ),
    ("same name", lambda r: stage(1)(r).update(name="localise"), r"stage name localise is used twice or reserved"),
    ("reserved", lambda r: stage(0)(r).update(name="image"), r"stage name image is used twice or reserved"),
    (
        "on",
        lambda r: stage(1)(r).update(on="other"),
        r"stage lesion looks at other, which is no earlier detect, segment or",
    ),
    ("on itself", lambda r: stage(1)(r).update(on="lesion"), r"stage lesion looks at lesion, which is no earlier"),
    ("label", lambda r: stage(1)(r).update(label="fat"), r"stage lesion wants label fat, which localise does not give"),
    ("with", lambda r: stage(1)(r).update({"with": ["localise"]}), r"wants localise, which is no earlier map stage"),
    ("undeclared", lambda r: r["labels"][0].update(name="other"), r"stage lesion gives labels .*not declared"),
    ("labels", lambda r: r["labels"].append(r["labels"][0]), r"labels need different names and ids"),
    (
        "no mask",
        lambda r: r["stages"].__delitem__(slice(1, 3)),
        r"at least one that makes a mask \(segment or prompt\)",
    ),
]


@pytest.mark.parametrize(("case", "change", "message"), WRONG)
def test_what_is_wrong_is_named(folder: Path, case: str, change: Callable[[Raw], object], message: str) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        read_manifest(changed(folder, change))
    assert str(folder / "manifest.yaml") in caught.value.found, case
    assert caught.value.remedy == "Mend this field of the manifest."


def test_a_stage_cannot_look_at_scores() -> None:
    chain = [spec("class", "classify", labels=("benign",)), spec("lesion")]
    with pytest.raises(ValidationError, match="which is no earlier detect, segment or prompt stage"):
        manifest([*chain, spec("late", on="class")])


@pytest.mark.parametrize("content", ["", "- a list\n", "just text\n"])
def test_a_file_without_fields(folder: Path, content: str) -> None:
    (folder / "manifest.yaml").write_text(content)
    with pytest.raises(ManifestError, match="field the manifest = .*; wanted Input should be a valid dictionary"):
        read_manifest(folder)


@pytest.mark.parametrize("content", [b"stages: [", b"\xff\xfe\x00", b"a: &x [*x"])
def test_a_file_that_is_no_yaml(folder: Path, content: bytes) -> None:
    (folder / "manifest.yaml").write_bytes(content)
    with pytest.raises(ManifestError, match=r"manifest\.yaml: .*; wanted a readable YAML file\. Restore the file"):
        read_manifest(folder)


def test_a_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"manifest\.yaml: .*No such file.*; wanted a readable YAML file"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("change", [{"name": "other"}, {"version": "1.0.1"}])
def test_folders_are_called_as_the_manifest_says(folder: Path, change: dict[str, str]) -> None:
    with pytest.raises(ManifestError, match=r"wanted tiny and 1\.0\.0, as the folders are called\. Rename the folders"):
        read_manifest(changed(folder, lambda raw: raw.update(change)))


def weights(content: bytes) -> Weights:
    return Weights(file="a.onnx", sha256=hashlib.sha256(content).hexdigest(), licence="none")


def test_weights_of_the_right_digest_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"right")
    assert verified_weights(tmp_path, weights(b"right")) == b"right"


def test_altered_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"wrong")
    found, wanted = (hashlib.sha256(content).hexdigest() for content in (b"wrong", b"right"))
    with pytest.raises(WeightsError, match=rf"a\.onnx: sha256 {found}; wanted {wanted}\. Restore the file"):
        verified_weights(tmp_path, weights(b"right"))


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"a\.onnx: no readable file; wanted a file with sha256 [0-9a-f]{64}\. Restore"
    ):
        verified_weights(tmp_path, weights(b"right"))


def test_defaults_are_those_of_the_documentation() -> None:
    block = InputSpec(size=(8, 8))
    assert (block.channels, block.slices, block.letterbox, block.enhance) == (1, "each", False, "none")
    assert block.window == Window(kind="percentile", low=1, high=99, ignore_zero=False)


def test_a_manifest_survives_json(folder: Path) -> None:
    card = read_manifest(folder)
    assert Manifest.model_validate_json(card.model_dump_json(by_alias=True)) == card
