"""The training loop: one recipe in, the weights that validated best out, resumable at every epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from training.datasets.case import Case
from training.recipe import Recipe, resolve
from training.samples import CACHED_SIDE, Samples, load
from training.split import Split, split
from training.tasks import TASKS

CHECKPOINT, BEST, LAST = "checkpoint.pt", "best.pt", "last.pt"


@dataclass
class State:
    """Everything that changes while training; its tensors are what a checkpoint holds."""

    network: nn.Module
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    best: float = -math.inf
    history: list[dict[str, float]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write a checkpoint whole or not at all."""
        parts = {name: getattr(self, name).state_dict() for name in ("network", "average", "optimizer")}
        plain = {"epoch": self.epoch, "best": self.best, "history": self.history}
        _save(parts | plain, path)

    def restore(self, path: Path) -> None:
        """Read a checkpoint written by `save`."""
        saved = torch.load(path, weights_only=True)
        for name in ("network", "average", "optimizer"):
            getattr(self, name).load_state_dict(saved[name])
        self.epoch, self.best, self.history = saved["epoch"], saved["best"], saved["history"]


def _save(content: Any, path: Path) -> None:
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    partial.replace(path)


def build_network(recipe: Recipe) -> nn.Module:
    """The recipe's network, seeded, with the starting weights taken over where names and shapes match."""
    torch.manual_seed(recipe.schedule.seed)
    network: nn.Module = resolve(recipe.network)(**recipe.network.arguments)
    if recipe.start is not None:
        _take_over(network, torch.load(recipe.start, weights_only=True))
    return network.to(memory_format=torch.channels_last)


def _take_over(network: nn.Module, weights: dict[str, Tensor]) -> None:
    own = network.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    if not fitting:
        raise ValueError(
            "Found no parameter of the starting weights in this network; wanted some names and shapes in common. "
            "Start from a checkpoint of the same family."
        )
    network.load_state_dict(own | fitting)


def fit(recipe: Recipe, data: Path, out: Path, *, resume: bool = False, workers: int = 1) -> Path:
    """Train and return the path of the best weights (a state dict of the averaged network).

    Writes to ``out``: ``best.pt``, ``last.pt`` (the averaged weights after the last epoch, when it is through),
    ``checkpoint.pt`` for resuming, and TensorBoard events. With ``resume`` an interrupted run goes on after its last
    finished epoch; without it ``out`` must hold no checkpoint (FileExistsError).
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / CHECKPOINT
    if checkpoint.exists() and not resume:
        raise FileExistsError(
            f"Found a checkpoint in {out}; wanted an empty folder. Pass --resume to go on or choose another folder."
        )
    train, validation = _loaders(recipe, data, workers)
    state = _start(recipe)
    if checkpoint.exists():
        state.restore(checkpoint)
    with SummaryWriter(str(out)) as board, _progress() as progress:
        for _ in _epochs(recipe, state, progress):
            _one_epoch(recipe, state, train, progress)
            _validate(recipe, state, validation, out)
            for name, value in state.history[-1].items():
                board.add_scalar(name, value, state.epoch)
            state.save(checkpoint)
    _save(state.average.module.state_dict(), out / LAST)
    return out / BEST


def _start(recipe: Recipe) -> State:
    network = build_network(recipe)
    schedule = recipe.schedule
    average = AveragedModel(network, avg_fn=partial(moving_average, schedule.average), use_buffers=True)
    optimizer = torch.optim.AdamW(network.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay)
    return State(network, average, optimizer)


def moving_average(decay: float, averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
    """Exponential moving average that forgets the random start: the decay grows with ``count``, the updates so far."""
    if not averaged.is_floating_point():
        return current
    return torch.lerp(averaged, current, 1 - min(decay, (1 + int(count)) / (10 + int(count))))


def _loaders(recipe: Recipe, data: Path, workers: int) -> tuple[DataLoader[Any], DataLoader[Any]]:
    parts = split(resolve(recipe.dataset)(data, **recipe.dataset.arguments), recipe.test_fold, recipe.validation)
    _check_enough(parts, recipe.schedule.batch)
    longest = CACHED_SIDE if recipe.task == "localise" else None
    train = Samples(load(_taught(recipe, parts.train), longest), recipe, training=True)
    validation = Samples(load(parts.validation, longest), recipe, training=False)
    order = torch.Generator().manual_seed(recipe.schedule.seed)
    batch = recipe.schedule.batch
    return (
        DataLoader(train, batch, shuffle=True, drop_last=True, num_workers=workers, generator=order),
        DataLoader(validation, batch, num_workers=0),
    )


def _check_enough(parts: Split, batch: int) -> None:
    if len(parts.train) < batch or not parts.validation:
        raise ValueError(
            f"Found {len(parts.train)} training and {len(parts.validation)} validation cases; wanted a batch of {batch}"
            " and at least one. Give more cases, a smaller batch or a larger validation part."
        )


def _taught(recipe: Recipe, cases: Sequence[Case]) -> list[Case]:
    """The cases that training draws from: a segmenter without negatives sees no normal pictures at all."""
    lesions_only = recipe.task == "segment" and recipe.negatives == 0
    return [case for case in cases if not (lesions_only and case.category == "normal")]


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Data on stdout, progress on stderr.
    return Progress(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True))


def _epochs(recipe: Recipe, state: State, progress: Progress) -> Iterator[int]:
    total = recipe.schedule.epochs
    bar = progress.add_task(recipe.name, total=total, completed=state.epoch, note="")
    while state.epoch < total:
        yield state.epoch
        last = state.history[-1]
        note = f"loss {last['loss']:.4f}  validation {TASKS[recipe.task].measure} {last['validation']:.4f}"
        progress.update(bar, completed=state.epoch, note=f"{note}  best {state.best:.4f}")
        progress.log(f"{recipe.name} epoch {state.epoch}: {note}")


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Rate after ``progress`` epochs (fractions allowed): linear over the first epoch, then half a cosine to zero."""
    schedule = recipe.schedule
    warm = min(1.0, progress + 0.02)
    return schedule.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, progress / schedule.epochs)))


def _one_epoch(recipe: Recipe, state: State, batches: DataLoader[Any], progress: Progress) -> None:
    _begin(recipe.schedule.seed, state.epoch, batches)
    state.network.train()
    bar = progress.add_task(f"epoch {state.epoch + 1}", total=len(batches), note="")
    losses = []
    for step, batch in enumerate(batches):
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, state.epoch + step / len(batches))
        losses.append(_step(recipe, state, batch))
        progress.update(bar, advance=1, note=f"loss {losses[-1]:.4f}")
    progress.remove_task(bar)
    state.epoch += 1
    state.history.append({"loss": float(np.mean(losses)), "learning_rate": learning_rate(recipe, state.epoch)})


def _begin(seed: int, epoch: int, batches: DataLoader[Any]) -> None:
    """Make augmentation, order and dropout of an epoch depend on nothing before it.

    A resumed run then goes on as if it had never been interrupted.
    """
    batches.dataset.epoch = epoch  # type: ignore[attr-defined]
    number = int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])
    torch.manual_seed(number)
    batches.generator.manual_seed(number)  # type: ignore[union-attr]


def _step(recipe: Recipe, state: State, batch: tuple[Tensor, Tensor, Tensor]) -> float:
    image, target, category = batch
    with _autocast(recipe):
        output = state.network(image.contiguous(memory_format=torch.channels_last))
    loss = TASKS[recipe.task].loss(_as_float(output), target, category)
    if not torch.isfinite(loss):
        raise FloatingPointError(
            f"Found a loss of {loss.item()} in epoch {state.epoch + 1}; wanted a finite one. Lower the learning rate."
        )
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(state.network.parameters(), 5.0)
    state.optimizer.step()
    state.average.update_parameters(state.network)
    return loss.item()


def _autocast(recipe: Recipe) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=recipe.schedule.precision == "bfloat16")


def _as_float(output: Any) -> Any:
    return tuple(part.float() for part in output) if isinstance(output, tuple) else output.float()


@torch.no_grad()
def _validate(recipe: Recipe, state: State, batches: DataLoader[Any], out: Path) -> None:
    state.average.eval()
    scores = []
    for image, target, category in batches:
        with _autocast(recipe):
            output = state.average(image.contiguous(memory_format=torch.channels_last))
        scores.append(TASKS[recipe.task].score(_as_float(output), target, category))
    score = float(torch.cat(scores).nanmean())
    if math.isnan(score):
        raise ValueError(
            "Found no validation case with a lesion; wanted at least one. Give more cases or a larger validation part."
        )
    state.history[-1]["validation"] = score
    if score > state.best:
        state.best = score
        _save(state.average.module.state_dict(), out / BEST)
