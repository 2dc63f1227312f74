"""Several losses as one: plain weights, learned weights that reach the optimiser, and recipes that are wrong."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from training.losses.build import build_loss
from training.losses.dice import pooled_dice
from training.losses.supervision import supervised
from training.losses.weighting import LearnedSum, parameters_of, weighted_sum

TERMS = [
    {"path": "training.losses.cross_entropy", "output": 0, "target": 0},
    {"path": "training.losses.convexity_loss", "weight": 0.5, "output": 0, "arguments": {"term": "closing_gap"}},
    {"path": "training.losses.class_depth_l1", "output": 1, "arguments": {"classes": [2, 3]}},
]


def _batch() -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(0)
    return (torch.randn(2, 6, 16, 16), torch.rand(2, 1, 16, 16)), (
        torch.randint(0, 6, (2, 16, 16)),
        torch.rand(2, 1, 16, 16),
    )


def test_terms_take_their_own_members_of_output_and_target() -> None:
    (logits, depth), target = _batch()
    each = [
        build_loss(term["path"], term.get("arguments"))(one, truth)
        for term, one, truth in zip(TERMS, (logits, logits, depth), (target[0], target, target), strict=True)
    ]
    wanted = each[0] + 0.5 * each[1] + each[2]
    torch.testing.assert_close(weighted_sum((logits, depth), target, terms=TERMS), wanted)


def test_learned_weights_start_as_the_plain_ones() -> None:
    output, target = _batch()
    torch.testing.assert_close(LearnedSum(terms=TERMS)(output, target), weighted_sum(output, target, terms=TERMS))


def test_learned_weights_reach_the_optimiser_and_move() -> None:
    """Optimising the network's parameters alone leaves them at 0 for good."""
    output, target = _batch()
    network, loss = nn.Conv2d(1, 1, 1), build_loss("training.losses.LearnedSum", {"terms": TERMS})
    optimizer = torch.optim.SGD(parameters_of(network, loss), lr=0.1)
    assert any(one is loss.raw for group in optimizer.param_groups for one in group["params"])
    loss(output, target).backward()
    optimizer.step()
    assert (loss.raw != 0).all()


@pytest.mark.parametrize("value", [0.0, 0.2, 1e9])
def test_learned_weights_settle_at_the_log_of_the_loss_within_their_bound(value: float) -> None:
    loss = LearnedSum(terms=[{"path": "torch.nn.functional.l1_loss"}])
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        loss(torch.tensor([value]), torch.zeros(1)).backward()
        optimizer.step()
    s = loss.log_variances().item()
    assert -3 <= s <= 3
    if value == 0.2:
        assert s == pytest.approx(math.log(0.2), abs=0.01)
    else:
        assert abs(s) > 2.5


def test_parameters_of_what_learns_only() -> None:
    frozen, trained = nn.Linear(2, 2), nn.Linear(2, 2)
    frozen.requires_grad_(False)
    assert len(list(parameters_of(frozen, trained, pooled_dice))) == 2


def test_no_terms() -> None:
    with pytest.raises(ValueError, match=r"Found no terms; wanted at least one loss to add up\. List them"):
        weighted_sum(None, None, terms=[])


def test_a_term_with_a_misspelt_key() -> None:
    with pytest.raises(ValueError, match=r"Found terms .*wanted path and, if need be, weight, .*wieght"):
        weighted_sum(None, None, terms=[{"path": "training.losses.dice_bce", "wieght": 2}])


@pytest.mark.parametrize("bound", [0.0, -1.0, math.nan])
def test_a_bound_that_is_none(bound: float) -> None:
    with pytest.raises(ValueError, match=r"Found bound .*; wanted a positive number\. The default is 3"):
        LearnedSum(terms=TERMS, bound=bound)


def test_a_loss_by_path_and_by_itself() -> None:
    logits, target = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    for loss in ("training.losses.dice.pooled_dice", "training.losses.pooled_dice", pooled_dice):
        torch.testing.assert_close(build_loss(loss, {"smooth": 1.0})(logits, target), torch.tensor(1 - 17 / 25))


@pytest.mark.parametrize("path", ["training.losses.no_such", "no_such.loss", "..", "training.losses.dice.no_such"])
def test_a_path_that_leads_nowhere(path: str) -> None:
    with pytest.raises(
        ImportError, match=r"Found no '.*'; wanted the dotted path of a loss, such as .*Mend the recipe"
    ):
        build_loss(path)


def test_a_constant_that_the_loss_does_not_take() -> None:
    wanted = (
        r"Found constants \{'gama': 2\} for training.losses.focal_loss; wanted \(logits.*gamma.*Mend the recipe.*gama"
    )
    with pytest.raises(ValueError, match=wanted):
        build_loss("training.losses.focal_loss", {"gama": 2})
    with pytest.raises(ValueError, match=r"Found constants \{\} for training.losses.LearnedSum; wanted .*terms"):
        build_loss("training.losses.LearnedSum")


def test_outputs_are_supervised_together() -> None:
    target = torch.ones(1, 1, 4, 4)
    outputs = [torch.full((1, 1, 4, 4), level) for level in (0.0, 5.0)]
    one, other = (pooled_dice(output, target) for output in outputs)
    path = "training.losses.pooled_dice"
    torch.testing.assert_close(supervised(outputs, target, loss=path), (one + other) / 2)
    torch.testing.assert_close(supervised(outputs, target, loss=path, weights=[1, 0.25]), (one + other / 4) / 1.25)
    torch.testing.assert_close(supervised(outputs[1], target, loss=path, weights=[1, 0.25]), other)
    smooth = supervised(outputs, target, loss=path, arguments={"smooth": 1.0})
    assert smooth < supervised(outputs, target, loss=path)


def test_as_many_weights_as_outputs() -> None:
    one = torch.zeros(1, 1, 4, 4)
    with pytest.raises(ValueError, match=r"Found 3 weights for 2 outputs; wanted one each\. Give the recipe"):
        supervised([one, one], one, loss=pooled_dice, weights=[1, 1, 1])
