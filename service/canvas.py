"""From probabilities in a crop to labels on the image's grid.

Every decision is taken inside the crop, at source resolution; only labels are pasted. Where crops overlap, the label
with the higher probability wins; background is no label, so one crop never erases what another found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from service.components import connected
from service.image import Mask, Region, paste
from service.manifest import StageSpec
from service.result import Patch
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
    best = 0 if alone else seen.labels.argmax(axis=0)
    probability = seen.labels[0] if alone else seen.labels.max(axis=0)
    limit = 1 - seen.labels.sum(axis=0) if spec.exclusive else threshold
    labels = ((probability > limit) * (best + 1)).astype(np.uint8)
    if spec.min_component > 0 or spec.keep > 0:
        _drop_components(labels, probability, spec)
    return Decided(seen.view, labels, probability)


def _drop_components(labels: Labels, probability: Float, spec: StageSpec) -> None:
    # Only each component's own box is looked at: a noisy map has thousands of them.
    for region, inside in connected(labels > 0):
        _, *box = region.slices
        small = np.count_nonzero(inside) < spec.min_component * labels.size
        if small or probability[*box][inside].max() < spec.keep:
            labels[*box][inside] = 0


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
    """The mask of one stage while it grows.

    Attributes:
        grid: the image's.
        ids: label id by index in the stage's order.
        labels: uint8 (depth, height, width), ids of the manifest.
    """

    grid: Region
    names: Mapping[int, str]
    ids: Sequence[int]
    labels: Labels = field(init=False)
    _seen: list[Patch] = field(default_factory=list)
    _held: dict[int, list[Patch]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.labels = np.zeros(self.grid.shape, np.uint8)

    def put(self, decided: Decided) -> None:
        """Paste the labels of one view, except where an earlier view holds a likelier one."""
        view = decided.view
        new = np.array([0, *self.ids], np.uint8)[decided.labels][np.newaxis]
        here = self.labels[view.slices]
        if here.any():
            keep_old = (here > 0) & ((new == 0) | (self._held_over(view) >= decided.probability))
            new = np.where(keep_old, here, new)
        paste(new, view, self.labels)
        self._remember(decided)

    def _held_over(self, view: Region) -> Float:
        """Highest probability that earlier views gave to a label, 0 where they gave none; (1, h, w) over ``view``."""
        known = np.zeros(view.shape, np.float32)
        for patch in self._held.get(view.z0, ()):
            common = patch.region.overlap(view)
            if common is not None:
                here = common.shifted(-view.left, -view.top, -view.z0).slices
                there = common.shifted(-patch.region.left, -patch.region.top, -patch.region.z0).slices
                known[here] = np.maximum(known[here], patch.probability[there])
        return known

    def _remember(self, decided: Decided) -> None:
        if self.grid.depth == 1:
            self._seen.append(Patch(decided.view, decided.probability[np.newaxis]))
        labelled = _labelled(decided)
        if labelled is not None:
            self._held.setdefault(decided.view.z0, []).append(labelled)

    @property
    def patches(self) -> tuple[Patch, ...]:
        """What is known of the probability: of a picture all that was seen, of a volume only what was labelled."""
        # A volume's background would fill a float volume.
        held = (patch for z in sorted(self._held) for patch in self._held[z])
        return tuple(self._seen if self.grid.depth == 1 else held)

    def mask(self) -> Mask:
        """The finished mask."""
        return Mask(self.labels, dict(self.names))

    def boxes(self, label: str) -> list[Found]:
        """Boxes of the components of one label in each slice, largest first, scored by their mean probability."""
        (wanted,) = (number for number, name in self.names.items() if name == label)
        found = [one for z in range(self.grid.depth) for one in self._slice_boxes(z, wanted, label)]
        return sorted(found, key=lambda one: -one.region.width * one.region.height)

    def _slice_boxes(self, z: int, wanted: int, label: str) -> list[Found]:
        parts = list(connected(self.labels[z] == wanted))
        if not parts:
            return []
        known = self._held_over(Region(0, 0, self.grid.width, self.grid.height, z, z + 1))[0]
        found = []
        for region, inside in parts:
            _, rows, columns = region.slices
            found.append(Found(region.shifted(0, 0, z), label, float(known[rows, columns][inside].mean())))
        return found
