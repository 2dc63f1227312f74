"""Cases to batches: what the networks see, made by the code that serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from service.image import Region, crop
from service.manifest import InputSpec, Window
from service.preprocess import prepare, resize
from service.stages import looked_at
from training import augment
from training.datasets.busi import CLASSES
from training.datasets.case import Case
from training.recipe import Recipe

Grey = NDArray[np.uint8]
# Lesion boxes of BUSI have sides of 0.1 to 0.6 of the picture: where none is, boxes of such sizes are looked at.
EMPTY_BOX = (0.12, 0.5)
CACHED_SIDE = 448


@dataclass(frozen=True)
class Loaded:
    """A case in memory: picture and mask uint8 (height, width)."""

    case: Case
    image: Grey
    mask: Grey

    @property
    def grid(self) -> Region:
        return Region(0, 0, self.image.shape[1], self.image.shape[0])


def load(cases: Sequence[Case], longest: int | None = None) -> list[Loaded]:
    """Read all cases; with ``longest`` the longer side is shrunk to that many pixels (for whole-picture training)."""
    return [_shrunk(Loaded(case, case.read_image(), case.read_mask()), longest) for case in cases]


def _shrunk(loaded: Loaded, longest: int | None) -> Loaded:
    height, width = loaded.image.shape
    if longest is None or max(height, width) <= longest:
        return loaded
    scale = longest / max(height, width)
    size = round(height * scale), round(width * scale)
    return Loaded(loaded.case, resize(loaded.image, *size), resize(loaded.mask, *size, interpolation="nearest"))


class Samples(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """(input (channels, h, w), target mask (1, h, w) 0 to 1, category) per case.

    Category is 1 or 0 for ``localise`` and ``segment`` (is any lesion in view), the index in CLASSES for ``classify``,
    -1 where it is ambiguous. With ``training`` off nothing is random: the whole picture, or the crop around the true
    box.
    """

    def __init__(self, loaded: Sequence[Loaded], recipe: Recipe, *, training: bool) -> None:
        self.loaded = loaded
        self.recipe = recipe
        self.training = training
        self.strength = recipe.augment
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.loaded)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        one = self.loaded[index]
        rng = np.random.default_rng((self.recipe.schedule.seed, self.epoch, index))
        image, mask = self._view(one, rng)
        tensor, _ = prepare(image[..., None], self.recipe.input)
        target, _ = prepare(mask[..., None].astype(np.float32), _mask_spec(self.recipe.input))
        return torch.from_numpy(tensor), torch.from_numpy(target), torch.tensor(self._category(one, mask))

    def _view(self, one: Loaded, rng: np.random.Generator) -> tuple[Grey, Grey]:
        region = self._region(one, rng)
        if not self.training:
            return crop(one.image[None], region)[0], crop(one.mask[None], region)[0]
        image, mask = augment.view(one.image, one.mask, region, self.strength, rng)
        image = augment.lesion_echo(image, mask, self.strength.echo, rng)
        image = augment.photometric(image, self.strength.photometric, rng)
        return augment.burn_in(image, mask, self.strength.burn_in, rng), mask

    def _region(self, one: Loaded, rng: np.random.Generator) -> Region:
        if self.recipe.task == "localise":
            return one.grid
        boxes = lesion_boxes(one.mask)
        if not boxes or (self.training and rng.random() < self.recipe.negatives):
            return looked_at(random_box(one.grid, rng), self.recipe.look, one.grid)
        if not self.training:
            return looked_at(boxes[0], self.recipe.look, one.grid)
        box = jittered(boxes[int(rng.integers(len(boxes)))], one.grid, rng)
        return looked_at(box, self.recipe.look, one.grid)

    def _category(self, one: Loaded, mask: Grey) -> int:
        # A sliver at the edge of the view is no lesion worth learning from.
        present = float(mask.mean()) > 0.001
        if self.recipe.task != "classify":
            return int(present)
        if one.case.ambiguous and present:
            return -1
        return CLASSES.index(one.case.category if present else "normal")


def _mask_spec(spec: InputSpec) -> InputSpec:
    plain = {"window": Window(kind="range", low=0, high=1), "channels": 1, "mean": (0.0,), "std": (1.0,)}
    return spec.model_copy(update={**plain, "enhance": "none", "interpolation": "linear"})


def lesion_boxes(mask: Grey) -> list[Region]:
    """Tight boxes of the mask's connected components, largest area first."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    rows = sorted(stats[1:].tolist(), key=lambda row: -row[cv2.CC_STAT_AREA])
    return [Region(x, y, x + w, y + h) for x, y, w, h, _ in rows]


def jittered(box: Region, grid: Region, rng: np.random.Generator) -> Region:
    """A box as a localiser might give it: each side scaled 0.75 to 1.35, centre shifted by up to 12 % of the side."""
    width, height = (side * np.exp(rng.uniform(np.log(0.75), np.log(1.35))) for side in (box.width, box.height))
    x = (box.left + box.right) / 2 + box.width * rng.uniform(-0.12, 0.12)
    y = (box.top + box.bottom) / 2 + box.height * rng.uniform(-0.12, 0.12)
    left, top = round(x - width / 2), round(y - height / 2)
    return Region(left, top, left + max(2, round(width)), top + max(2, round(height))).clipped(grid)


def random_box(grid: Region, rng: np.random.Generator) -> Region:
    """A box of a lesion's size somewhere in the picture."""
    width = max(2, round(grid.width * rng.uniform(*EMPTY_BOX)))
    height = max(2, round(grid.height * rng.uniform(*EMPTY_BOX)))
    left, top = int(rng.integers(0, grid.width - width + 1)), int(rng.integers(0, grid.height - height + 1))
    return Region(left, top, left + width, top + height)
