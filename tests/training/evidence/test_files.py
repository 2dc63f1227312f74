"""Evidence files: read for the weights that they were measured on, and for no others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.manifest import Manifest, read_manifest
from tests import tiny_pipeline
from training.evidence.files import Evidence, evidence_path, index_digest, read_evidence, weights_of, write_evidence

ROW = {"image": "one", "group": "one", "status": "found", "truth": True, "dice": 0.75, "iou": 0.6}


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return read_manifest(tiny_pipeline.write(tmp_path) / tiny_pipeline.NAME / tiny_pipeline.VERSION)


@pytest.fixture
def path(tmp_path: Path, manifest: Manifest) -> Path:
    evidence = Evidence()
    evidence.add("squares", [ROW], {"kind": "masks", "folder": "squares"})
    path = evidence_path(tmp_path / "evidence", manifest)
    write_evidence(path, manifest, evidence)
    return path


def test_what_is_written_is_read_back_with_its_figures(path: Path, manifest: Manifest) -> None:
    read = read_evidence(path, manifest)
    assert read.scores == {"squares": [ROW]}
    assert read.measured["squares"] == {"kind": "masks", "folder": "squares", "number": 1}
    assert next((one.name, one.value, one.on) for one in read.figures()) == ("lesion Dice", 0.75, "squares")
    content = json.loads(path.read_text())
    assert content["weights"] == weights_of(manifest)
    assert content["bootstrap"] == {"draws": 2000, "seed": 0}
    assert {"python", "numpy", "onnxruntime"} <= content["software"].keys()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": {}}, "Found weights {} in .*; wanted .*localise.onnx"),
        ({"version": "2.0.0"}, "Found version 2.0.0 in .*; wanted 1.0.0"),
        ({"bootstrap": {"draws": 10, "seed": 0}}, "Found bootstrap .*10"),
        ({"measured": {}}, "Found scores of .*squares.*; wanted all"),
    ],
)
def test_evidence_of_something_else_is_refused(
    path: Path, manifest: Manifest, change: dict[str, Any], words: str
) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=words):
        read_evidence(path, manifest)


def test_a_version_without_evidence_is_told(tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(FileNotFoundError, match=r"Found no .*1\.0\.0\.json; wanted the scores behind the card"):
        read_evidence(tmp_path / "1.0.0.json", manifest)


def test_the_index_of_a_data_set_is_its_table_or_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"12")
    bare = index_digest(tmp_path)
    (tmp_path / "b.png").write_bytes(b"3")
    listed = index_digest(tmp_path)
    (tmp_path / "index.csv").write_text("image\na.png\n")
    tabled = index_digest(tmp_path)
    (tmp_path / "c.png").write_bytes(b"4")
    assert len({bare, listed, tabled}) == 3
    assert index_digest(tmp_path) == tabled
