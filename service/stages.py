"""The five kinds of stage: each turns views of an image into boxes, labels, scores or a map.

A stage knows its network and its block of the manifest; it does not know other stages, thresholds of a request or where
its regions came from. Pictures and volumes look the same to it: a volume is many views.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from service.decode import candidates, label_probabilities, softmax
from service.errors import BadParameter, counted
from service.frame import Frame, Seen, planes, source_region
from service.image import Point, Region
from service.manifest import Look, StageSpec
from service.network import EmbeddingMemory, Network
from service.preprocess import Placement, resize, restore

Float = NDArray[np.float32]
# How SAM numbers what a decoder is told: points of the object and beside it, corners of its box, places left over.
OUTSIDE, INSIDE, TOP_LEFT, BOTTOM_RIGHT, NOTHING = 0.0, 1.0, 2.0, 3.0, -1.0
CORNERS = 2


def looked_at(box: Region, look: Look, grid: Region) -> Region:
    """The region a stage sees when an earlier one found ``box``; it lies on ``grid``."""
    box = box.squared() if look.square else box
    dx, dy = round(look.surround * grid.width), round(look.surround * grid.height)
    wide = replace(box, left=box.left - dx, top=box.top - dy, right=box.right + dx, bottom=box.bottom + dy)
    return wide.grown(look.margin, grid, look.minimum)


@dataclass(frozen=True)
class Found:
    """A box with its label's name and score 0 to 1."""

    region: Region
    label: str
    score: float


@dataclass(frozen=True, eq=False)
class Probability:
    """Foreground probabilities of one view at source resolution, (labels, height, width)."""

    view: Region
    labels: Float


@dataclass(frozen=True)
class Detect:
    """Boxes."""

    spec: StageSpec
    network: Network

    def run(self, frame: Frame, views: Iterable[Region]) -> Iterator[Found]:
        """Boxes of every view, best first within a view."""
        for seen in frame.look(views, self.spec, self.network):
            yield from self._found(seen)

    def _found(self, seen: Seen) -> Iterator[Found]:
        if self.spec.decode is None:  # the manifest's check leaves no such stage
            return
        for one in candidates(seen.outputs, self.spec.decode):
            region = source_region(one, seen)
            if region is not None:
                yield Found(region, self.spec.labels[one.label], one.score)


@dataclass(frozen=True)
class Segment:
    """Label probabilities."""

    spec: StageSpec
    network: Network

    def run(self, frame: Frame, views: Iterable[Region]) -> Iterator[Probability]:
        """Probabilities of every view; the first network output are logits (channels, h, w)."""
        for seen in frame.look(views, self.spec, self.network):
            logits = next(iter(seen.outputs.values()))
            probability = label_probabilities(logits, exclusive=self.spec.exclusive)
            yield Probability(seen.view, restore(probability, seen.placement))


@dataclass(frozen=True)
class Classify:
    """Scores."""

    spec: StageSpec
    network: Network

    def run(self, frame: Frame, views: Iterable[Region]) -> Iterator[dict[str, float]]:
        """Softmax scores by label of every view; the first network output are logits (labels,)."""
        for seen in frame.look(views, self.spec, self.network):
            scores = softmax(next(iter(seen.outputs.values())))
            yield dict(zip(self.spec.labels, map(float, scores), strict=True))


@dataclass(eq=False)
class Map:
    """A float grid over the whole image, e.g. depth; made slice by slice when asked for, the last slice kept."""

    spec: StageSpec
    network: Network

    def over(self, frame: Frame) -> MapReader:
        """The map of this image, (depth, height, width, 1), read like an image's voxels."""
        return MapReader(self, frame)

    def plane(self, frame: Frame, z: int) -> Float:
        """Slice z as (height, width, 1); the first network output is the map (1, h, w)."""
        view = next(planes(Region(0, 0, frame.image.width, frame.image.height, z, z + 1)))
        (seen,) = frame.look([view], self.spec, self.network)
        value = next(iter(seen.outputs.values()))
        return np.asarray(restore(value, seen.placement)[0][..., np.newaxis], np.float32)


class MapReader:
    """Reads a map slice by slice, so that no whole float volume is ever held."""

    dtype = np.dtype(np.float32)

    def __init__(self, stage: Map, frame: Frame) -> None:
        self._stage, self._frame = stage, frame
        self._last: tuple[int, Float] | None = None
        self.shape = (frame.image.depth, frame.image.height, frame.image.width, 1)

    def __getitem__(self, key: slice) -> Float:
        return np.stack([self._slice(z) for z in range(*key.indices(self.shape[0]))])

    def _slice(self, z: int) -> Float:
        if self._last is None or self._last[0] != z:
            self._last = z, self._stage.plane(self._frame, z)
        return self._last[1]


@dataclass(frozen=True)
class Prompt:
    """A mask for each box, or for points, SAM-like: the encoder sees the slice once, the decoder once per mask.

    Encoder: the image input to any outputs. Decoder: those outputs under the same names and one of two forms of prompt
    in the encoder's input pixels, to logits (batch, labels, h, w) on the encoder's grid or a fraction of it:

    * ``boxes`` (batch, 1, 4), (left, top, right, bottom);
    * ``points`` (batch, places, 2), (x, y) with pixel centres at whole numbers, and ``labels`` (batch, places): 1 a
      point inside the object, 0 outside of it, 2 and 3 a box's top left and bottom right corner, -1 a place left over.

    After Kirillov et al. 2023, arXiv:2304.02643.
    """

    spec: StageSpec
    encoder: Network
    decoder: Network
    memory: EmbeddingMemory = field(default_factory=EmbeddingMemory)

    @property
    def places(self) -> int:
        """How many points the decoder takes, the two corners of a box included; 0 where it takes a box alone."""
        return self.decoder.inputs.get("points", (None, None))[1] or 0

    def run(self, frame: Frame, boxes: Iterable[Region]) -> Iterator[Probability]:
        """Probabilities over the whole slice for each box (one slice each)."""
        seen: Seen | None = None
        for box in boxes:
            if seen is None or seen.view.z0 != box.z0:
                seen = self._encoded(frame, box.z0)
            yield Probability(seen.view, self._decoded(frame, seen, self._told(seen.placement, box)))

    def at(self, frame: Frame, points: Sequence[Point], box: Region | None = None) -> Probability:
        """Probabilities over the whole slice for the one object that points tell of, with a box or without.

        `check_points` must have let them through.
        """
        seen = self._encoded(frame, points[0].z)
        return Probability(seen.view, self._decoded(frame, seen, self._told(seen.placement, box, points)))

    def _encoded(self, frame: Frame, z: int) -> Seen:
        whole = Region(0, 0, frame.image.width, frame.image.height, z, z + 1)
        tensor, placement = frame.tensor(whole, self.spec)
        # The tensor and not the file: it tells neighbouring slices and maps apart, too.
        key = hashlib.sha256(tensor.tobytes()).hexdigest()
        known = self.memory.get(key)
        if known is None:
            (name,) = self.encoder.inputs
            known = frame.meter.run(self.encoder, {name: tensor[np.newaxis]})
            self.memory.put(key, known)
        return Seen(whole, placement, known)

    def _told(self, placement: Placement, box: Region | None, points: Sequence[Point] = ()) -> dict[str, Float]:
        if box is not None and self.places == 0:
            told = {"boxes": network_box(box, placement)[np.newaxis]}
        else:
            told = point_prompt(placement, self.places, points, box)
        return {key: value[np.newaxis] for key, value in told.items()}

    def _decoded(self, frame: Frame, seen: Seen, told: Mapping[str, Float]) -> Float:
        logits = next(iter(frame.meter.run(self.decoder, {**seen.outputs, **told}).values()))[0]
        probability = label_probabilities(logits, exclusive=self.spec.exclusive)
        return restore(_on_grid(probability, self.spec.input.size), seen.placement)


def point_prompt(
    placement: Placement, places: int, points: Sequence[Point], box: Region | None = None
) -> dict[str, Float]:
    """What a decoder of so many places is told: ``points`` (places, 2) and ``labels`` (places,), see `Prompt`."""
    corners = network_box(box, placement).reshape(2, 2) if box else np.zeros((0, 2), np.float32)
    labels = [TOP_LEFT, BOTTOM_RIGHT][: len(corners)] + [INSIDE if point.inside else OUTSIDE for point in points]
    left_over = places - len(labels)
    told = np.concatenate([corners, network_points(points, placement)])
    return {
        "points": np.pad(told, ((0, left_over), (0, 0))),
        "labels": np.array(labels + [NOTHING] * left_over, np.float32),
    }


def network_box(box: Region, placement: Placement) -> Float:
    """(left, top, right, bottom) of a box of the slice in the network's input pixels."""
    corners = np.array(box.box, np.float64).reshape(2, 2)
    return _placed(corners, placement).reshape(4).astype(np.float32)


def network_points(points: Sequence[Point], placement: Placement) -> Float:
    """(n, 2): the centres of points of the slice as (x, y) in the network's input pixels, whose centres are whole."""
    centres = np.array([(point.x, point.y) for point in points], np.float64).reshape(-1, 2) + 0.5
    return (_placed(centres, placement) - 0.5).astype(np.float32)


def _placed(edges: NDArray[np.float64], placement: Placement) -> NDArray[np.float64]:
    height, width = placement.source
    scale = np.array([placement.width / width, placement.height / height])
    return np.asarray(edges * scale + (placement.left, placement.top))


def _on_grid(probability: Float, size: tuple[int, int]) -> Float:
    return np.stack([np.asarray(resize(plane, *size), np.float32) for plane in probability])


Stage = Detect | Segment | Prompt | Classify | Map


def build_stage(spec: StageSpec, networks: Mapping[str, Network]) -> Stage:
    """The stage a block of the manifest describes, with its networks by role."""
    if spec.kind == "prompt":
        return Prompt(spec, networks["encoder"], networks["decoder"])
    network = networks["network"]
    match spec.kind:
        case "detect":
            return Detect(spec, network)
        case "segment":
            return Segment(spec, network)
        case "classify":
            return Classify(spec, network)
        case "map":
            return Map(spec, network)


def check_points(stage: Stage, points: Sequence[Point], boxes: Sequence[Region], grid: Region) -> None:
    """Raises BadParameter where a stage takes no points or fewer, or they and the boxes do not tell of one object."""
    places = stage.places - CORNERS if isinstance(stage, Prompt) and stage.places else 0
    if places < len(points):
        raise BadParameter(
            f"{counted(len(points), 'point')} in parameter points",
            f"at most {counted(places, 'point')} for stage {stage.spec.name}",
            "Leave points out, or name another stage or pipeline.",
        )
    if len(boxes) > 1:
        raise BadParameter(f"points beside {len(boxes)} boxes", "at most one box", "Ask for one object at a time.")
    if len({one.z for one in points} | {one.z0 for one in boxes}) > 1:
        raise BadParameter("points in several slices", "one slice", "Ask for each slice by itself.")
    if not boxes and not any(point.inside for point in points):
        raise BadParameter("no point inside the object", "at least one, or a box", "Add a point with label 1.")
    for point in points:
        if point.region.overlap(grid) is None:
            place, wanted = f"point {point.x},{point.y}", f"a point inside the picture {grid.box}"
            raise BadParameter(place, wanted, "Check the order x,y,label.")
