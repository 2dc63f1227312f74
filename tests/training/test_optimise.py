"""What a step changes: trained parameters alone, by the recipe's optimiser, clipped, accumulated, with L1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from training.distributed import World
from training.losses.weighting import LearnedSum
from training.optimise import Steps, freeze, make_optimizer, make_scaler, set_training
from training.recipe import Recipe

CPU = torch.device("cpu")


def recipe(schedule: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    content = {
        "name": "tiny",
        "task": "whole",
        "network": {"path": "models.unet.tiny"},
        "dataset": {"path": "training.phantoms.tiny.cases"},
        "input": {"size": [32, 32]},
        "schedule": {"learning_rate": 0.1, "weight_decay": 0, "clip": 0, **(schedule or {})},
        "optimizer": {"path": "torch.optim.SGD"},
    }
    return Recipe.model_validate(content | changes)


class Net(nn.Module):
    """A frozen half with batch norm and dropout, and a trained one."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.9))
        self.head = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))


def steps(recipe: Recipe, network: nn.Module, learned: nn.Module | None = None) -> Steps:
    optimizer = make_optimizer(recipe, network, learned)
    return Steps(recipe, network, learned, optimizer, make_scaler(recipe, CPU), World(CPU))


def test_what_is_frozen_rests_whole() -> None:
    torch.manual_seed(0)
    network = Net()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    freeze(network, ["encoder.*"])
    set_training(network)
    assert not network.encoder.training
    assert network.head.training
    taking = steps(recipe(), network)
    taking.add(network(torch.randn(8, 4)).mean(), batches=1, last=True, changed=lambda: None)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.weight", "head.bias"}


def test_a_pattern_that_matches_nothing_and_freezing_all_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Found no parameter like 'encode\.\*'; wanted one of encoder.0.weight"):
        freeze(Net(), ["encode.*"])
    with pytest.raises(ValueError, match="Found every parameter frozen; wanted some to train"):
        freeze(Net(), ["*"])


@pytest.mark.parametrize("accumulate", [2, 3, 5])
def test_batches_accumulated_are_one_batch(accumulate: int) -> None:
    """Two batches make the step, though the recipe may ask for more: as many as an epoch's end has."""
    x, nets = torch.randn(8, 4), []
    for parts in ((x,), (x[:4], x[4:])):
        torch.manual_seed(1)
        network = nn.Linear(4, 1)
        taking = steps(recipe({"accumulate": accumulate}), network)
        changes: list[None] = []
        for number, part in enumerate(parts, start=1):
            loss, last = (network(part) ** 2).mean(), number == len(parts)
            taking.add(loss, batches=len(parts), last=last, changed=lambda done=changes: done.append(None))
        assert len(changes) == 1
        nets.append(network)
    torch.testing.assert_close(nets[0].weight, nets[1].weight)


def test_gradients_are_clipped_where_the_recipe_says_so() -> None:
    moved = []
    for clip in (0.0, 0.5):
        torch.manual_seed(1)
        network = nn.Linear(4, 1, bias=False)
        before = network.weight.detach().clone()
        taking = steps(recipe({"clip": clip}), network)
        taking.add((network(torch.ones(2, 4)) * 100).mean(), batches=1, last=True, changed=lambda: None)
        moved.append(float((network.weight.detach() - before).norm()))
    assert moved[0] == pytest.approx(0.1 * 200)
    assert moved[1] == pytest.approx(0.1 * 0.5, rel=1e-3)


def test_l1_draws_weights_to_zero_and_leaves_biases() -> None:
    network = nn.Linear(3, 1)
    nn.init.constant_(network.weight, 2.0)
    nn.init.constant_(network.bias, 2.0)
    taking = steps(recipe(l1_lambda=0.5), network)
    taking.add(network(torch.zeros(1, 3)).sum() * 0, batches=1, last=True, changed=lambda: None)
    torch.testing.assert_close(network.weight.detach(), torch.full((1, 3), 2.0 - 0.1 * 0.5))
    assert network.bias.item() == 2.0


def test_learned_weights_of_the_loss_are_in_the_optimiser_without_decay() -> None:
    learned = LearnedSum(terms=[{"path": "torch.nn.functional.mse_loss"}, {"path": "torch.nn.functional.l1_loss"}])
    network = nn.Linear(4, 1)
    taking = steps(recipe({"weight_decay": 0.3}), network, learned)
    assert [group["weight_decay"] for group in taking.optimizer.param_groups] == [0.3, 0.0]
    output = network(torch.randn(6, 4))
    taking.add(learned(output, torch.zeros(6, 1)), batches=1, last=True, changed=lambda: None)
    assert (learned.raw != 0).all()


TERMS = [{"path": "torch.nn.functional.mse_loss"}, {"path": "torch.nn.functional.l1_loss"}]


def test_learned_weights_move_at_a_rate_of_their_own() -> None:
    """At the 1e-5 of SAM's recipes they would have moved by a two-thousandth of an s in two hundred steps."""
    learned, network = LearnedSum(terms=TERMS), nn.Linear(4, 1)
    adam = {"path": "torch.optim.Adam"}
    taking = steps(recipe({"learning_rate": 1e-5}, optimizer=adam), network, learned)
    assert [group["lr"] for group in taking.optimizer.param_groups] == [1e-5, 0.01]
    before, x = network.weight.detach().clone(), torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    for _ in range(200):
        taking.set_rate(1e-5)
        taking.add(learned(10 * network(x), torch.ones(6, 1)), batches=1, last=True, changed=lambda: None)
    assert (learned.log_variances().abs() > 0.3).all()
    assert (network.weight.detach() - before).abs().max() < 3e-3


def test_their_rate_follows_the_curve_of_the_networks() -> None:
    learned, network = LearnedSum(terms=TERMS), nn.Linear(4, 1)
    taking = steps(recipe({"learning_rate": 0.1}, loss_rate=0.05), network, learned)
    taking.set_rate(0.02)
    assert [group["lr"] for group in taking.optimizer.param_groups] == [0.02, pytest.approx(0.01)]
    still = steps(recipe({"learning_rate": 0}, loss_rate=0.05), network, learned)
    still.set_rate(0)
    assert [group["lr"] for group in still.optimizer.param_groups] == [0, 0]


def test_the_recipes_optimiser_is_taken_with_its_arguments() -> None:
    sgd = {"path": "torch.optim.SGD", "arguments": {"momentum": 0.9, "nesterov": True}}
    made = make_optimizer(recipe(optimizer=sgd), nn.Linear(2, 1), None)
    assert isinstance(made, torch.optim.SGD)
    assert made.defaults["momentum"] == 0.9
    assert made.defaults["nesterov"] is True
    assert made.defaults["lr"] == 0.1


@pytest.mark.parametrize(
    ("optimizer", "error", "words"),
    [
        ({"path": "torch.optim.Adamm"}, ImportError, "Found no 'torch.optim.Adamm'; wanted the dotted path"),
        (
            {"path": "torch.optim.Adam", "arguments": {"momentum": 0.9}},
            ValueError,
            "Found optimizer torch.optim.Adam with momentum, which it does not take .*; wanted its own arguments",
        ),
        ({"path": "training.recipe.merged"}, ValueError, "Found optimizer training.recipe.merged with no arguments"),
        ({"path": "tests.training.test_optimise.no_optimizer"}, ValueError, "which gives int; wanted an optimiser"),
    ],
)
def test_what_is_no_optimiser_is_refused(optimizer: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make_optimizer(recipe(optimizer=optimizer), nn.Linear(2, 1), None)


def no_optimizer(groups: object, lr: float, weight_decay: float) -> int:
    return 0


def test_half_precision_needs_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Found precision float16 on cpu; wanted a GPU"):
        make_scaler(recipe({"precision": "float16"}), CPU)
