"""The optimiser with all that belongs to a step: what is trained, gradient scaling, clipping, L1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from training.distributed import World
from training.losses.regularise import l1
from training.recipe import Recipe, build

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def freeze(network: nn.Module, patterns: Sequence[str]) -> None:
    """Take parameters whose names match a pattern (``encoder.*``) out of training.

    Raises ValueError for a pattern that matches no parameter, and where nothing is left to train.
    """
    names = dict(network.named_parameters())
    for pattern in patterns:
        matching = [name for name in names if fnmatchcase(name, pattern)]
        if not matching:
            raise ValueError(
                f"Found no parameter like {pattern!r}; wanted one of {', '.join(list(names)[:4])}, ... "
                "Mend the recipe's `freeze`."
            )
        for name in matching:
            names[name].requires_grad_(False)
    if not any(one.requires_grad for one in names.values()):
        raise ValueError("Found every parameter frozen; wanted some to train. Take patterns out of `freeze`.")


def set_training(network: nn.Module) -> None:
    """Training mode, but for modules that are frozen whole: their statistics and dropout rest as well."""
    network.train()
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(one.requires_grad for one in parameters):
            module.eval()


def make_optimizer(recipe: Recipe, network: nn.Module, learned: nn.Module | None) -> torch.optim.Optimizer:
    """The recipe's optimiser over what is trained of the network, and what of the loss learns.

    The latter has a rate of its own, `loss_rate`, and no decay: the network's rate is made for thousands of steps on
    weights of a hundredth, and would leave it where it began.

    Raises ImportError for an optimiser that does not exist, ValueError for arguments that it does not take or a class
    that is none.
    """
    schedule = recipe.schedule
    groups: list[dict[str, object]] = [{"params": [one for one in network.parameters() if one.requires_grad]}]
    if learned is not None:
        groups.append({"params": list(learned.parameters()), "lr": recipe.loss_rate, "weight_decay": 0.0})
    made = build(recipe.optimizer, "optimizer", groups, lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    if not isinstance(made, torch.optim.Optimizer):
        raise ValueError(
            f"Found {recipe.optimizer.path}, which gives {type(made).__name__}; wanted an optimiser such as "
            "torch.optim.AdamW. Mend the recipe's `optimizer`."
        )
    return made


def make_scaler(recipe: Recipe, device: torch.device) -> torch.amp.GradScaler:
    """Scales losses in float16, else does nothing. Raises ValueError for float16 without a GPU."""
    half = recipe.schedule.precision == "float16"
    if half and device.type != "cuda":
        raise ValueError(
            f"Found precision float16 on {device.type}; wanted a GPU. Set the schedule's precision to bfloat16 or "
            "float32."
        )
    return torch.amp.GradScaler(device.type, enabled=half)


def autocast(recipe: Recipe, device: torch.device) -> torch.autocast:
    """The forward pass in the recipe's precision."""
    precision = recipe.schedule.precision
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "float32")


@dataclass(frozen=True, eq=False)
class Steps:
    """From losses to changed weights.

    Attributes:
        recipe: says how.
        network: whose weights change.
        learned: what of the loss learns, if anything does.
        optimizer: over both.
        scaler: of float16.
        world: the processes that train together.
    """

    recipe: Recipe
    network: nn.Module
    learned: nn.Module | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    world: World

    def set_rate(self, rate: float) -> None:
        """The learning rate of the network; that of what the loss learns follows its curve."""
        greatest = self.recipe.schedule.learning_rate
        rates = (rate, self.recipe.loss_rate * rate / greatest if greatest else 0.0)
        for group, one in zip(self.optimizer.param_groups, rates, strict=False):
            group["lr"] = one

    def add(self, loss: Tensor, *, batches: int, last: bool, changed: Callable[[], None]) -> None:
        """Add a batch's gradients and, with the ``last`` batch of a step, change the weights and call ``changed``.

        ``batches`` are those that make this step, all of one size: their mean counts.
        """
        weight = self.recipe.l1_lambda
        total = loss + l1(self.network, weight=weight) if weight else loss
        self.scaler.scale(total / batches).backward()  # type: ignore[no-untyped-call]
        if last:
            self._change()
            changed()

    def _change(self) -> None:
        schedule = self.recipe.schedule
        if self.learned is not None:
            self.world.average_gradients(self.learned.parameters())
        self.scaler.unscale_(self.optimizer)
        if schedule.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), schedule.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
