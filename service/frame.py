"""The frame: it alone crops, resizes, runs a network and resizes back.

A view is one slice of one region. Views of many regions and slices share batches; each is prepared by itself, so no
result depends on its neighbours.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.decode import Candidate
from service.errors import WeightsError
from service.image import Image, Region, SlabReader
from service.manifest import StageSpec
from service.network import Network
from service.preprocess import Placement, prepare, prepare_map

Float = NDArray[np.float32]


@dataclass
class Meter:
    """Counts network runs and the seconds spent inside them; lets no NaN pass, which would read as background."""

    runs: int = 0
    seconds: float = 0.0

    def run(self, network: Network, inputs: Mapping[str, Float]) -> dict[str, Float]:
        """One metered pass. Raises WeightsError."""
        start = time.perf_counter()
        outputs = network.run(inputs)
        self.seconds += time.perf_counter() - start
        self.runs += 1
        if any(np.isnan(value).any() for value in outputs.values()):
            raise WeightsError("a network output that is not a number", "finite logits", "Export it in float32.")
        return outputs


@dataclass(frozen=True)
class Seen:
    """One view (a region of one slice) with the network's outputs for it, batch axis removed."""

    view: Region
    placement: Placement
    outputs: dict[str, Float]


@dataclass(frozen=True, eq=False)
class Frame:
    """One image on its way through the stages, with the maps made of it so far."""

    image: Image
    maps: Mapping[str, SlabReader] = field(default_factory=dict)
    meter: Meter = field(default_factory=Meter)

    def look(self, views: Iterable[Region], spec: StageSpec, network: Network) -> Iterator[Seen]:
        """Run ``network`` on every view, in batches of its own size, in order."""
        waiting = iter(views)
        (name,) = network.inputs
        while batch := list(islice(waiting, network.batch)):
            prepared = [self.tensor(view, spec) for view in batch]
            outputs = self.meter.run(network, {name: np.stack([tensor for tensor, _ in prepared])})
            for index, (view, (_, placement)) in enumerate(zip(batch, prepared, strict=True)):
                yield Seen(view, placement, {key: value[index] for key, value in outputs.items()})

    def tensor(self, view: Region, spec: StageSpec) -> tuple[Float, Placement]:
        """The network input (channels, h, w) of one view: its slice or stack of slices, then the maps it wants."""
        around = stack_size(spec) // 2
        slices = [min(max(view.z0 + dz, 0), self.image.depth - 1) for dz in range(-around, around + 1)]
        parts = [prepare(_plane(self.image.voxels, z, view), spec.input) for z in slices]
        maps = [prepare_map(_plane(self.maps[name], view.z0, view), spec.input) for name in spec.with_]
        return np.concatenate([*(tensor for tensor, _ in parts), *maps]), parts[0][1]


def planes(region: Region) -> Iterator[Region]:
    """The slices of a region, one view each."""
    return (replace(region, z0=z, z1=z + 1) for z in range(region.z0, region.z1))


def input_channels(spec: StageSpec) -> int:
    """Channels of a stage's network input: those of its slices, then one for each map."""
    return spec.input.channels * stack_size(spec) + len(spec.with_)


def stack_size(spec: StageSpec) -> int:
    """How many slices a stage's network looks at, the one it is about amid the others."""
    kind, _, size = spec.input.slices.partition(":")
    return int(size) if kind == "stack" else 1


def _plane(voxels: SlabReader | NDArray[Any], z: int, view: Region) -> NDArray[Any]:
    # A view into the slice, not a copy: preparing it copies what the network's size needs.
    _, rows, columns = view.slices
    return np.asarray(voxels[z : z + 1])[0, rows, columns]


def source_region(candidate: Candidate, seen: Seen) -> Region | None:
    """A candidate's box in source voxels, grown outwards to whole ones; None where it lies in the padding."""
    placement, (left, top, right, bottom) = seen.placement, candidate.box
    (height, width), view = placement.source, seen.view
    # Multiplied before divided: a box edge that falls on a voxel's edge stays there.
    box = (
        view.left + math.floor((left - placement.left) * width / placement.width),
        view.top + math.floor((top - placement.top) * height / placement.height),
        view.left + math.ceil((right - placement.left) * width / placement.width),
        view.top + math.ceil((bottom - placement.top) * height / placement.height),
    )
    if box[2] <= box[0] or box[3] <= box[1]:
        return None
    return Region(*box, view.z0, view.z1).overlap(view)
