"""A run folder to predictions: the network that a run kept, seeing pictures as training and serving show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from service.decode import label_probabilities, softmax
from service.image import Point, Region, crop
from service.preprocess import Placement, prepare, prepare_map, restore
from service.stages import looked_at
from training.datasets.case import Picture
from training.distributed import found_device
from training.fit import BEST
from training.prompts import Prompts, points_of_box, told
from training.recipe import Recipe, read_recipe
from training.run_folder import CONFIG
from training.samples import in_channels, region_of
from training.state import build_network, load_weights

Float = NDArray[np.float32]
Boxes = Sequence[Region | Sequence[int]]
Points = Sequence[Sequence[Point]]
EXCLUSIVE = ("labels", "fuse")


@dataclass(frozen=True)
class Asked:
    """One object that a prompted network is asked for: its box, and points inside."""

    box: Region
    points: Sequence[Point]


@dataclass(frozen=True, eq=False)
class Predictor:
    """A trained network with the recipe it was trained by; call it with a picture.

    Attributes:
        recipe: says what the network sees and what it tells.
        network: in evaluation mode.
        device: on which it computes.
    """

    recipe: Recipe
    network: nn.Module
    device: torch.device

    def __call__(
        self,
        image: Picture,
        *,
        boxes: Boxes | None = None,
        points: Points | None = None,
        depth: Picture | None = None,
    ) -> Float:
        """Probabilities (labels, height, width) on the picture's own grid; for ``classify`` scores (labels,).

        The tasks ``labels`` and ``fuse`` give all their labels, background first, the others the lesion alone, ``map``
        its map. What looks at regions or is prompted needs ``boxes`` (left, top, right, bottom; half-open) in pixels:
        each is predicted, and where they overlap the likeliest counts; with none at all everything is background. A
        network that was taught to be prompted by points is told ``points``, some for each box; without any, those of
        the box itself, its middle first. ``fuse`` needs ``depth`` (height, width), uint8.

        Raises ValueError without boxes or depth that the task needs, and for points of more or fewer boxes.
        """
        if self.recipe.task == "classify":
            return softmax(self._outputs(image, self._classified(image, boxes), depth)[0][0])
        if not self._boxed:
            return self._whole(image, None, depth)
        canvas = self._empty(image)
        for one in self._asked(self._boxes(boxes), points):
            region, probability = self._at(image, one, depth)
            _merge(canvas, probability, region)
        return canvas

    def presence(self, image: Picture) -> float:
        """Probability that there is a lesion at all, of a ``localise`` network. Raises ValueError for another task."""
        if self.recipe.task != "localise":
            raise ValueError(f"Found task {self.recipe.task}; wanted localise, which alone tells it. Ask for the map.")
        (_, presence), _ = self._outputs(image, _grid(image), None)
        return float(1 / (1 + np.exp(-presence[0])))

    @property
    def _boxed(self) -> bool:
        return region_of(self.recipe) != "whole" or self.recipe.task == "prompt"

    def _boxes(self, boxes: Boxes | None) -> list[Region]:
        if boxes is None:
            raise ValueError(
                f"Found no boxes for {self.recipe.name}; wanted those of a localiser: it was trained to look at them. "
                "Pass boxes, an empty list where nothing was found."
            )
        return [box if isinstance(box, Region) else Region(*box) for box in boxes]

    @property
    def _prompts(self) -> Prompts:
        return Prompts.model_validate(self.recipe.prompts)

    def _asked(self, boxes: Sequence[Region], points: Points | None) -> list[Asked]:
        if points is None:
            count = self._prompts.points if self.recipe.task == "prompt" else 0
            return [Asked(box, points_of_box(box, count)) for box in boxes]
        if len(points) != len(boxes):
            raise ValueError(
                f"Found points of {len(points)} objects for {len(boxes)} boxes; wanted some for each. Pair them."
            )
        return [Asked(box, some) for box, some in zip(boxes, points, strict=True)]

    def _classified(self, image: Picture, boxes: Boxes | None) -> Region:
        if not self._boxed:
            return _grid(image)
        first, *_ = self._boxes(boxes) or [_grid(image)]
        return looked_at(first, self.recipe.look, _grid(image))

    def _at(self, image: Picture, asked: Asked, depth: Picture | None) -> tuple[Region, Float]:
        if self.recipe.task == "prompt":
            return _grid(image), self._whole(image, asked, depth)
        region = looked_at(asked.box, self.recipe.look, _grid(image))
        if region_of(self.recipe) == "mask_out":
            black = np.zeros_like(image)
            black[region.slices[1:]] = image[region.slices[1:]]
            return _grid(image), self._whole(black, None, depth)
        outputs, placement = self._outputs(image, region, depth)
        return region, self._probabilities(outputs[0], placement)

    def _whole(self, image: Picture, asked: Asked | None, depth: Picture | None) -> Float:
        outputs, placement = self._outputs(image, _grid(image), depth, asked)
        return self._probabilities(outputs[0], placement)

    def _probabilities(self, logits: Float, placement: Placement) -> Float:
        if self.recipe.probabilities or self.recipe.task == "map":
            return restore(np.clip(logits, 0, 1), placement)
        probability = softmax(logits) if self.recipe.task in EXCLUSIVE else label_probabilities(logits, exclusive=False)
        return restore(probability, placement)

    def _empty(self, image: Picture) -> Float:
        labels = len(self.recipe.names) if self.recipe.task in EXCLUSIVE else 1
        canvas = np.zeros((labels, *image.shape[:2]), np.float32)
        if labels > 1:
            canvas[0] = 1
        return canvas

    @torch.no_grad()
    def _outputs(
        self, image: Picture, region: Region, depth: Picture | None, asked: Asked | None = None
    ) -> tuple[list[Any], Placement]:
        """The network's outputs for one region, each without the batch, and the way back."""
        seen = crop(in_channels(image)[None], region)[0]
        tensor, placement = prepare(seen, self.recipe.input)
        if self.recipe.task == "fuse":
            tensor = np.concatenate([tensor, self._depth(depth, region)])
        inputs = [torch.from_numpy(tensor)[None]]
        if asked is not None:
            prompt = told(self._prompts, placement, asked.box, asked.points)
            inputs += [torch.from_numpy(one)[None] for one in prompt.values()]
        outputs = self.network(*(one.to(self.device) for one in inputs))
        return [one[0].cpu().numpy() for one in (outputs if isinstance(outputs, tuple) else (outputs,))], placement

    def _depth(self, depth: Picture | None, region: Region) -> Float:
        if depth is None:
            raise ValueError(f"Found no depth for {self.recipe.name}; wanted a map beside the picture. Pass depth.")
        plane = crop(depth[None], region)[0][..., None].astype(np.float32) / np.float32(255)
        return prepare_map(plane, self.recipe.input)


def _grid(image: Picture) -> Region:
    return Region(0, 0, image.shape[1], image.shape[0])


def _merge(canvas: Float, probability: Float, region: Region) -> None:
    """Lay a region's probabilities over the canvas where it is surer of something than what lies there."""
    there = canvas[:, region.top : region.bottom, region.left : region.right]
    foreground = slice(1, None) if len(canvas) > 1 else slice(None)
    surer = probability[foreground].max(axis=0) > there[foreground].max(axis=0)
    there[:, surer] = probability[:, surer]


def predictor(run: Path, *, weights: str = BEST, device: str = "auto") -> Predictor:
    """What a run folder's network predicts, by its best weights.

    Raises FileNotFoundError for a folder without them, ValueError for weights that are not this recipe's.
    """
    for name in (CONFIG, weights):
        if not (run / name).is_file():
            raise FileNotFoundError(
                f"Found no {name} in {run}; wanted a run folder. Give one that `breast-cascade-train fit` wrote."
            )
    recipe, here = read_recipe(run / CONFIG), torch.device(found_device(device))
    network = build_network(recipe, start=False)
    load_weights(network, run / weights, recipe)
    return Predictor(recipe, network.to(here).eval(), here)
