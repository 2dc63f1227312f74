"""The training loop: one recipe in, the weights that validated best out, resumable at every epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from torch import nn
from torch.utils.data import default_collate
from torch.utils.tensorboard import SummaryWriter

from service.preprocess import prepare
from training import run_folder
from training.distributed import World, world
from training.objective import Objective, as_float, mean_score, monitored, objective
from training.optimise import Steps, autocast, freeze, make_optimizer, make_scaler, set_training
from training.prepare.disk import room_on
from training.recipe import Recipe
from training.resume import check_epochs, check_resumed, settled
from training.samples import in_channels
from training.sampling import Loaders, case_of, embedding, loaders
from training.schedules import learning_rate
from training.shown import shown
from training.state import State, averaged, build_network, moving_average, save

CHECKPOINT, BEST, LAST = "checkpoint.pt", "best.pt", "last.pt"

__all__ = ["BEST", "CHECKPOINT", "LAST", "build_network", "fit", "learning_rate", "moving_average"]


@dataclass(frozen=True, eq=False)
class Run:
    """One training as one process sees it."""

    recipe: Recipe
    out: Path
    world: World
    loaders: Loaders
    objective: Objective
    state: State
    replica: nn.Module

    @property
    def checkpoint(self) -> Path:
        return self.out / CHECKPOINT


def fit(recipe: Recipe, data: Path, out: Path, *, resume: bool = False, workers: int = 1) -> Path:
    """Train and return the path of the best weights (a state dict of the averaged network).

    Writes to ``out``: ``best.pt``, ``last.pt`` (the averaged weights after the last epoch, when it is through),
    ``checkpoint.pt`` for resuming, TensorBoard events, and what `training.run_folder` lists. With ``resume`` an
    interrupted run goes on after its last finished epoch, if it is the same training (`training.resume`); without it
    ``out`` must hold no checkpoint (FileExistsError).
    Under torch's launcher all processes train together (`training.distributed`).

    Raises:
        FileExistsError: ``out`` holds a checkpoint and ``resume`` is off.
        FloatingPointError: the loss is no number.
        ImportError: a path in the recipe leads nowhere.
        OSError: a file cannot be written, or the run to resume lacks one; what was saved before stays whole.
        ValueError: recipe, data and checkpoint do not fit each other, or not the run that is to be resumed, of which
            more epochs may be done than are asked for.
    """
    out.mkdir(parents=True, exist_ok=True)
    if (out / CHECKPOINT).exists() and not resume:
        raise FileExistsError(
            f"Found a checkpoint in {out}; wanted an empty folder. Pass --resume to go on or choose another folder."
        )
    recipe = settled(recipe)
    if (out / CHECKPOINT).exists():
        check_resumed(out, recipe, data)
    with world(recipe.device) as here, room_on(out):
        run = _prepared(recipe, data, out, here, workers)
        _check_validation(run)
        if run.checkpoint.exists():
            run.state.restore(run.checkpoint)
            check_epochs(out, run.state.epoch, recipe.schedule.epochs)
        if here.first:
            run_folder.describe(out, recipe, data, here)
        _train(run)
        if here.first:
            save(run.state.kept.state_dict(), out / LAST)
    return out / BEST


def _prepared(recipe: Recipe, data: Path, out: Path, here: World, workers: int) -> Run:
    network = build_network(recipe)
    freeze(network, recipe.freeze)
    network.to(here.device)
    batches = loaders(recipe, data, workers, here, embedding(recipe, network, out))
    goal = objective(recipe, batches.cases)
    if goal.learned is not None:
        goal.learned.to(here.device)
    steps = Steps(
        recipe,
        network,
        goal.learned,
        make_optimizer(recipe, network, goal.learned),
        make_scaler(recipe, here.device),
        here,
    )
    state = State(network, averaged(recipe, network), steps)
    return Run(recipe, out, here, batches, goal, state, here.replica(network))


def _train(run: Run) -> None:
    with ExitStack() as stack:
        progress = stack.enter_context(_progress(run.world))
        boards = [stack.enter_context(SummaryWriter(str(folder))) for folder in _board_folders(run)]
        # Also where training is interrupted.
        if run.world.first:
            stack.callback(run_folder.draw_curves, run.out, run.state.history, run.recipe.name)
        for _ in _epochs(run, progress):
            _one_epoch(run, progress)
            _validate(run)
            if run.world.first:
                _keep(run, boards)


def _board_folders(run: Run) -> list[Path]:
    """Where TensorBoard's events go."""
    if not run.world.first:
        return []
    return [run.out] if run.recipe.logs is None else [run.out, run.recipe.logs]


def _progress(here: World) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Data on stdout, progress on stderr.
    console = Console(stderr=True)
    return Progress(*columns, TextColumn("{task.fields[note]}"), console=console, disable=not here.first)


def _epochs(run: Run, progress: Progress) -> Iterator[int]:
    recipe, state = run.recipe, run.state
    total, patience = recipe.schedule.epochs, recipe.schedule.early_stop
    bar = progress.add_task(recipe.name, total=total, completed=state.epoch, note="")
    begun = state.epoch
    while state.epoch < total and not (patience and state.stale >= patience):
        yield state.epoch
        _report(run, progress, bar)
    if begun and state.epoch == begun and run.world.first:
        progress.log(f"{recipe.name} was finished after {begun} epochs.")


def _report(run: Run, progress: Progress, bar: TaskID) -> None:
    state, last = run.state, run.state.history[-1]
    note = f"loss {last['loss']:.4f}  validation {last['validation']:.4f}"
    progress.update(bar, completed=state.epoch, note=f"{note}  best {state.best:.4f}")
    if run.world.first:
        progress.log(f"{run.recipe.name} epoch {state.epoch}: {note}")


def _one_epoch(run: Run, progress: Progress) -> None:
    state, batches = run.state, run.loaders.train
    _begin(run)
    set_training(run.replica)
    bar = progress.add_task(f"epoch {state.epoch + 1}", total=len(batches), note="")
    losses = []
    for number, batch in enumerate(batches):
        state.steps.set_rate(learning_rate(run.recipe, state.epoch + number / len(batches)))
        losses.append(_step(run, batch, *_place_in_step(run.recipe, number, len(batches))))
        progress.update(bar, advance=1, note=f"loss {losses[-1]:.4f}")
    progress.remove_task(bar)
    state.epoch += 1
    loss = run.world.mean(float(np.mean(losses)))
    state.history.append({"loss": loss, "learning_rate": learning_rate(run.recipe, state.epoch)})


def _place_in_step(recipe: Recipe, number: int, count: int) -> tuple[int, bool]:
    """How many batches make the step that a batch of an epoch belongs to, and whether the batch is its last one."""
    first = number // recipe.schedule.accumulate * recipe.schedule.accumulate
    batches = min(recipe.schedule.accumulate, count - first)
    return batches, number + 1 == first + batches


def _begin(run: Run) -> None:
    """Make augmentation, order and dropout of an epoch depend on nothing before it.

    A resumed run then goes on as if it had never been interrupted.
    """
    batches, seed, epoch = run.loaders.train, run.recipe.schedule.seed, run.state.epoch
    batches.dataset.epoch = epoch  # type: ignore[attr-defined]
    number = int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])
    # Every process drops out something else, and all draw one order.
    torch.manual_seed(number + run.world.rank)
    batches.generator.manual_seed(number)


def _forward(run: Run, network: nn.Module, inputs: Any) -> Any:
    with autocast(run.recipe, run.world.device):
        output = network(*inputs) if isinstance(inputs, tuple) else network(inputs)
    return as_float(output)


def _step(run: Run, batch: Any, batches: int, last: bool) -> float:
    inputs, target, category = run.world.moved(batch)
    loss = run.objective.loss(_forward(run, run.replica, inputs), target, category)
    if not torch.isfinite(loss):
        raise FloatingPointError(
            f"Found a loss of {loss.item()} in epoch {run.state.epoch + 1}; wanted a finite one. Lower the learning "
            "rate."
        )
    run.state.steps.add(loss, batches=batches, last=last, changed=run.state.follow)
    return loss.item()


def _check_validation(run: Run) -> None:
    """See that the best epoch can be told, before the first one; the first process looks for all."""
    seen = (run.objective.counts(target, category) for _, target, category in run.loaders.validation)
    counts = run.world.first and any(not math.isnan(mean_score(one, run.recipe.interest)) for one in seen)
    if not run.world.from_first(float(counts)):
        raise ValueError(
            "Found no validation case with a lesion or label that counts; wanted one. Give more, or a larger part."
        )


@torch.no_grad()
def _validate(run: Run) -> None:
    """Add the validation part's figures to the history; the first process does it for all."""
    figures = _figures(run) if run.world.first else {}
    score = run.world.from_first(figures.get("validation", 0.0))
    run.state.history[-1].update(figures or {"validation": score})


def _figures(run: Run) -> dict[str, float]:
    run.state.kept.eval()
    scores, silences, losses, lesions = [], [], [], []
    for batch in run.loaders.validation:
        inputs, target, category = run.world.moved(batch)
        output = _forward(run, run.state.kept, inputs)
        scores.append(run.objective.score(output, target, category).cpu())
        silences.append(run.objective.silence(output, target, category).cpu())
        losses.append(float(run.objective.validation(output, target, category)) * len(category))
        lesions += run.objective.lesion_dice(output, target, category)
    every, silence = torch.cat(scores), torch.cat(silences)
    figures = {"validation": monitored(every, silence, run.recipe), "validation_loss": sum(losses) / len(every)}
    if not math.isnan(quiet := mean_score(silence, run.recipe.interest)):
        figures["silence"] = quiet
    if every.ndim == 1:
        return figures | ({"dice_lesion": sum(lesions) / len(lesions)} if lesions else {})
    columns = zip(run.recipe.names[1:], every.nanmean(dim=0), strict=True)
    return figures | {f"dice_{name}": float(one) for name, one in columns}


def _keep(run: Run, boards: Sequence[SummaryWriter]) -> None:
    """Write what the epoch gave; the checkpoint comes last, so that a resumed run repeats what was not written."""
    state = run.state
    if state.history[-1]["validation"] > state.best:
        state.best = state.history[-1]["validation"]
        save(state.kept.state_dict(), run.out / BEST)
        _draw(run)
    for board in boards:
        for name, value in state.history[-1].items():
            board.add_scalar(name, value, state.epoch)
        # So that whoever looks meanwhile sees the epoch that ended.
        board.flush()
    run_folder.write_curves(run.out, state.history)
    state.save(run.checkpoint)


@torch.no_grad()
def _draw(run: Run) -> None:
    """Pictures of what the kept network draws on the first validation cases."""
    samples: Any = run.loaders.validation.dataset
    if run.recipe.task == "classify":
        return
    for index in range(min(run_folder.SHOWN, len(samples))):
        sample = samples[index]
        inputs, target, _ = run.world.moved(default_collate([sample]))
        maps = shown(run.recipe.task, target, run.objective.centred(_forward(run, run.state.kept, inputs)))
        one = case_of(samples, index)
        # Of what is prompted the network may see an embedding.
        seen = prepare(in_channels(one.image), run.recipe.input)[0] if isinstance(sample[0], tuple) else sample[0]
        run_folder.draw_prediction(run.out, one.case.name, seen, *maps)
