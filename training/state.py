"""Everything that changes while training, and how it is kept: whole or not at all."""

from __future__ import annotations

import logging
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from training.optimise import Steps
from training.recipe import Part, Recipe, build

log = logging.getLogger("breast_cascade.training")
# Less of a network than this share taken over is hardly a start: the rest stays random.
LITTLE = 0.5
# What torch raises on a file that is none of its own, depending on where the bytes stop making sense.
UNREADABLE = (RuntimeError, UnpicklingError, EOFError, LookupError, TypeError, ValueError, struct.error)


@dataclass
class State:
    """What a checkpoint holds: ``network``, its moving ``average`` where there is one, optimiser, scaler, progress."""

    network: nn.Module
    average: AveragedModel | None
    steps: Steps
    epoch: int = 0
    best: float = -math.inf
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def kept(self) -> nn.Module:
        """The network that is validated and saved."""
        return self.network if self.average is None else self.average.module

    def follow(self) -> None:
        """Let the moving average follow the network; to be called after every step."""
        if self.average is not None:
            self.average.update_parameters(self.network)

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        save(parts | {"epoch": self.epoch, "best": self.best, "history": self.history}, path)

    def restore(self, path: Path) -> None:
        """Read a checkpoint written by `save`. Raises ValueError for another network's or none at all."""
        saved = read(path)
        try:
            for name, part in self._parts().items():
                part.load_state_dict(saved[name])
        except (RuntimeError, KeyError, ValueError) as error:
            raise ValueError(
                f"Found in {path} a checkpoint of another run ({_brief(error)}); wanted one of "
                f"{self.steps.recipe.network.path} as recipe {self.steps.recipe.name} builds and trains it. "
                "Resume with the recipe it was begun with, or choose another folder."
            ) from error
        self.epoch, self.best, self.history = saved["epoch"], saved["best"], saved["history"]

    def _parts(self) -> Mapping[str, Any]:
        steps = self.steps
        parts = {"network": self.network, "average": self.average, "optimizer": steps.optimizer, "loss": steps.learned}
        scaler = {"scaler": steps.scaler} if steps.scaler.is_enabled() else {}
        return {name: part for name, part in parts.items() if part is not None} | scaler

    @property
    def stale(self) -> int:
        """Epochs since validation was last better than ever before."""
        scores = [one["validation"] for one in self.history]
        return len(scores) - 1 - max(range(len(scores)), key=lambda i: (scores[i], -i)) if scores else 0


def moving_average(decay: float, averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
    """Exponential moving average that forgets the random start: the decay grows with ``count``, the updates so far."""
    if not averaged.is_floating_point():
        return current
    return torch.lerp(averaged, current, 1 - min(decay, (1 + int(count)) / (10 + int(count))))


def averaged(recipe: Recipe, network: nn.Module) -> AveragedModel | None:
    """The moving average of a network as the recipe wants it."""
    decay = recipe.schedule.average
    return AveragedModel(network, avg_fn=partial(moving_average, decay), use_buffers=True) if decay else None


def build_network(recipe: Recipe, *, start: bool = True) -> nn.Module:
    """The recipe's network, seeded, with the starting weights taken over where names and shapes match.

    Without ``start`` it begins from nothing, neither from these nor from its argument ``weights``: for a network whose
    own weights are loaded next.
    """
    torch.manual_seed(recipe.schedule.seed)
    network: nn.Module = build(recipe.network if start else _bare(recipe.network), "network")
    if start and recipe.start is not None:
        _take_over(network, read(recipe.start), recipe.start)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _bare(part: Part) -> Part:
    kept = {name: value for name, value in part.arguments.items() if name != "weights"}
    return part.model_copy(update={"arguments": kept})


def _take_over(network: nn.Module, weights: dict[str, Any], path: Path) -> None:
    own = network.state_dict()
    shapes = {name: value.shape for name, value in weights.items() if isinstance(value, Tensor)}
    fitting = {name: weights[name] for name, shape in shapes.items() if name in own and own[name].shape == shape}
    if not fitting:
        raise ValueError(
            f"Found no parameter of the starting weights in this network ({path}); wanted some names and shapes in "
            "common. Start from a checkpoint of the same family."
        )
    network.load_state_dict(own | fitting)
    _tell_taken(len(fitting), len(own), path)


def _tell_taken(taken: int, every: int, path: Path) -> None:
    text = "took %d of %d tensors of the network from %s; the others start as they would without."
    if taken < LITTLE * every:
        log.warning(f"{text} Is it of the same architecture?", taken, every, path)
    else:
        log.info(text, taken, every, path)


def read(path: Path) -> Any:
    """A file that torch wrote, tensors on the CPU. Raises ValueError for any other."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise ValueError(
            f"Found in {path} no weights ({_brief(error)}); wanted a file that torch wrote. Give another or begin anew."
        ) from error


def load_weights(network: nn.Module, path: Path, recipe: Recipe) -> None:
    """Load what `fit` kept into the recipe's network. Raises ValueError for weights of another network."""
    try:
        network.load_state_dict(read(path))
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"Found in {path} weights of another network ({_brief(error)}); wanted those of {recipe.network.path} as "
            f"recipe {recipe.name} builds it. Pass the best.pt that was trained with this recipe."
        ) from error


def save(content: Any, path: Path) -> None:
    """Write a file whole or not at all. Raises OSError where it cannot be written."""
    partial_path = path.with_suffix(".partial")
    try:
        torch.save(content, partial_path)
        partial_path.replace(path)
    except (OSError, RuntimeError) as error:
        partial_path.unlink(missing_ok=True)
        raise OSError(
            f"Found no way to write {path} ({_brief(error)}); wanted room on the disk. What was saved before is whole: "
            "free some space and go on with --resume."
        ) from error


def _brief(error: Exception) -> str:
    """The error's first words."""
    text = " ".join(str(error).split())
    return text if len(text) <= 160 else f"{text[:157]}..."
