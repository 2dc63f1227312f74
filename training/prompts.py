"""What SAM is told while it is trained and tested, and the picture, mask and prompt of each sample.

Boxes of the truth are an oracle: figures got with them are "box-prompted" and stand beside no automatic network's.
``detector`` and ``whole`` are the honest settings. Picture, mask, box and points go through one geometry, that of the
recipe's input block, which is also the service's; a letter-box is centred there, SAM's own starts at the top left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from service.image import Point, Region
from service.manifest import Frozen, InputSpec, Positive, Window
from service.preprocess import Placement, place, prepare, prepare_map
from service.stages import CORNERS, network_box, point_prompt
from training.datasets.case import Labels, Picture
from training.regions import Boxes, lesion_boxes
from training.samples import Loaded, in_channels

SAM_INPUT = InputSpec(
    size=(1024, 1024),
    channels=3,
    window=Window(kind="full"),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    letterbox=True,
)
MEDSAM_INPUT = InputSpec(size=(1024, 1024), channels=3, window=Window(kind="percentile", low=0, high=100))
Float = NDArray[np.float32]
# Bounding boxes of the tutorial that fine-tunes SAM: 0 to 19 pixels outwards on pictures of 256 x 256. MedSAM's code
# moves them by 0 to 20 on pictures of 1024 x 1024, a fifth as far.
JITTER, CANVAS = 19, 256
Count = Annotated[int, Field(ge=0)]
Source = Literal["components", "enclosing", "detector", "whole"]
# Those that know the truth.
TRUE = ("components", "enclosing")


class Prompts(Frozen):
    """Where prompts come from.

    Attributes:
        source: ``components`` one true box a lesion; ``enclosing`` one true box around all of them; ``detector`` the
            boxes that a localiser found; ``whole`` the whole picture.
        jitter: pixels by which each side of a true box moves outwards at most, in training alone.
        canvas: side of the square, which the network's input stands for, that these pixels are of.
        points: so many points inside what is meant; in training they are drawn, else the deepest comes first. Of what
            a localiser found, and of the whole picture, they are those of the box, its middle first: nobody who asks so
            knows the mask.
        box: tell the box as well as the points; without points it is always told.
    """

    source: Source = "components"
    jitter: Count = JITTER
    canvas: Positive = CANVAS
    points: Count = 0
    box: bool = True


@dataclass(frozen=True, eq=False)
class Prompted:
    """One prompt: a box in pixels of the picture, and what it points at, 0 or 1 (height, width)."""

    box: Region
    mask: Labels


def prompted(one: Loaded, source: Source, found: Sequence[Region] = ()) -> list[Prompted]:
    """Every prompt of a case, largest lesion first; none of a normal picture's truth.

    ``found`` are a localiser's boxes in pixels of the picture. Each of them means the lesions it meets, whole.
    """
    mask = np.asarray(one.mask > 0, np.uint8)
    match source:
        case "components":
            return list(_components(mask))
        case "enclosing":
            tight = Region.around(mask[np.newaxis])
            return [] if tight is None else [Prompted(tight, mask)]
        case "detector":
            return [Prompted(box, _met(mask, box)) for box in (box.clipped(one.grid) for box in found)]
        case "whole":
            return [Prompted(one.grid, mask)]


def _components(mask: Labels) -> Iterator[Prompted]:
    _, ids = cv2.connectedComponents(mask, connectivity=8)
    # By area, largest first; the background is no component.
    areas = np.bincount(ids.ravel())[1:]
    for label in np.argsort(-areas, kind="stable") + 1:
        part = np.asarray(ids == label, np.uint8)
        yield Prompted(lesion_boxes(part)[0], part)


def _met(mask: Labels, box: Region) -> Labels:
    _, ids = cv2.connectedComponents(mask, connectivity=8)
    labels = np.unique(ids[box.slices[1:]])
    return np.isin(ids, labels[labels > 0]).astype(np.uint8)


def outwards(box: Float, placement: Placement, rng: np.random.Generator, prompts: Prompts, spec: InputSpec) -> Float:
    """A box of the network's pixels (left, top, right, bottom), each side moved outwards by 0 to ``prompts.jitter``.

    Those are pixels of the canvas, whole ones, each side its own; the box stays on the picture.
    """
    height, width = spec.size
    step = np.array([width, height, width, height]) / prompts.canvas
    moved = box + (-1, -1, 1, 1) * rng.integers(0, prompts.jitter + 1, 4) * step
    left, top = placement.left, placement.top
    right, bottom = left + placement.width, top + placement.height
    return np.asarray(np.clip(moved, (left, top, left, top), (right, bottom, right, bottom)), np.float32)


def told(
    prompts: Prompts, placement: Placement, box: Region, points: Sequence[Point], moved: Float | None = None
) -> dict[str, Float]:
    """What a decoder is told of one object, by name: ``boxes`` (1, 4), or ``points`` (places, 2) and ``labels``.

    ``moved`` are corners in the network's pixels that stand for those of ``box``.
    """
    corners = network_box(box, placement) if moved is None else moved
    if prompts.points == 0:
        return {"boxes": corners[np.newaxis]}
    made = point_prompt(placement, places_of(prompts), points, box if prompts.box else None)
    if prompts.box:
        made["points"][:CORNERS] = corners.reshape(CORNERS, 2)
    return made


def places_of(prompts: Prompts) -> int:
    """How many points a decoder is told, the corners of a box included; 0 where it is told a box alone."""
    return prompts.points + CORNERS if prompts.points else 0


def points_of_box(box: Region, count: int) -> list[Point]:
    """Points of a box of which no mask is known, its middle first."""
    inside = points_inside(np.ones((box.height, box.width), np.uint8), count)
    return [Point(box.left + one.x, box.top + one.y) for one in inside]


def points_inside(mask: Labels, count: int, rng: np.random.Generator | None = None) -> list[Point]:
    """Points of a mask (height, width), with ``rng`` drawn from it, else one after the other as deep as there is left.

    The deepest pixel lies farthest from the mask's edge. Fewer where the mask has fewer pixels.
    """
    if rng is not None:
        pixels = np.argwhere(mask)
        chosen = pixels[rng.permutation(len(pixels))[:count]]
        return [Point(int(x), int(y)) for y, x in chosen]
    left = np.pad(mask, 1).astype(np.uint8)
    points: list[Point] = []
    while len(points) < count and left.any():
        depth = cv2.distanceTransform(left, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        points.append(Point(int(x) - 1, int(y) - 1))
        left[y, x] = 0
    return points


@dataclass(frozen=True, eq=False)
class View:
    """How a network sees a picture.

    Attributes:
        spec: the input block.
        embed: picture as read, with its channels, to embedding, such as `EmbeddingStore.of`; it takes the picture's
            place where the encoder does not train.
    """

    spec: InputSpec
    embed: Callable[[Picture], Tensor] | None = None

    def of(self, picture: Picture) -> Tensor:
        """Its tensor (channels, h, w), or its embedding."""
        return torch.from_numpy(prepare(picture, self.spec)[0]) if self.embed is None else self.embed(picture)


class PromptSamples(Dataset[tuple[tuple[Tensor, ...], Tensor, Tensor]]):
    """((picture, prompt ...), target mask (1, h, w) 0 to 1, category 1) for each prompt of each case.

    The picture is the network's input (channels, h, w) or its embedding, as the view has it. The prompt is boxes (1, 4)
    or, where the recipe asks for points, points (places, 2) and labels (places,); `models.sam.Sam` takes either. The
    category says whether the target holds anything, as a localiser's wrong box does not.

    Args:
        loaded: the cases; one without a prompt gives no sample, a lesion that a localiser missed among them: what was
            missed is counted by `training.evaluate_run`.
        prompts: where prompts come from.
        view: how the network sees a picture.
        boxes: a localiser's, by case.
        seed: for training: boxes jitter and points are drawn with it; without one nothing is random.
    """

    def __init__(
        self,
        loaded: Sequence[Loaded],
        prompts: Prompts,
        view: View,
        *,
        boxes: Boxes | None = None,
        seed: int | None = None,
    ) -> None:
        self.loaded, self.prompts, self.view = loaded, prompts, view
        self.boxes, self.seed, self.epoch = boxes or {}, seed, 0
        self.places = [(index, n) for index, one in enumerate(loaded) for n in range(len(self._prompted(one)))]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        one = self.loaded[self.places[index][0]]
        wanted = self._prompted(one)[self.places[index][1]]
        rng = None if self.seed is None else np.random.default_rng((self.seed, self.epoch, index))
        present = torch.tensor(int(wanted.mask.any()))
        seen = self.view.of(in_channels(one.image))
        return (seen, *self._told(one, wanted, rng)), target_of(wanted.mask, self.view.spec), present

    def _prompted(self, one: Loaded) -> list[Prompted]:
        return prompted(one, self.prompts.source, self.boxes.get(one.case.name, ()))

    def _told(self, one: Loaded, wanted: Prompted, rng: np.random.Generator | None) -> tuple[Tensor, ...]:
        prompts, placement = self.prompts, place(one.mask.shape, self.view.spec)
        if prompts.source not in TRUE:
            points = points_of_box(wanted.box, prompts.points)
            return _tensors(told(prompts, placement, wanted.box, points))
        moved = None
        if rng is not None:
            moved = outwards(network_box(wanted.box, placement), placement, rng, prompts, self.view.spec)
        points = points_inside(wanted.mask, prompts.points, rng)
        return _tensors(told(prompts, placement, wanted.box, points, moved))


def _tensors(prompt: dict[str, Float]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(one) for one in prompt.values())


def target_of(mask: NDArray[np.uint8], spec: InputSpec) -> Tensor:
    """A mask (height, width) on the network's grid, (1, h, w) from 0 to 1, resized and padded as its picture is."""
    return torch.from_numpy(prepare_map(mask[..., np.newaxis].astype(np.float32), spec))
