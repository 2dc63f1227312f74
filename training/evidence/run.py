"""Measure a pipeline version again, as its `plan_of` says, from its ONNX files through the service's engine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.manifest import Manifest
from training.datasets.case import Case
from training.datasets.exam import Exam
from training.evaluate import Bench, Row, parts_of
from training.evidence.files import Evidence, index_digest
from training.evidence.kinds import kind_of
from training.evidence.oddness import odd_plan
from training.evidence.plan import Measured, plan_of
from training.recipe import Part, resolve

Subject = Case | Exam
SUFFIX = {
    "screenshots": ", simulated screenshots",
    "disturbed": ", disturbed",
    "oddness": ", check for unlike pictures",
}
KNOWN_BEFORE = ", patients that a stage learned from"


@dataclass(frozen=True)
class Sets:
    """Where data sets lie: one folder each in ``root``, or elsewhere as ``named`` says."""

    root: Path
    named: Mapping[str, Path] = field(default_factory=dict)

    def folder(self, name: str) -> Path:
        """Raises FileNotFoundError where it is not there."""
        path = self.named.get(name, self.root / name)
        if not path.is_dir():
            raise FileNotFoundError(
                f"Found no folder {path}; wanted the data set {name}. Put it there or pass --folder {name}=DIR."
            )
        return path


def measure(folder: Path, sets: Sets, *, stress: bool = False, limit: int | None = None) -> Evidence:
    """Everything that is measured of the pipeline version in ``folder``.

    ``stress`` adds disturbed pictures of lesion cascades; ``limit`` takes the first pictures of each part alone.
    Raises FileNotFoundError without a data set, ValueError where nothing can be measured, and the SetupError tree.
    """
    bench, evidence = Bench.open(folder), Evidence()
    plan = plan_of(bench.pipeline.manifest)
    _check_names(plan)
    for measured in (*plan, *(_disturbed(plan) if stress else ()), *odd_plan(bench.pipeline.manifest)):
        with tempfile.TemporaryDirectory() as drawn:
            root = _root(measured, sets, Path(drawn))
            on, subjects = subjects_of(bench.pipeline.manifest, measured, root)
            rows = kind_of(measured.kind).measure(bench, subjects[:limit], measured)
            _keep(evidence, measured, on, rows, root)
    return _parted(evidence, bench.pipeline.manifest, plan, sets)


def _check_names(plan: Iterable[Measured]) -> None:
    for measured in plan:
        kind_of(measured.kind)


def _disturbed(plan: Sequence[Measured]) -> list[Measured]:
    return [one.model_copy(update={"kind": "disturbed"}) for one in plan if one.kind == "lesions"]


def _root(measured: Measured, sets: Sets, drawn: Path) -> Path:
    if measured.drawn is None:
        return sets.folder(measured.place)
    seeds = range(measured.drawn.first, measured.drawn.first + measured.drawn.number)
    writer = Part(path=measured.drawn.writer, arguments=measured.drawn.arguments)
    folder: Path = resolve(writer)(drawn, seeds, **writer.arguments)
    return folder


def subjects_of(manifest: Manifest, measured: Measured, root: Path) -> tuple[str, Sequence[Subject]]:
    """What the pictures are called, and the cases or exams. Raises ValueError where there are none."""
    suffix = SUFFIX.get(measured.kind, "")
    if measured.part == "test":
        name, split = parts_of(manifest, root, measured.dataset)
        subjects: Sequence[Subject] = split.test
    else:
        name = f"{measured.dataset.path.split('.')[-2].upper()}, all pictures"
        subjects = resolve(measured.dataset)(root, **measured.dataset.arguments)
    if not subjects:
        raise ValueError(f"Found no case in {name}; wanted at least one. Check the data set and the test fold.")
    return f"{measured.on or name}{suffix}", subjects


def _keep(evidence: Evidence, measured: Measured, on: str, rows: Sequence[Row], root: Path) -> None:
    if on in evidence.scores:
        raise ValueError(f"Found two measurements on {on}; wanted one name each. Give them an `on` of their own.")
    about: dict[str, Any] = {"kind": measured.kind, "dataset": measured.dataset.path, "folder": measured.place}
    if measured.drawn is None:
        about["index"] = index_digest(root)
    evidence.add(on, rows, about)


def _parted(evidence: Evidence, manifest: Manifest, plan: Sequence[Measured], sets: Sets) -> Evidence:
    """Pictures of further sets whose patients a stage learned from are told apart from all others."""
    learned = _learned(manifest, plan, sets)
    parted = Evidence()
    further = {one.dataset.path for one in plan if one.part == "all"}
    for on, rows in evidence.scores.items():
        about = evidence.measured[on]
        apart = learned if about["dataset"] in further else set()
        for name, seen in ((on, False), (f"{on}{KNOWN_BEFORE}", True)):
            if some := [row for row in rows if (row["group"] in apart) == seen]:
                parted.add(name, some, about)
    return parted


def _learned(manifest: Manifest, plan: Sequence[Measured], sets: Sets) -> set[str]:
    found: set[str] = set()
    for measured in plan:
        if measured.part == "test" and measured.drawn is None:
            _, split = parts_of(manifest, sets.folder(measured.place), measured.dataset)
            found |= {case.group for case in (*split.train, *split.validation)}
    return found


def training_folders(manifest: Manifest, sets: Sets) -> dict[str, Path]:
    """The folder of each data set that stages learned from, by dotted path; of drawn ones, that called as their module.

    Raises FileNotFoundError where one is not there.
    """
    learned = {stage.training["dataset"]["path"] for stage in manifest.stages if "dataset" in stage.training}
    plan = [one for one in plan_of(manifest) if one.dataset.path in learned]
    return {one.dataset.path: sets.folder(_stored(one)) for one in plan}


def _stored(measured: Measured) -> str:
    return measured.dataset.path.split(".")[-2] if measured.drawn else measured.place
