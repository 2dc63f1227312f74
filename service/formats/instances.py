"""Findings slice by slice, as annotation tools want them: one object per finding and slice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.engine import Answer
from service.image import Region
from service.manifest import Label
from service.measure import Finding, found_components


@dataclass(frozen=True, eq=False)
class Instance:
    """What one slice shows of one finding: ``region`` is tight, ``pixels`` are 0 or 1 (height, width) over it."""

    finding: Finding
    label: Label
    region: Region
    pixels: NDArray[np.uint8]

    def on(self, height: int, width: int) -> NDArray[np.uint8]:
        """The same over the whole slice of that size."""
        plane = np.zeros((height, width), np.uint8)
        plane[self.region.slices[1:]] = self.pixels
        return plane


def instances(answer: Answer) -> Iterator[Instance]:
    """All findings in their order, each through its slices."""
    labels = {label.name: label for label in answer.manifest.labels}
    located = found_components(answer.result.mask, answer.image)
    for finding, (name, component) in zip(answer.findings, located, strict=True):
        for offset, plane in enumerate(component.planes()):
            tight = Region.around(plane[np.newaxis])
            if tight is not None:
                at = tight.shifted(component.region.left, component.region.top, component.region.z0 + offset)
                yield Instance(finding, labels[name], at, plane[tight.slices[1:]])
