"""What an epoch is judged by: scores of what is there, silence where nothing is, and which pictures count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.training.objectives import MASK, NAN, SOME, maps, recipe
from training.objective import mean_score, monitored, objective
from training.tasks import MISSED, SILENT, TASKS, map_score


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
        "map": "1 - mean error",
    }


def test_a_map_scores_by_its_mean_error() -> None:
    target = torch.zeros(2, 1, 4, 4)
    drawn = torch.stack([target[0], target[1] + 0.25])
    assert map_score(drawn, target, torch.zeros(2)).tolist() == [1.0, 0.75]
