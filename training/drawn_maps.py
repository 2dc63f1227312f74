"""Maps of stage 1 for stage 2 to learn from, each by a network that did not learn from the picture: as boxes are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.frame import Frame
from service.image import Image
from service.stages import Map, Stage
from training.datasets.case import Case
from training.kinship import Corpus, Kinship, Known
from training.map_files import write_maps
from training.out_of_fold import Looking, opened, write_sources
from training.prepare.disk import png, write_whole
from training.samples import in_channels


@dataclass(eq=False)
class Maps:
    """Maps while they are gathered, as `training.out_of_fold.Boxes` gathers boxes.

    Attributes:
        wanted: the cases that need maps.
        folder: where they are written, ``NUMBER.png`` by their place among the cases.
        found: maps by case.
        sources: cases by the run that drew them.
        kinship: tells who knows whom.
        known: cases that the stage 1 to be served knows.
    """

    wanted: Corpus
    folder: Path
    found: dict[str, Path] = field(default_factory=dict)
    sources: dict[str, list[str]] = field(default_factory=dict)
    kinship: Kinship = field(default_factory=Kinship)
    known: Known = field(default_factory=dict)

    @property
    def missing(self) -> list[Case]:
        """Cases without a map so far."""
        return [case for case in self.wanted.cases if case.name not in self.found]

    def add(self, run: Path, look: Looking, cases: Sequence[Case]) -> None:
        """Let a run draw maps of cases that it does not know: the caller has asked `Kinship.known`."""
        if not cases:
            return
        places = {case.name: number for number, case in enumerate(self.wanted.cases)}
        files = {case.name: self.folder / f"{places[case.name]:06d}.png" for case in cases}
        for case, drawn in zip(cases, maps_on(opened(run, look), cases), strict=True):
            write_whole(files[case.name], png(drawn))
        self.found |= files
        self.sources[str(run)] = list(files)

    def write(self, path: Path) -> Path:
        """Write the list of maps (`training.map_files`), and beside it which run drew which."""
        write_sources(self.sources, path)
        # Written last: its presence says that all maps are there.
        names = (case.name for case in self.wanted.cases)
        return write_maps({name: self.found[name] for name in names if name in self.found}, path)


def maps_on(stage: Stage, cases: Iterable[Case]) -> Iterable[NDArray[np.uint8]]:
    """What a stage draws of each case, uint8 (height, width), 0 to 255 for 0 to 1, by the service's own code.

    Raises ValueError for a stage that draws no map.
    """
    if not isinstance(stage, Map):
        raise ValueError(f"Found a stage that does {stage.spec.kind}; wanted map. Name one that draws a map.")
    return (_drawn(stage, case) for case in cases)


def _drawn(stage: Map, case: Case) -> NDArray[np.uint8]:
    plane = stage.plane(Frame(Image(in_channels(case.read_image())[np.newaxis])), 0)[..., 0]
    return np.asarray(np.round(255 * np.clip(plane, 0, 1)), np.uint8)
