"""A stage that localises, run by the service's own code: its boxes on cases, for the stages behind it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from service.canvas import decide
from service.engine import Engine
from service.frame import Frame
from service.image import Image, Region
from service.manifest import Edge, StageSpec
from service.mirror import mirrored_image, mirrored_region
from service.network import Device, OnnxNetwork
from service.side import side_of
from service.stages import Detect, Segment, Stage, build_stage
from training.datasets.case import Case
from training.export import digest
from training.regions import lesion_boxes
from training.samples import in_channels

Found = dict[str, tuple[Region, ...]]


def open_stage(block: dict[str, Any], graph: Path, threads: int = 1) -> Stage:
    """A stage from a manifest's block and the ONNX file of its network, whatever weights the block names.

    Raises pydantic's ValidationError for a block that is none and the SetupError tree for the file.
    """
    weights = {"file": graph.name, "sha256": digest(graph), "licence": "not served"}
    spec = StageSpec.model_validate(block | {"weights": {"network": weights}})
    network = OnnxNetwork(graph.read_bytes(), str(graph), Device(threads=threads))
    return build_stage(spec, {"network": network})


def first_stage(folder: Path, threads: int = 1) -> Stage:
    """The first stage of a pipeline folder ``<root>/<name>/<version>``. Raises the SetupError tree."""
    folder = folder.resolve()
    engine = Engine.open([folder.parent.parent], "cpu", threads)
    return engine.pipeline(folder.parent.name, folder.name).cascade.stages[0]


def boxes_on(
    stage: Stage,
    cases: Iterable[Case],
    label: str | None = None,
    region: tuple[str, ...] = (),
    side: Edge | None = None,
) -> Found:
    """What a stage finds in each case, by name, best first; of one ``label`` where it has several.

    Of the labels of a ``region`` together it is the largest part, as `service.regions` has it. ``side`` is the edge at
    which the stage knows the chest wall: other pictures are shown to it in a mirror, as `service.side` does. Raises
    ValueError for a stage that finds no regions, or not these labels.
    """
    if not isinstance(stage, Detect | Segment):
        raise ValueError(f"Found a stage that does {stage.spec.kind}; wanted detect or segment to localise. Name one.")
    for name in region or filter(None, (label,)):
        if name not in stage.spec.labels:
            raise ValueError(
                f"Found no label {name} in stage {stage.spec.name}; wanted one of {', '.join(stage.spec.labels)}. Mend "
                f"the next stage's `{'regions' if region else 'label'}`."
            )
    return {case.name: _turned(stage, case, Sought(label, region, side)) for case in cases}


@dataclass(frozen=True)
class Sought:
    """What boxes are wanted of: one label or all, or labels together; and where the chest wall shall lie."""

    label: str | None
    together: tuple[str, ...]
    side: Edge | None


def _turned(stage: Detect | Segment, case: Case, sought: Sought) -> tuple[Region, ...]:
    image = Image(in_channels(case.read_image())[np.newaxis])
    if sought.side is None or not side_of(image, sought.side).mirrored:
        return _boxes(stage, image, sought)
    return tuple(mirrored_region(box, image.width) for box in _boxes(stage, mirrored_image(image), sought))


def _boxes(stage: Detect | Segment, image: Image, sought: Sought) -> tuple[Region, ...]:
    frame, grid, label = Frame(image), image.region, sought.label
    if isinstance(stage, Detect):
        return tuple(one.region for one in stage.run(frame, [grid]) if label in (None, one.label))
    (seen,) = stage.run(frame, [grid])
    labels, names = decide(seen, stage.spec, stage.spec.threshold).labels, stage.spec.labels
    if sought.together:
        numbers = [names.index(name) + 1 for name in sought.together]
        return tuple(lesion_boxes(np.isin(labels, numbers).astype(np.uint8))[:1])
    wanted = [number for number, name in enumerate(names, start=1) if label in (None, name)]
    return tuple(box for number in wanted for box in lesion_boxes((labels == number).astype(np.uint8)))
