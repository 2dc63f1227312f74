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

from training.datasets.case import Case
from training.losses import dice_bce
from training.losses.weighted import presence_bce
from training.losses.weighting import LearnedSum
from training.objective import mean_score, monitored, objective
from training.recipe import Recipe
from training.samples import Loaded
from training.tasks import MISSED, SILENT, TASKS

SOME = torch.tensor([1, 1])
NAN = float("nan")


def recipe(task: str = "whole", **changes: Any) -> Recipe:
    labels = {"classes": ["background", "one", "two"]} if task in ("labels", "fuse") else {}
    content = {
        "name": "tiny",
        "task": task,
        "network": {"path": "models.unet.tiny"},
        "dataset": {"path": "training.phantoms.tiny.cases"},
        "input": {"size": [8, 8]},
        **labels,
    }
    return Recipe.model_validate(content | changes)


def maps(channels: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randn(2, channels, 8, 8, generator=torch.Generator().manual_seed(seed))


def truth(labels: int = 3) -> torch.Tensor:
    return torch.randint(0, labels, (2, 8, 8), generator=torch.Generator().manual_seed(9))


MASK = (maps(seed=5) > 0).float()


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


def test_the_label_of_interest_chooses_else_the_mean_of_labels() -> None:
    nan = float("nan")
    scores = torch.tensor([[0.5, nan], [0.7, 0.2]])
    assert mean_score(scores, None) == pytest.approx((0.6 + 0.2) / 2)
    assert mean_score(scores, 1) == pytest.approx(0.6)
    assert mean_score(scores, 2) == pytest.approx(0.2)
    assert mean_score(torch.tensor([0.5, nan]), None) == pytest.approx(0.5)


def drawing(*drawn: int) -> torch.Tensor:
    """Logits (n, 1, 4, 4) above 0 in so many pixels."""
    flat = torch.stack([torch.where(torch.arange(16) < count, 1.0, -1.0) for count in drawn])
    return flat.reshape(-1, 1, 4, 4)


def test_whether_normal_pictures_stay_empty_is_told_beside_the_lesions() -> None:
    goal = objective(recipe())
    output, target = drawing(4, 0, 0, 1), (drawing(4, 4, 0, 0) > 0).float()
    category = torch.tensor([1, 1, 0, 0])
    torch.testing.assert_close(goal.score(output, target, category), torch.tensor([1, 0, NAN, NAN]), equal_nan=True)
    torch.testing.assert_close(goal.silence(output, target, category), torch.tensor([NAN, NAN, 1, 0]), equal_nan=True)


def test_what_a_localiser_decided_is_no_matter_of_the_network() -> None:
    goal = objective(recipe("segment"))
    output, target = drawing(4, 4, 3), (drawing(4, 4, 0) > 0).float()
    category = torch.tensor([1, MISSED, SILENT])
    torch.testing.assert_close(goal.score(output, target, category), torch.tensor([1, 0, NAN]), equal_nan=True)
    torch.testing.assert_close(goal.silence(output, target, category), torch.tensor([NAN, NAN, 1]), equal_nan=True)
    classes = TASKS["classify"].score(torch.eye(3), target, torch.tensor([0, MISSED, SILENT]))
    assert classes.tolist() == [1, 0, 1]
    labels = torch.zeros(3, 4, 4, dtype=torch.int64)
    several = functional.one_hot(labels, 3).movedim(-1, 1).float()
    assert TASKS["labels"].score(several, labels, category)[1].tolist() == [0, 0]
    silence = TASKS["labels"].silence
    assert silence is not None
    torch.testing.assert_close(
        silence(several, labels, category)[1:], torch.tensor([[NAN] * 2, [1.0] * 2]), equal_nan=True
    )


def test_a_sliver_that_does_not_count_is_no_empty_picture() -> None:
    """Of a view whose lesion is too small to count nothing is asked, neither to draw it nor to leave it."""
    goal, target = objective(recipe()), (drawing(1) > 0).float()
    for output in (drawing(0), drawing(1)):
        assert goal.silence(output, target, torch.tensor([0])).isnan().all()
        assert goal.score(output, target, torch.tensor([0])).isnan().all()


@pytest.mark.parametrize("task", ["labels", "fuse"])
def test_labels_that_are_not_there_should_not_be_drawn(task: str) -> None:
    labels, guess = torch.zeros(2, 4, 4, dtype=torch.int64), torch.zeros(2, 4, 4, dtype=torch.int64)
    labels[0, :2], guess[1, :2] = 1, 1
    guess[:, 3], labels[:, 3] = 2, 255
    output, depth = functional.one_hot(guess, 3).movedim(-1, 1).float(), torch.zeros(2, 1, 4, 4)
    given = ((output, depth), (labels, depth)) if task == "fuse" else (output, labels)
    found = objective(recipe(task)).silence(*given, SOME)
    # The second label is drawn on ignored pixels alone.
    torch.testing.assert_close(found, torch.tensor([[NAN, 1], [0, 1]]), equal_nan=True)


def test_tasks_whose_score_tells_have_no_silence_of_their_own() -> None:
    for task in ("localise", "classify"):
        assert objective(recipe(task)).silence(maps(), MASK, SOME).isnan().all()


@pytest.mark.parametrize(
    ("scores", "silence", "normals", "wanted"),
    [
        ([0.8, 0.6, NAN, NAN], [NAN, NAN, 1, 0], 0.25, 0.75 * 0.7 + 0.25 * 0.5),
        ([0.8, 0.6, NAN, NAN], [NAN, NAN, 1, 0], 0.0, 0.7),
        ([0.8, 0.6], [NAN, NAN], 0.25, 0.7),
        ([NAN, NAN], [1.0, 1.0], 0.25, NAN),
    ],
)
def test_the_best_epoch_finds_lesions_and_leaves_normal_pictures_empty(
    scores: list[float], silence: list[float], normals: float, wanted: float
) -> None:
    found = monitored(torch.tensor(scores), torch.tensor(silence), recipe(normals=normals))
    assert found == pytest.approx(wanted, nan_ok=True)


def test_silence_everywhere_is_no_good_however_many_pictures_are_empty() -> None:
    empty, some = [NAN] * 97, [NAN] * 3
    silent = monitored(torch.tensor([0.0] * 3 + empty), torch.tensor(some + [1.0] * 97), recipe())
    finding = monitored(torch.tensor([0.4] * 3 + empty), torch.tensor(some + [0.0] * 10 + [1.0] * 87), recipe())
    assert silent == pytest.approx(0.25)
    assert finding > silent


def test_a_batch_without_a_known_class_costs_nothing() -> None:
    goal, nobody = objective(recipe("classify")), torch.tensor([-1, MISSED])
    output = torch.randn(2, 3, requires_grad=True)
    assert goal.loss(output, MASK, nobody).item() == 0
    assert goal.validation(output, MASK, nobody).item() == 0
    known = torch.tensor([2, MISSED])
    torch.testing.assert_close(goal.loss(output, MASK, known), goal.loss(output[:1], MASK, known[:1]))


def test_scores_of_labels_leave_out_what_the_truth_has_not() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    labels[0, :2] = 1
    logits = functional.one_hot(labels, 3).movedim(-1, 1).float()
    score = TASKS["labels"].score(logits, labels, SOME)
    assert score[0, 0] == 1
    assert score[0, 1].isnan()


def test_probabilities_are_cut_in_the_middle() -> None:
    guess = torch.full((2, 1, 8, 8), 0.4)
    assert objective(recipe(probabilities=True)).score(guess, MASK, SOME).eq(0).all()
    assert objective(recipe()).score(guess, MASK, SOME).gt(0).all()


@pytest.mark.parametrize(
    ("task", "category", "counted"),
    [
        ("segment", 0, False),
        ("segment", 1, True),
        ("segment", MISSED, True),
        ("localise", 0, True),
        ("classify", -1, False),
        ("classify", 0, True),
        ("labels", 0, False),
        ("fuse", 0, False),
    ],
)
def test_what_can_count_is_known_without_a_network(task: str, category: int, counted: bool) -> None:
    target: Any = torch.zeros(2, 8, 8, dtype=torch.long) if task in ("labels", "fuse") else torch.zeros(2, 1, 8, 8)
    given = (target, torch.zeros(2, 1, 8, 8)) if task == "fuse" else target
    found = objective(recipe(task)).counts(given, torch.tensor([category] * 2))
    assert bool((~found.isnan()).any()) == counted


@pytest.mark.parametrize(("interest", "counted"), [(None, True), (1, True), (2, False)])
def test_the_label_of_interest_has_to_be_there(interest: int | None, counted: bool) -> None:
    truth = torch.zeros(2, 8, 8, dtype=torch.long)
    truth[0, 2:4] = 1
    found = objective(recipe("labels")).counts(truth, torch.tensor([0, 0]))
    assert (not np.isnan(mean_score(found, interest))) == counted


def test_every_task_has_a_measure_for_the_progress_bar() -> None:
    assert {name: task.measure for name, task in TASKS.items()} == {
        **dict.fromkeys(("localise", "segment", "whole", "labels", "fuse", "prompt"), "Dice"),
        "classify": "accuracy",
    }


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
