"""Evidence files: ``<folder>/<pipeline>/<version>.json``, the rows behind a card and all that they depend on.

``weights`` {file: sha256}, ``software`` {name: version}, ``bootstrap`` {draws, seed}, ``measured`` {pictures: kind,
dataset, folder, index (sha256), number}, ``scores`` {pictures: rows}.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.manifest import Manifest, Metric
from service.provenance import software
from training.evidence.intervals import DRAWS, SEED
from training.evidence.kinds import kind_of

Row = dict[str, Any]
About = Mapping[str, Any]
INDEX = ("index.csv", "manifest.csv", "unified.csv", "box.csv")


@dataclass(frozen=True)
class Evidence:
    """What was measured: rows by what their pictures are called, and how they came to be."""

    scores: dict[str, list[Row]] = field(default_factory=dict)
    measured: dict[str, About] = field(default_factory=dict)

    def add(self, on: str, rows: Sequence[Row], about: About) -> None:
        """Rows of some pictures. ``about`` names the kind at least."""
        self.scores[on] = list(rows)
        self.measured[on] = {**about, "number": len({row["image"] for row in rows})}

    def figures(self) -> tuple[Metric, ...]:
        """Every figure that follows, by the names of the pictures."""
        pairs = ((on, kind_of(self.measured[on]["kind"])) for on in sorted(self.scores))
        return tuple(metric for on, kind in pairs for metric in kind.figures(self.scores[on], on))


def weights_of(manifest: Manifest) -> dict[str, str]:
    """File to sha256 of every stage."""
    return {one.file: one.sha256 for stage in manifest.stages for one in stage.weights.values()}


def evidence_path(folder: Path, manifest: Manifest) -> Path:
    """Where the evidence of a pipeline version lies."""
    return folder / manifest.name / f"{manifest.version}.json"


def write_evidence(path: Path, manifest: Manifest, evidence: Evidence) -> None:
    """Write all rows with the digests of what they were measured on."""
    content = {
        "pipeline": manifest.name,
        "version": manifest.version,
        "weights": weights_of(manifest),
        "software": {**software(), "python": platform.python_version()},
        "bootstrap": {"draws": DRAWS, "seed": SEED},
        "measured": evidence.measured,
        "scores": evidence.scores,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def read_evidence(path: Path, manifest: Manifest) -> Evidence:
    """The evidence of exactly this manifest's weights.

    Raises FileNotFoundError without the file, ValueError where it was measured on other files, by another bootstrap, or
    does not say how.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Found no {path}; wanted the scores behind the card. Run the command evidence.")
    content = json.loads(path.read_text(encoding="utf-8"))
    wanted = {"pipeline": manifest.name, "version": manifest.version, "weights": weights_of(manifest)}
    wanted["bootstrap"] = {"draws": DRAWS, "seed": SEED}
    for name, value in wanted.items():
        if content.get(name) != value:
            raise ValueError(f"Found {name} {content.get(name)} in {path}; wanted {value}. Run the command evidence.")
    if set(content["measured"]) != set(content["scores"]):
        raise ValueError(
            f"Found scores of {sorted(content['scores'])} in {path}, of which {sorted(content['measured'])} tell how "
            "they came to be; wanted all. Run the command evidence."
        )
    return Evidence(content["scores"], content["measured"])


def index_digest(folder: Path) -> str:
    """sha256 of a data set's table, or, where it has none, of the names and sizes of its files."""
    for path in (folder / name for name in INDEX):
        if path.is_file():
            return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    listed = "".join(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n" for path in files)
    return hashlib.sha256(listed.encode()).hexdigest()
