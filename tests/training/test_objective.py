"""What is minimised: terms and outputs add up as the recipe says, and ignored pixels do not count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from tests.training.objectives import MASK, SOME, maps, recipe, truth
from training.datasets.case import Case
from training.losses import dice_bce
from training.losses.weighted import presence_bce
from training.losses.weighting import LearnedSum
from training.objective import objective
from training.samples import Loaded
from training.tasks import MISSED


def test_a_task_has_a_loss_of_its_own_and_a_recipe_may_name_another() -> None:
    torch.testing.assert_close(objective(recipe()).loss(maps(), MASK, SOME), dice_bce(maps(), MASK))
    bce = {"path": "torch.nn.functional.binary_cross_entropy_with_logits"}
    found = objective(recipe(loss=bce)).loss(maps(), MASK, SOME)
    torch.testing.assert_close(found, functional.binary_cross_entropy_with_logits(maps(), MASK))


def test_deep_supervision_weighs_the_main_output_and_the_others() -> None:
    outputs = (maps(seed=1), maps(seed=2), maps(seed=3))
    parts = [dice_bce(one, MASK) for one in outputs]
    equal = objective(recipe()).loss(outputs, MASK, SOME)
    torch.testing.assert_close(equal, sum(parts) / 3)
    uneven = objective(recipe(auxiliary=0.25)).loss(outputs, MASK, SOME)
    torch.testing.assert_close(uneven, (parts[0] + 0.25 * (parts[1] + parts[2])) / 1.5)


def test_a_classifying_branch_learns_whether_anything_is_there() -> None:
    branch = torch.tensor([[0.3, -0.2], [1.0, 2.0]])
    found = objective(recipe()).loss((maps(), branch), MASK, SOME)
    torch.testing.assert_close(found, dice_bce(maps(), MASK) + presence_bce(branch, MASK))


CONVEX = {"path": "training.losses.convexity_loss", "arguments": {"term": "circularity"}, "weight": 0.5}


def test_terms_add_up_with_their_weights_and_those_of_0_are_left_out() -> None:
    from training.losses import convexity_loss

    own = {"path": "training.losses.dice_bce"}
    found = objective(recipe(loss=own, terms={"shape": CONVEX})).loss(maps(), MASK, SOME)
    torch.testing.assert_close(found, dice_bce(maps(), MASK) + 0.5 * convexity_loss(maps(), MASK, term="circularity"))
    without = objective(recipe(loss=own, terms={"shape": {**CONVEX, "weight": 0}}))
    torch.testing.assert_close(without.loss(maps(), MASK, SOME), dice_bce(maps(), MASK))


def test_validation_takes_the_first_term_alone() -> None:
    goal = objective(recipe(loss={"path": "training.losses.dice_bce"}, terms={"shape": CONVEX}))
    torch.testing.assert_close(goal.validation(maps(), MASK, SOME), dice_bce(maps(), MASK))


def test_weights_of_terms_can_be_learned() -> None:
    goal = objective(recipe(loss={"path": "training.losses.dice_bce"}, terms={"shape": CONVEX}, loss_weights="learned"))
    assert isinstance(goal.learned, LearnedSum)
    goal.loss(maps(), MASK, SOME).backward()
    assert goal.learned.raw.grad is not None
    assert objective(recipe()).learned is None


def test_depth_is_told_by_terms_on_their_own_output() -> None:
    depth, wanted = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
    terms = {"depth": {"path": "training.losses.depth_l1", "output": 1, "target": 1, "weight": 2.0}}
    goal = objective(recipe("fuse", terms=terms))
    found = goal.loss((maps(3), depth), (truth(), wanted), SOME)
    expected = functional.cross_entropy(maps(3), truth()) + 2 * functional.l1_loss(depth, wanted)
    torch.testing.assert_close(found, expected)
    in_evaluation = goal.validation(maps(3), (truth(), wanted), SOME)
    torch.testing.assert_close(in_evaluation, functional.cross_entropy(maps(3), truth()))


@pytest.mark.parametrize("task", ["labels", "fuse"])
@given(st.integers(0, 2**31))
def test_ignored_pixels_neither_teach_nor_count(task: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels, hidden = truth(), torch.rand(2, 8, 8, generator=generator) < 0.4
    labels = labels.masked_fill(hidden, 255)
    other = torch.where(hidden.unsqueeze(1), torch.randn(2, 3, 8, 8, generator=generator), maps(3))
    goal, depth = objective(recipe(task)), torch.rand(2, 1, 8, 8)

    def told(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        output, target = ((logits, depth), (labels, depth)) if task == "fuse" else (logits, labels)
        return goal.loss(output, target, SOME), goal.score(output, target, SOME)

    for one, another in zip(told(maps(3)), told(other), strict=True):
        torch.testing.assert_close(one, another, equal_nan=True)


def test_class_weights_come_from_the_training_part() -> None:
    mask = np.array([[0, 0, 0, 1], [0, 0, 2, 255]], np.uint8)
    case = Case("one", Path("none.png"), (), "", "one", 1)
    weighted = recipe("labels", loss={"path": "training.losses.weighted_ce"}, class_weights="inverse_frequency")
    goal = objective(weighted, [Loaded(case, mask, mask)])
    weights = torch.tensor([7 / (3 * 5), 7 / 3, 7 / 3])
    found = goal.loss(maps(3), truth(), SOME)
    torch.testing.assert_close(found, functional.cross_entropy(maps(3), truth(), weight=weights))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"loss": {"path": "training.losses.nothing"}}, ImportError, "Found no 'training.losses.nothing'; wanted"),
        (
            {"loss": {"path": "training.losses.dice_ce", "arguments": {"gamma": 2}}},
            ValueError,
            "Found constants {'gamma': 2} for training.losses.dice_ce",
        ),
        ({"terms": {"shape": CONVEX}}, ValueError, "Found terms of the loss but no `loss`; wanted the first one"),
        (
            {"loss": {"path": "training.losses.dice_ce"}, "terms": {"shape": {"path": "training.losses.shape"}}},
            ImportError,
            "Found no 'training.losses.shape'",
        ),
    ],
)
def test_a_loss_that_cannot_be_is_told_before_training(
    changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        objective(recipe(**changes))


def test_a_batch_without_a_known_class_costs_nothing() -> None:
    goal, nobody = objective(recipe("classify")), torch.tensor([-1, MISSED])
    output = torch.randn(2, 3, requires_grad=True)
    assert goal.loss(output, MASK, nobody).item() == 0
    assert goal.validation(output, MASK, nobody).item() == 0
    known = torch.tensor([2, MISSED])
    torch.testing.assert_close(goal.loss(output, MASK, known), goal.loss(output[:1], MASK, known[:1]))


@pytest.mark.parametrize(
    ("task", "output", "target", "words"),
    [
        ("localise", maps(), MASK, "Found 1 outputs of the network; wanted logits and presence. Take another task"),
        ("fuse", maps(3), (truth(), MASK), "Found 1 outputs of the network; wanted logits and depth"),
        ("labels", maps(2), truth(), "Found 2 channels of logits for 3 classes; wanted one each"),
        ("classify", torch.zeros(2, 4), MASK, "Found 4 channels of logits for 3 classes; wanted one each"),
    ],
)
def test_a_network_that_does_not_give_what_the_task_needs_is_told(
    task: str, output: Any, target: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        objective(recipe(task)).loss(output, target, SOME)
