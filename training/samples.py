"""Cases to batches: what the networks see, made by the code that serves."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from service.image import Region, crop
from service.manifest import InputSpec, Window
from service.preprocess import place, prepare, prepare_map, resize
from service.stages import looked_at
from training import augment, transplant
from training.datasets.case import Case, Labels, Picture, read_grey
from training.map_files import DEPTH
from training.recipe import Recipe
from training.regions import Boxes, Grey, jittered, lesion_boxes, random_box
from training.tasks import AMBIGUOUS, MISSED, SILENT

CACHED_SIDE = augment.LONGEST
CROPS = ("segment", "classify")
Sample = tuple[Tensor | tuple[Tensor, ...], Tensor | tuple[Tensor, ...], Tensor]


@dataclass(frozen=True)
class Loaded:
    """A case in memory: picture (height, width) or (height, width, 3), labels and further inputs (height, width)."""

    case: Case
    image: Picture
    mask: Labels
    inputs: Mapping[str, Grey] = field(default_factory=dict)

    @property
    def grid(self) -> Region:
        return Region(0, 0, self.image.shape[1], self.image.shape[0])


class Stored(Sequence[Loaded]):
    """Cases that are read each time they are asked for."""

    def __init__(self, cases: Sequence[Case], longest: int | None = None, inputs: Collection[str] = ()) -> None:
        self.cases = cases
        self.longest = longest
        self.inputs = inputs

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: Any) -> Any:
        return _shrunk(_read(self.cases[index], self.inputs), self.longest)


def load(cases: Sequence[Case], longest: int | None = None, inputs: Collection[str] = ()) -> list[Loaded]:
    """Read all cases with those of their further ``inputs`` that are named.

    With ``longest`` the longer side is shrunk to that many pixels (for whole-picture training). Raises ValueError for a
    mask or a further input of another size than its picture.
    """
    return list(Stored(cases, longest, inputs))


def cases_of(loaded: Sequence[Loaded]) -> Sequence[Case]:
    """The cases, without reading anything."""
    return loaded.cases if isinstance(loaded, Stored) else [one.case for one in loaded]


def masks_of(loaded: Sequence[Loaded]) -> Iterator[Labels]:
    """The labels, without reading pictures."""
    if isinstance(loaded, Stored):
        return (case.read_mask() for case in loaded.cases)
    return (one.mask for one in loaded)


def _read(case: Case, wanted: Collection[str]) -> Loaded:
    inputs = {name: read_grey(path) for name, path in case.inputs.items() if name in wanted}
    loaded = Loaded(case, case.read_image(), case.read_mask(), inputs)
    for name, plane in (("mask", loaded.mask), *inputs.items()):
        if plane.shape != loaded.image.shape[:2]:
            raise ValueError(
                f"Found a {name} of {plane.shape} for {case.image} of {loaded.image.shape[:2]}; wanted one size "
                f"(height, width). Restore the {name} or leave the case {case.name} out."
            )
    return loaded


def _shrunk(loaded: Loaded, longest: int | None) -> Loaded:
    height, width = loaded.image.shape[:2]
    if longest is None or max(height, width) <= longest:
        return loaded
    scale = longest / max(height, width)
    size = round(height * scale), round(width * scale)
    inputs = {name: np.asarray(resize(plane, *size), np.uint8) for name, plane in loaded.inputs.items()}
    mask = resize(loaded.mask, *size, interpolation="nearest")
    return Loaded(loaded.case, resize(loaded.image, *size), mask, inputs)


def region_of(recipe: Recipe) -> str:
    """What the recipe's network looks at: ``crop``, ``mask_out`` or ``whole``."""
    return recipe.region or ("crop" if recipe.task in CROPS else "whole")


def longest_side(recipe: Recipe) -> int:
    """Pixels beyond which a view shows the network nothing more."""
    return max(CACHED_SIDE, *recipe.input.size)


@dataclass(frozen=True, eq=False)
class View:
    """What is seen of a case: picture, labels and further inputs of one size (height, width)."""

    image: Picture
    mask: Labels
    inputs: Mapping[str, Grey]


class Samples(Dataset[Sample]):
    """(input (channels, h, w), target, category) per case.

    The target is a mask (1, h, w) 0 to 1, for ``labels`` a label map int64 (h, w), for ``map`` the depth (1, h, w),
    0 to 1. ``fuse`` has it as a further channel behind the picture's, and beside the label map as a second target.

    Category is 1 or 0 (is any lesion in view), for ``classify`` the index in the recipe's classes, -1 where it is
    ambiguous. With ``training`` off nothing is random: the whole picture, or the crop around the true box or the best
    of ``boxes``. There it also says what the localiser has decided already (`training.tasks`): where it found nothing
    that meets the lesion, the network is shown the true box or another, but what it draws does not count.
    """

    def __init__(self, loaded: Sequence[Loaded], recipe: Recipe, *, training: bool, boxes: Boxes | None = None) -> None:
        self.loaded = loaded
        self.recipe = recipe
        self.training = training
        self.strength = recipe.augment
        self.boxes = boxes or {}
        self.epoch = 0
        donors = loaded if training and recipe.augment.paste else ()
        self.grafts = transplant.grafts((one.image, self._truth(one)) for one in donors)

    def __len__(self) -> int:
        return len(self.loaded)

    def __getitem__(self, index: int) -> Sample:
        one = self.loaded[index]
        rng = np.random.default_rng((self.recipe.schedule.seed, self.epoch, index))
        view = self._view(one, rng)
        image = torch.from_numpy(prepare(in_channels(view.image), self.recipe.input)[0])
        category = torch.tensor(self._decided(one, view.mask, self._category(one, view.mask)))
        match self.recipe.task:
            case "labels":
                return image, self._labels(view), category
            case "fuse":
                depth = self._depth(one, view)
                return torch.cat([image, depth]), (self._labels(view), depth), category
            case "map":
                return image, self._depth(one, view), category
            case _:
                return image, self._mask(view.mask), category

    def _view(self, one: Loaded, rng: np.random.Generator) -> View:
        one = self._reshaped(one, rng) if self.training else one
        region = self._region(one, rng)
        if region_of(self.recipe) == "mask_out":
            one, region = _masked_out(one, region), one.grid
        if not self.training:
            image, mask = (crop(plane[None], region)[0] for plane in (one.image, self._truth(one)))
            return View(image, mask, _cut(one, region))
        return self._varied(one, region, rng)

    def _reshaped(self, one: Loaded, rng: np.random.Generator) -> Loaded:
        """The case with another one's lesion beside its own, and softly deformed, as often as the recipe says."""
        image, mask, inputs = one.image, one.mask, one.inputs
        if self.grafts and rng.random() < self.strength.paste:
            graft = self.grafts[int(rng.integers(len(self.grafts)))]
            image, mask = transplant.paste(image, mask, graft, rng)
        if self.strength.elastic and rng.random() < self.strength.elastic:
            field = transplant.deformation(mask.shape, rng)
            image, mask = field.warp(image), field.warp(mask, labels=True)
            inputs = {name: field.warp(plane) for name, plane in inputs.items()}
        return Loaded(one.case, image, mask, inputs)

    def _varied(self, one: Loaded, region: Region, rng: np.random.Generator) -> View:
        strength = self.strength
        seen = augment.geometry(region, strength, rng, longest_side(self.recipe))
        mask = seen.warp(self._truth(one), labels=True)

        def change(image: Grey) -> Grey:
            image = augment.lesion_echo(image, mask, strength.echo, rng)
            image = augment.photometric(image, strength.photometric, rng)
            return augment.burn_in(augment.light(image, strength, rng), mask, strength.burn_in, rng)

        image = augment.in_eight_bits(seen.warp(one.image), change)
        inputs = {name: np.asarray(seen.warp(plane), np.uint8) for name, plane in one.inputs.items()}
        return View(image, _swapped(mask, self.recipe.swaps) if seen.mirrored else mask, inputs)

    def _truth(self, one: Loaded) -> Labels:
        """Labels as they are, or 0 and 1 where only the lesion counts."""
        if self.recipe.task in ("labels", "fuse"):
            return one.mask
        return np.asarray((one.mask > 0) & (one.mask != self.recipe.ignore), np.uint8)

    def _region(self, one: Loaded, rng: np.random.Generator) -> Region:
        if region_of(self.recipe) == "whole":
            return one.grid
        return looked_at(self._box(one, rng), self.recipe.look, one.grid)

    def _box(self, one: Loaded, rng: np.random.Generator) -> Region:
        recipe, truth, found = self.recipe, lesion_boxes(self._truth(one)), self.boxes.get(one.case.name, ())
        if not (truth or found) or (self.training and rng.random() < recipe.negatives):
            return random_box(one.grid, rng)
        if not self.training:
            return (*found, *truth)[0].clipped(one.grid)
        if found and (not truth or rng.random() < recipe.boxes_share):
            return found[int(rng.integers(len(found)))].clipped(one.grid)
        return jittered(truth[int(rng.integers(len(truth)))], one.grid, rng, recipe.jitter)

    def _decided(self, one: Loaded, seen: Labels, category: int) -> int:
        """The category, or in validation what a localiser that looked at the picture has made of it."""
        found = None if self.training or region_of(self.recipe) == "whole" else self.boxes.get(one.case.name)
        if found is None or category == AMBIGUOUS:
            return category
        if self._truth(one).any():
            return category if len(found) and seen.any() else MISSED
        return category if len(found) else SILENT

    def _category(self, one: Loaded, mask: Labels) -> int:
        present = float((mask > 0).mean()) > one.case.sliver
        if self.recipe.task != "classify":
            return int(present)
        if one.case.ambiguous and (present or region_of(self.recipe) == "whole"):
            return AMBIGUOUS
        # The whole picture is of its category whatever a view shows of the lesion.
        seen = present or region_of(self.recipe) == "whole"
        return self._class(one.case) if seen else self._index("normal")

    def _class(self, case: Case) -> int:
        if case.category not in self.recipe.names:
            raise ValueError(
                f"Found category {case.category!r} of case {case.name}; wanted one of {', '.join(self.recipe.names)}. "
                "Mend the recipe's `classes`."
            )
        return self._index(case.category)

    def _index(self, category: str) -> int:
        """Place among the classes, -1 for a category that is none of them and therefore does not count."""
        return self.recipe.names.index(category) if category in self.recipe.names else AMBIGUOUS

    def _mask(self, mask: Labels) -> Tensor:
        return torch.from_numpy(prepare(mask[..., None].astype(np.float32), _mask_spec(self.recipe.input))[0])

    def _labels(self, view: View) -> Tensor:
        """Label map on the network's grid; what letterboxing adds is background."""
        spec = self.recipe.input
        there, canvas = place(view.mask.shape[:2], spec), np.zeros(spec.size, np.int64)
        rows, columns = slice(there.top, there.top + there.height), slice(there.left, there.left + there.width)
        canvas[rows, columns] = resize(view.mask, there.height, there.width, "nearest")
        return torch.from_numpy(canvas)

    def _depth(self, one: Loaded, view: View) -> Tensor:
        if DEPTH not in view.inputs:
            raise ValueError(
                f"Found no depth of case {one.case.name}; wanted a file beside {one.case.image}. Make it with "
                "`breast-cascade-train data depth`."
            )
        plane = view.inputs[DEPTH][..., None].astype(np.float32) / np.float32(255)
        return torch.from_numpy(prepare_map(plane, self.recipe.input))


def in_channels(image: Picture) -> NDArray[Any]:
    """(height, width) or (height, width, channels) with its channel axis."""
    return image[..., None] if image.ndim == 2 else image


def _cut(one: Loaded, region: Region) -> dict[str, Grey]:
    return {name: crop(plane[None], region)[0] for name, plane in one.inputs.items()}


def _masked_out(one: Loaded, region: Region) -> Loaded:
    """The case with everything outside of ``region`` black, and no lesion there."""
    image, mask, inside = np.zeros_like(one.image), np.zeros_like(one.mask), region.slices[1:]
    image[inside], mask[inside] = one.image[inside], one.mask[inside]
    return Loaded(one.case, image, mask, one.inputs)


def _swapped(mask: Labels, pairs: Sequence[tuple[int, int]]) -> Labels:
    table = np.arange(256, dtype=np.uint8)
    for one, other in pairs:
        table[[one, other]] = table[[other, one]]
    return np.asarray(table[mask]) if pairs else mask


def _mask_spec(spec: InputSpec) -> InputSpec:
    plain = {"window": Window(kind="range", low=0, high=1), "channels": 1, "mean": (0.0,), "std": (1.0,)}
    return spec.model_copy(update={**plain, "enhance": "none", "interpolation": "linear"})
