"""What the shipped cards claim is what the evidence beside them holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from service.engine import BUNDLED
from service.manifest import read_manifest

ROOT = Path(__file__).parents[1]
FOLDERS = sorted(path.parent for path in BUNDLED.glob("*/*/manifest.yaml"))


def evidence_of(folder: Path) -> dict[str, Any]:
    path = ROOT / "evidence" / folder.parent.name / f"{folder.name}.json"
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_the_evidence_was_measured_on_exactly_the_shipped_files(folder: Path) -> None:
    shipped = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.onnx")}
    assert shipped
    assert evidence_of(folder)["weights"] == shipped


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_every_figure_follows_from_the_scores(folder: Path) -> None:
    evaluate = pytest.importorskip("training.evaluate", reason="needs the training extra")
    claimed = read_manifest(folder).evidence.metrics
    scores = evidence_of(folder)["scores"]
    assert claimed
    assert claimed == tuple(one for on, rows in scores.items() for one in evaluate.metrics(rows, on))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_the_card_shows_every_figure(folder: Path) -> None:
    card = (folder / "card.md").read_text()
    for metric in read_manifest(folder).evidence.metrics:
        assert f"| {metric.name} | {metric.value:.3f} |" in card


def test_ultrasound_draws_a_false_lesion_on_at_most_four_of_the_held_out_normals() -> None:
    rows = evidence_of(BUNDLED / "ultrasound" / "1.0.0")["scores"]["BUSI fold 0"]
    normals = [row for row in rows if row["category"] == "normal"]
    assert len(normals) == 21
    assert sum(row["status"] == "found" for row in normals) <= 4


def test_the_readme_holds_no_gap_and_no_dead_link() -> None:
    text = (ROOT / "README.md").read_text()
    assert "@@" not in text
    links = [part.split(")")[0] for part in text.split("](")[1:]]
    assert links
    for link in links:
        assert link.startswith("http") or (ROOT / link).exists(), link
