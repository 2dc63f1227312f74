"""Which cases an epoch shows, in which order, and the loaders that show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler

from training.datasets.case import Case, Picture
from training.distributed import World
from training.embeddings import EmbeddingStore
from training.map_files import with_maps
from training.prompts import Prompts, PromptSamples, View
from training.recipe import Recipe, build
from training.regions import read_boxes
from training.samples import (
    DEPTH,
    Loaded,
    Samples,
    Stored,
    cases_of,
    in_channels,
    load,
    longest_side,
    masks_of,
    region_of,
)
from training.split import Split, split

AnySamples = Samples | PromptSamples
Embed = Callable[[Picture], Tensor]


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
            kinds: list[Any] = [case.category for case in cases_of(loaded)]
        case "lesion_balanced":
            kinds = [bool((mask > 0).any()) for mask in masks_of(loaded)]
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


def loaders(recipe: Recipe, data: Any, workers: int, world: World, store: EmbeddingStore | None = None) -> Loaders:
    """Read the data set's folder ``data`` and split it as the recipe says.

    ``store`` keeps the embeddings that ``prompt`` takes in place of pictures; it is filled first. Raises ValueError
    where there are fewer training cases than a batch has, or no validation case.
    """
    train, validation = _both(recipe, data, world, store)
    seeded = torch.Generator().manual_seed(recipe.schedule.seed)
    order = Order(len(train), _weights(recipe, train), seeded, world)
    batch, pinned = recipe.schedule.batch, world.device.type == "cuda"
    return Loaders(
        DataLoader(
            train, batch, sampler=order, drop_last=True, num_workers=workers, generator=seeded, pin_memory=pinned
        ),
        DataLoader(validation, batch, num_workers=0, pin_memory=pinned),
        train.loaded,
    )


def _both(recipe: Recipe, data: Any, world: World, store: EmbeddingStore | None) -> tuple[AnySamples, AnySamples]:
    parts = parts_of(recipe, data)
    batch = recipe.schedule.batch * world.size
    _check_enough(len(parts.train), len(parts.validation), batch)
    embed = None if store is None else store.of
    train = samples_of(recipe, _loaded(recipe, taught(recipe, parts.train)), training=True, embed=embed)
    validation = samples_of(recipe, _loaded(recipe, parts.validation), training=False, embed=embed)
    _check_enough(len(train), len(validation), batch)
    if store is not None:
        # Processes that prepare batches then read embeddings and never run the encoder.
        for part in (train, validation):
            store.fill([in_channels(one.image) for one in part.loaded], _counted)
    return train, validation


def samples_of(recipe: Recipe, loaded: Sequence[Loaded], *, training: bool, embed: Embed | None = None) -> AnySamples:
    """What the recipe's network sees of some cases."""
    boxes = read_boxes(recipe.boxes) if recipe.boxes else None
    if recipe.task != "prompt":
        return Samples(loaded, recipe, training=training, boxes=boxes)
    prompts, seed = Prompts.model_validate(recipe.prompts), recipe.schedule.seed if training else None
    return PromptSamples(loaded, prompts, View(recipe.input, embed), boxes=boxes, seed=seed)


def _counted(pictures: Sequence[Picture]) -> Iterable[Picture]:
    return track(pictures, "embeddings", console=Console(stderr=True))


def embedding(recipe: Recipe, network: nn.Module, out: Path) -> EmbeddingStore | None:
    """Where the embeddings of pictures are kept if ``prompt`` trains a decoder alone; else None.

    ``network`` is then `models.sam.Sam` or has an ``encoder`` as it has.
    """
    encoder = getattr(network, "encoder", None)
    if recipe.task != "prompt" or encoder is None or any(one.requires_grad for one in encoder.parameters()):
        return None
    return EmbeddingStore(recipe.embeddings or out / "embeddings", encoder, recipe.input)


def case_of(samples: AnySamples, index: int) -> Loaded:
    """The case that a sample shows."""
    return samples.loaded[samples.places[index][0] if isinstance(samples, PromptSamples) else index]


def _weights(recipe: Recipe, samples: AnySamples) -> list[float] | None:
    weights = balance(recipe, samples.loaded)
    if weights is None or isinstance(samples, Samples):
        return weights
    return [weights[case] for case, _ in samples.places]


def parts_of(recipe: Recipe, data: Any) -> Split:
    """The data set's cases, split as the recipe says; the test part keeps all categories."""
    cases = build(recipe.dataset, "dataset", data)
    parts = split(cases, recipe.test_fold, recipe.validation, recipe.excluded)
    return Split(_chosen(recipe, parts.train), _chosen(recipe, parts.validation), parts.test)


def _chosen(recipe: Recipe, cases: Sequence[Case]) -> tuple[Case, ...]:
    wanted = recipe.categories
    return tuple(case for case in cases if wanted is None or case.category in wanted)


def _loaded(recipe: Recipe, cases: Sequence[Case]) -> Sequence[Loaded]:
    # Crops are cut from the full resolution; a whole picture is shrunk anyway.
    longest = longest_side(recipe) if region_of(recipe) == "whole" else None
    inputs = (DEPTH,) if recipe.task in ("fuse", "map") else ()
    cases = with_maps(cases, recipe.maps)
    return load(cases, longest, inputs) if recipe.in_memory else Stored(cases, longest, inputs)


def taught(recipe: Recipe, cases: Sequence[Case]) -> list[Case]:
    """The cases that training draws from: a segmenter without negatives sees no normal pictures at all."""
    lesions_only = recipe.task == "segment" and recipe.negatives == 0
    return [case for case in cases if not (lesions_only and case.category == "normal")]


def _check_enough(train: int, validation: int, batch: int) -> None:
    if train < batch or not validation:
        raise ValueError(
            f"Found {train} training and {validation} validation cases; wanted a batch of {batch} and at least one. "
            "Give more cases, a smaller batch or a larger validation part."
        )
