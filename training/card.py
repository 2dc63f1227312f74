"""The card beside a manifest: what was measured, on what, and what the pipeline is not for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from service.manifest import Evidence, Manifest, Metric, read_manifest
from training.evidence.files import evidence_path, read_evidence
from training.evidence.intervals import DRAWS, SEED

STAGES = "## Stages"
MEASURED = (
    f"Every figure was measured on exactly the files of this folder; intervals are 95 % bootstrap over images, or over "
    f"whole patients where the data set tells them apart ({DRAWS} draws, seed {SEED})."
)
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


def render(folder: Path, evidence: Path, limits: str | None = None) -> tuple[Metric, ...]:
    """Write the figures that follow from ``<evidence>/<pipeline>/<version>.json`` into manifest and card; the figures.

    ``limits`` None keeps how the present card ends. Raises FileNotFoundError without evidence, ValueError for evidence
    of other weights.
    """
    manifest = read_manifest(folder)
    figures = read_evidence(evidence_path(evidence, manifest), manifest).figures()
    present = (folder / "card.md").read_text(encoding="utf-8")
    publish(folder, manifest, figures, limits_in(present) if limits is None else limits)
    return figures


def limits_in(text: str) -> str:
    """What ends a card: all that stands below the table of its stages. Empty where it has no such table."""
    below = text.partition(f"\n{STAGES}\n")[2].lstrip("\n")
    lines = below.split("\n")
    rows = next((place for place, line in enumerate(lines) if not line.startswith("|")), len(lines))
    return "\n".join(lines[rows:]).strip() if rows else ""


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
    parts += [STAGES, _stages(manifest), limits.strip()]
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
