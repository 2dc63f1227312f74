"""Which cases an epoch shows, in which order, and the loaders that show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from training.datasets.case import Case
from training.distributed import World
from training.recipe import Recipe, resolve
from training.regions import read_boxes
from training.samples import DEPTH, Loaded, Samples, Stored, load, longest_side, region_of
from training.split import Split, split


class Order(Sampler[int]):
    """Indices of one epoch, this process's share of them: each case once, or drawn by weight with replacement."""

    def __init__(self, count: int, weights: Sequence[float] | None, generator: torch.Generator, world: World) -> None:
        self.count = count
        self.weights = weights
        self.generator = generator
        self.world = world

    def __len__(self) -> int:
        return self.count // self.world.size

    def __iter__(self) -> Iterator[int]:
        every = self._drawn()
        yield from every[self.world.rank : len(self) * self.world.size : self.world.size]

    def _drawn(self) -> list[int]:
        if self.weights is None:
            return torch.randperm(self.count, generator=self.generator).tolist()
        weights = torch.tensor(self.weights, dtype=torch.float64)
        return torch.multinomial(weights, self.count, replacement=True, generator=self.generator).tolist()


def balance(recipe: Recipe, loaded: Sequence[Loaded]) -> list[float] | None:
    """Weight of each case: one over how many share its category, or whether they show a lesion; None for no weights."""
    match recipe.sampling:
        case "class_balanced":
            kinds: list[Any] = [one.case.category for one in loaded]
        case "lesion_balanced":
            kinds = [bool((one.mask > 0).any()) for one in loaded]
        case "none":
            return None
    counts = Counter(kinds)
    return [1 / counts[kind] for kind in kinds]


@dataclass(frozen=True, eq=False)
class Loaders:
    """The training and validation part as batches, and the training cases themselves."""

    train: DataLoader[Any]
    validation: DataLoader[Any]
    cases: Sequence[Loaded]


def loaders(recipe: Recipe, data: Any, workers: int, world: World) -> Loaders:
    """Read the data set's folder ``data`` and split it as the recipe says.

    Raises ValueError where there are fewer training cases than a batch has, or no validation case.
    """
    parts = parts_of(recipe, data)
    _check_enough(parts, recipe.schedule.batch * world.size)
    boxes = read_boxes(recipe.boxes) if recipe.boxes else None
    cases = _loaded(recipe, taught(recipe, parts.train))
    train = Samples(cases, recipe, training=True, boxes=boxes)
    validation = Samples(_loaded(recipe, parts.validation), recipe, training=False, boxes=boxes)
    seeded = torch.Generator().manual_seed(recipe.schedule.seed)
    order = Order(len(train), balance(recipe, cases), seeded, world)
    batch, pinned = recipe.schedule.batch, world.device.type == "cuda"
    return Loaders(
        DataLoader(
            train, batch, sampler=order, drop_last=True, num_workers=workers, generator=seeded, pin_memory=pinned
        ),
        DataLoader(validation, batch, num_workers=0, pin_memory=pinned),
        cases,
    )


def parts_of(recipe: Recipe, data: Any) -> Split:
    """The data set's cases, split as the recipe says."""
    cases = resolve(recipe.dataset)(data, **recipe.dataset.arguments)
    return split(cases, recipe.test_fold, recipe.validation, recipe.excluded)


def _loaded(recipe: Recipe, cases: Sequence[Case]) -> Sequence[Loaded]:
    # Crops are cut from the full resolution; a whole picture is shrunk anyway.
    longest = longest_side(recipe) if region_of(recipe) == "whole" else None
    inputs = (DEPTH,) if recipe.task == "fuse" else ()
    return load(cases, longest, inputs) if recipe.in_memory else Stored(cases, longest, inputs)


def taught(recipe: Recipe, cases: Sequence[Case]) -> list[Case]:
    """The cases that training draws from: a segmenter without negatives sees no normal pictures at all."""
    lesions_only = recipe.task == "segment" and recipe.negatives == 0
    return [case for case in cases if not (lesions_only and case.category == "normal")]


def _check_enough(parts: Split, batch: int) -> None:
    if len(parts.train) < batch or not parts.validation:
        raise ValueError(
            f"Found {len(parts.train)} training and {len(parts.validation)} validation cases; wanted a batch of {batch}"
            " and at least one. Give more cases, a smaller batch or a larger validation part."
        )
