"""The five kinds of stage: each turns views of an image into boxes, labels, scores or a map.

A stage knows its network and its block of the manifest; it does not know other stages, thresholds of a request or where
its regions came from. Pictures and volumes look the same to it: a volume is many views.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from service.decode import candidates, label_probabilities, softmax
from service.frame import Frame, Seen, planes, source_region
from service.image import Region
from service.manifest import Look, StageSpec
from service.network import Network
from service.preprocess import resize, restore

Float = NDArray[np.float32]
EMBEDDING_BYTES = 256 * 2**20


def looked_at(box: Region, look: Look, grid: Region) -> Region:
    """The region a stage sees when an earlier one found ``box``; it lies on ``grid``."""
    return (box.squared() if look.square else box).grown(look.margin, grid, look.minimum)


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


@dataclass(eq=False)
class EmbeddingMemory:
    """Encoder outputs by digest of the encoder's input, the latest used kept, at most ``limit`` bytes; thread-safe."""

    limit: int = EMBEDDING_BYTES
    _kept: OrderedDict[str, dict[str, Float]] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def get(self, key: str) -> dict[str, Float] | None:
        """What was put under ``key``, or None."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: str, value: dict[str, Float]) -> None:
        """Keep ``value`` and forget the longest unused beyond the limit; what is over it alone is not kept."""
        if _bytes(value) > self.limit:
            return
        with self._lock:
            self._kept[key] = value
            while self.bytes > self.limit:
                self._kept.popitem(last=False)

    @property
    def bytes(self) -> int:
        """Size of everything kept."""
        return sum(map(_bytes, self._kept.values()))


def _bytes(value: dict[str, Float]) -> int:
    return sum(array.nbytes for array in value.values())


@dataclass(frozen=True)
class Prompt:
    """A mask for each box, SAM-like: the encoder sees the slice once, the decoder once per box.

    Encoder: the image input to any outputs. Decoder: those outputs under the same names and ``boxes`` (batch, 1, 4),
    (left, top, right, bottom) in the encoder's input pixels, to logits (batch, labels, h, w) on the encoder's grid or a
    fraction of it. After Kirillov et al. 2023, arXiv:2304.02643.
    """

    spec: StageSpec
    encoder: Network
    decoder: Network
    memory: EmbeddingMemory = field(default_factory=EmbeddingMemory)

    def run(self, frame: Frame, boxes: Iterable[Region]) -> Iterator[Probability]:
        """Probabilities over the whole slice for each box (one slice each)."""
        seen: Seen | None = None
        for box in boxes:
            whole = Region(0, 0, frame.image.width, frame.image.height, box.z0, box.z0 + 1)
            if seen is None or seen.view != whole:
                seen = self._encoded(frame, whole)
            yield Probability(whole, self._decoded(frame, seen, box))

    def _encoded(self, frame: Frame, whole: Region) -> Seen:
        tensor, placement = frame.tensor(whole, self.spec)
        # The tensor and not the file: it tells neighbouring slices and maps apart, too.
        key = hashlib.sha256(tensor.tobytes()).hexdigest()
        known = self.memory.get(key)
        if known is None:
            (name,) = self.encoder.inputs
            known = frame.meter.run(self.encoder, {name: tensor[np.newaxis]})
            self.memory.put(key, known)
        return Seen(whole, placement, known)

    def _decoded(self, frame: Frame, seen: Seen, box: Region) -> Float:
        placement, whole = seen.placement, seen.view
        sx, sy = placement.width / whole.width, placement.height / whole.height
        corners = np.array(box.box) * (sx, sy, sx, sy) + (placement.left, placement.top) * 2
        inputs = {**seen.outputs, "boxes": corners.astype(np.float32).reshape(1, 1, 4)}
        logits = next(iter(frame.meter.run(self.decoder, inputs).values()))[0]
        probability = label_probabilities(logits, exclusive=self.spec.exclusive)
        return restore(_on_grid(probability, self.spec.input.size), placement)


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
