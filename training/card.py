"""The card beside a manifest: what was measured, on what, and what the pipeline is not for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from service.manifest import Evidence, Manifest, Metric

Row = dict[str, Any]
MEASURED = "Every figure was measured on exactly the files of this folder; intervals are 95 % bootstrap over images."
NOT_MEASURED = "Nothing was measured yet: do not rely on this version."


def publish(folder: Path, manifest: Manifest, measured: Sequence[Metric], limits: str) -> None:
    """Write the measured figures into ``manifest.yaml`` and ``card.md`` of a pipeline folder.

    ``limits`` is Markdown that ends the card. Raises ValueError for evidence called validated without figures.
    """
    evidence = Evidence.model_validate(manifest.evidence.model_dump() | {"metrics": tuple(measured)})
    manifest = manifest.model_copy(update={"evidence": evidence})
    write_manifest(manifest, folder)
    (folder / "card.md").write_text(card(manifest, limits), encoding="utf-8")


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write ``manifest.yaml``; fields at their default are left out."""
    content = manifest.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    (folder / "manifest.yaml").write_text(text, encoding="utf-8")


def write_evidence(path: Path, manifest: Manifest, rows: Mapping[str, Sequence[Row]]) -> None:
    """Per-image scores by part, with the digests of the weights they were measured on, as JSON."""
    weights = {one.file: one.sha256 for stage in manifest.stages for one in stage.weights.values()}
    content = {"pipeline": manifest.name, "version": manifest.version, "weights": weights, "scores": dict(rows)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def card(manifest: Manifest, limits: str) -> str:
    """The card as Markdown."""
    evidence = manifest.evidence
    measured = MEASURED if evidence.metrics else NOT_MEASURED
    parts = [
        f"# {manifest.title} ({manifest.name} {manifest.version})",
        manifest.intended_use,
        "## Data",
        f"{evidence.data}. Licence of the data: {evidence.data_licence}.",
        "## Measured",
        measured,
    ]
    for on in dict.fromkeys(metric.on for metric in evidence.metrics):
        parts += [f"### {on[0].upper()}{on[1:]}", _table([metric for metric in evidence.metrics if metric.on == on])]
    parts += ["## Stages", _stages(manifest), limits.strip()]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(metrics: Sequence[Metric]) -> str:
    rows = ["| figure | value | 95 % interval | n |", "|---|---|---|---|"]
    for metric in metrics:
        rows.append(f"| {metric.name} | {metric.value:.3f} | {interval(metric)} | {metric.n} |")
    return "\n".join(rows)


def interval(metric: Metric) -> str:
    """The 95 % interval in words."""
    return "not known" if metric.interval is None else "{:.3f} to {:.3f}".format(*metric.interval)


def _stages(manifest: Manifest) -> str:
    rows = ["| stage | kind | network | input | licence of the weights |", "|---|---|---|---|---|"]
    for stage in manifest.stages:
        network = stage.training.get("network", {}).get("path", "see manifest")
        height, width = stage.input.size
        licence = next(iter(stage.weights.values())).licence
        rows.append(f"| {stage.name} | {stage.kind} | {network} | {height} x {width} | {licence} |")
    return "\n".join(rows)
