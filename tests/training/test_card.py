"""The card and the evidence: what was measured, on which files, in words and in numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.engine import Engine
from service.manifest import Manifest, Metric, read_manifest
from tests import tiny_pipeline
from training.card import card, interval, limits_in, publish, render, write_manifest
from training.evidence.files import Evidence, evidence_path, write_evidence

METRICS = (
    Metric(name="lesion Dice, cascade", value=0.8125, interval=(0.7, 0.9), on="squares fold 0", n=12),
    Metric(name="localiser recall at IoU 0.5", value=1.0, on="squares fold 0", n=12),
    Metric(name="lesion Dice, cascade", value=0.5, interval=(0.25, 0.75), on="simulated screenshots", n=11),
)
LIMITS = "## Limits\n\n* Squares only.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_pipeline.write(tmp_path) / tiny_pipeline.NAME / tiny_pipeline.VERSION


@pytest.fixture
def manifest(folder: Path) -> Manifest:
    return read_manifest(folder)


def test_published_figures_are_read_back_and_nothing_else_changes(folder: Path, manifest: Manifest) -> None:
    publish(folder, manifest, METRICS, LIMITS)
    read = read_manifest(folder)
    assert read.evidence.metrics == METRICS
    assert read.model_copy(update={"evidence": manifest.evidence}) == manifest
    (loaded,) = Engine.open([folder.parents[1]], "cpu", 1).pipelines()
    assert loaded.manifest == read
    assert loaded.card == card(read, LIMITS)


def test_publishing_again_replaces_the_figures(folder: Path, manifest: Manifest) -> None:
    publish(folder, manifest, METRICS, LIMITS)
    publish(folder, read_manifest(folder), METRICS[:1], LIMITS)
    assert read_manifest(folder).evidence.metrics == METRICS[:1]


def test_figures_cannot_be_taken_from_what_is_called_validated(folder: Path, manifest: Manifest) -> None:
    evidence = manifest.evidence.model_copy(update={"level": "validated", "metrics": METRICS})
    before = (folder / "manifest.yaml").read_bytes()
    with pytest.raises(ValueError, match="level validated needs metrics"):
        publish(folder, manifest.model_copy(update={"evidence": evidence}), (), LIMITS)
    assert (folder / "manifest.yaml").read_bytes() == before


def test_a_manifest_written_says_only_what_is_not_the_default(folder: Path, manifest: Manifest) -> None:
    write_manifest(manifest, folder)
    assert read_manifest(folder) == manifest
    text = (folder / "manifest.yaml").read_text(encoding="utf-8")
    assert "letterbox" not in text
    assert text.startswith("name: tiny\nversion: 1.0.0\n")


def test_the_card_has_a_row_for_every_figure_under_what_it_was_measured_on(manifest: Manifest) -> None:
    evidence = manifest.evidence.model_copy(update={"metrics": METRICS})
    text = card(manifest.model_copy(update={"evidence": evidence}), LIMITS)
    on_squares, on_screenshots = text.index("### Squares fold 0"), text.index("### Simulated screenshots")
    rows = [
        "| lesion Dice, cascade | 0.812 | 0.700 to 0.900 | 12 |",
        "| localiser recall at IoU 0.5 | 1.000 | not known | 12 |",
        "| lesion Dice, cascade | 0.500 | 0.250 to 0.750 | 11 |",
    ]
    assert on_squares < text.index(rows[0]) < text.index(rows[1]) < on_screenshots < text.index(rows[2])
    assert "nan" not in text
    assert "exactly the files of this folder" in text
    assert text.endswith("* Squares only.\n")


def test_the_card_names_data_use_stages_and_licences(manifest: Manifest) -> None:
    text = card(manifest, LIMITS)
    assert text.startswith("# Bright squares (tiny 1.0.0)\n\nTests of the service.\n")
    assert "Licence of the data: none." in text
    for stage in manifest.stages:
        assert f"| {stage.name} | {stage.kind} | see manifest | 32 x 32 | Apache-2.0 |" in text


def test_a_card_without_figures_claims_none(manifest: Manifest) -> None:
    text = card(manifest, "")
    assert "Nothing was measured yet" in text
    assert "exactly the files" not in text
    assert "\n\n\n" not in text


def test_an_interval_is_told_in_words() -> None:
    assert [interval(metric) for metric in METRICS] == ["0.700 to 0.900", "not known", "0.250 to 0.750"]


def test_what_ends_a_card_is_found_again(manifest: Manifest) -> None:
    assert limits_in(card(manifest, LIMITS)) == LIMITS.strip()
    assert limits_in(card(manifest, "")) == ""
    assert limits_in("# Tiny\n\nBrighter than half is the lesion.\n") == ""


def test_a_card_is_rendered_from_evidence_and_rendered_again_without_change(folder: Path, manifest: Manifest) -> None:
    (folder / "card.md").write_text(card(manifest, LIMITS), encoding="utf-8")
    evidence = Evidence()
    row = {"image": "one", "group": "one", "status": "found", "truth": True, "dice": 0.75, "iou": 0.6}
    evidence.add("squares", [row, row | {"image": "two", "group": "two", "dice": 0.25}], {"kind": "masks"})
    write_evidence(evidence_path(folder / "evidence", manifest), manifest, evidence)
    figures = render(folder, folder / "evidence")
    assert (figures[0].name, figures[0].value, figures[0].n) == ("lesion Dice", 0.5, 2)
    assert read_manifest(folder).evidence.metrics == figures
    written = {name: (folder / name).read_bytes() for name in ("card.md", "manifest.yaml")}
    assert written["card.md"].decode().endswith(LIMITS)
    assert render(folder, folder / "evidence") == figures
    assert {name: (folder / name).read_bytes() for name in written} == written
    render(folder, folder / "evidence", "## Limits\n\nOthers.\n")
    assert (folder / "card.md").read_text(encoding="utf-8").endswith("## Limits\n\nOthers.\n")
