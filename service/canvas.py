"""From probabilities in a crop to labels on the image's grid.

Every decision is taken inside the crop, at source resolution; only labels are pasted. Where crops overlap, the label
with the higher probability wins; background is no label, so one crop never erases what another found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from service.components import connected, enclosing, seed
from service.image import Mask, Region
from service.manifest import StageSpec
from service.result import Part, Patch
from service.stages import Found, Probability

Float = NDArray[np.float32]
Labels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Decided:
    """One view decided: label index 1, 2, ... in the stage's order or 0, and the probability of the likeliest label."""

    view: Region
    labels: Labels
    probability: Float

    def touches_border(self, picture: Region) -> bool:
        """Whether the labels reach a side of the view that lies inside the picture."""
        here, view = self.labels, self.view
        return bool(
            (view.left > picture.left and here[:, 0].any())
            or (view.top > picture.top and here[0].any())
            or (view.right < picture.right and here[:, -1].any())
            or (view.bottom < picture.bottom and here[-1].any())
        )


def decide(seen: Probability, spec: StageSpec, threshold: float) -> Decided:
    """Threshold, or argmax with background for exclusive labels; then drop the components the stage does not keep."""
    alone = len(seen.labels) == 1
    probability = seen.labels[0] if alone else seen.labels.max(axis=0)
    limit = 1 - seen.labels.sum(axis=0) if spec.exclusive else threshold
    labels = (probability > limit).view(np.uint8)
    if not alone:
        # In bytes: a picture of indices as wide as an address takes eight times its pixels.
        labels *= seen.labels.argmax(axis=0).astype(np.uint8) + np.uint8(1)
    if spec.min_component > 0 or spec.keep > 0:
        _drop_components(labels, probability, spec)
    return Decided(seen.view, labels, probability)


def _drop_components(labels: Labels, probability: Float, spec: StageSpec) -> None:
    # Only each component's own box is looked at: a noisy map has thousands of them.
    for region, inside in connected(labels > 0):
        _, *box = region.slices
        small = np.count_nonzero(inside) < spec.min_component * labels.size
        if small or _highest(probability[*box], inside) < spec.keep:
            labels[*box][inside] = 0


def _highest(probability: Float, inside: NDArray[np.bool_]) -> np.float32:
    return np.float32(cv2.minMaxLoc(probability, inside.view(np.uint8))[1])


def _labelled(decided: Decided) -> Patch | None:
    """The probabilities of the labelled pixels, 0 elsewhere, over the tight region around them."""
    tight = Region.around(decided.labels[np.newaxis])
    if tight is None:
        return None
    _, rows, columns = tight.slices
    probability = np.where(decided.labels[rows, columns] > 0, decided.probability[rows, columns], np.float32(0))
    view = decided.view
    return Patch(tight.shifted(view.left, view.top, view.z0), probability[np.newaxis])


@dataclass(eq=False)
class Canvas:
    """The mask of one stage while it grows, slice after slice.

    Of a slice that is done only labels and parts are kept. So a volume's probabilities never fill it as floats.

    Attributes:
        grid: the image's.
        names: label name by id of the manifest.
        ids: label id by index in the stage's order.
        whole: whether the mask of all slices is wanted, or of each only its parts.
        probabilities: whether those of a volume are wanted; a picture's are.
        labels: uint8 (depth, height, width), ids of the manifest; of one slice unless ``whole``.
        parts: of the slices that are done.
        patches: of a picture all that was seen, of a volume only what was labelled.
    """

    grid: Region
    names: Mapping[int, str]
    ids: Sequence[int]
    whole: bool = True
    probabilities: bool = True
    labels: Labels = field(init=False)
    parts: list[Part] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)
    _held: list[Patch] = field(default_factory=list)
    _z: int = 0
    _first: int = 0

    def __post_init__(self) -> None:
        depth, height, width = self.grid.shape
        self.labels = np.zeros((depth if self.whole else 1, height, width), np.uint8)

    def put(self, decided: Decided) -> None:
        """Paste the labels of one view, except where an earlier view of its slice holds a likelier one.

        Raises ValueError for a view of a slice that is done.
        """
        self._turn_to(decided.view.z0)
        _, rows, columns = decided.view.slices
        # Looked up byte by byte: as an index NumPy would widen each label to eight.
        new = np.asarray(cv2.LUT(decided.labels, self._ids_by_label()), np.uint8)
        here = self._plane[rows, columns]
        if here.any():
            keep_old = (here > 0) & ((new == 0) | (self._held_over(decided.view) >= decided.probability))
            new = np.where(keep_old, here, new)
        here[...] = new
        self._remember(decided)

    def _ids_by_label(self) -> Labels:
        table = np.zeros(256, np.uint8)
        table[1 : len(self.ids) + 1] = self.ids
        return table

    @property
    def _plane(self) -> Labels:
        """The labels of the slice at work."""
        plane: Labels = self.labels[self._z if self.whole else 0]
        return plane

    def _turn_to(self, z: int) -> None:
        if z < max(self._z, self._first):
            raise ValueError(f"Found a view of slice {z}, which is done; wanted slices in order. Sort the views.")
        if z > self._z:
            self.close()
            self._z = z

    def _held_over(self, view: Region) -> Float:
        """Highest probability that earlier views gave to a label, 0 where they gave none; (h, w) over ``view``."""
        known = np.zeros(view.shape[1:], np.float32)
        for patch in self._held:
            common = patch.region.overlap(view)
            if common is not None:
                here = common.shifted(-view.left, -view.top).slices[1:]
                there = common.shifted(-patch.region.left, -patch.region.top).slices[1:]
                known[here] = np.maximum(known[here], patch.probability[0][there])
        return known

    def _remember(self, decided: Decided) -> None:
        if self.grid.depth == 1:
            self.patches.append(Patch(decided.view, decided.probability[np.newaxis]))
        labelled = _labelled(decided)
        if labelled is not None:
            self._held.append(labelled)

    def close(self) -> None:
        """Be done with the slice at work, unless nothing was found in it."""
        if not self._held:
            return
        around = self._around_held()
        known = self._held_over(around)
        self.parts += [part for wanted in self.names for part in self._parts(wanted, around, known)]
        if self.grid.depth > 1 and self.probabilities:
            self.patches += self._held
        self._held, self._first = [], self._z + 1
        if not self.whole:
            self.labels[...] = 0

    def _around_held(self) -> Region:
        """The region of all that is labelled in the slice at work; from an even corner, see `connected`."""
        tight = enclosing([patch.region for patch in self._held])
        return replace(tight, left=tight.left & ~1, top=tight.top & ~1)

    def _parts(self, wanted: int, around: Region, known: Float) -> Iterator[Part]:
        plane = self._plane[around.slices[1:]]
        for flat, inside in connected(plane == wanted):
            region = flat.shifted(around.left, around.top, self._z)
            certainty = float(known[flat.slices[1:]][inside].sum(dtype=np.float64))
            yield Part(self.names[wanted], region, seed(region, inside), int(inside.sum()), certainty)

    def restore(self, parts: Sequence[Part], labels: Iterable[tuple[Region, Labels]], patches: Sequence[Patch]) -> None:
        """Draw on an empty canvas what another one of the same stage held when it was closed."""
        self.parts, self.patches = list(parts), list(patches)
        for region, block in labels:
            self.labels[region.slices] = block
        self._first = max((part.region.z1 for part in parts), default=0)

    def mask(self) -> Mask:
        """The finished mask, if ``whole``."""
        self.close()
        return Mask(self.labels, dict(self.names))

    def boxes(self, label: str) -> list[Found]:
        """Boxes of the components of one label in each slice, largest first, scored by their mean probability."""
        self.close()
        found = [Found(part.region, label, part.score) for part in self.parts if part.label == label]
        return sorted(found, key=lambda one: -one.region.width * one.region.height)
