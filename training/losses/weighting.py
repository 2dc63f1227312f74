"""Several losses as one, with plain or with learned weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from training.losses.build import Loss, build_loss


@dataclass(frozen=True)
class Term:
    """One loss of a sum.

    Attributes:
        path: dotted path of the loss.
        weight: plain factor.
        arguments: constants of the loss.
        output: which member of the network's output it takes, None for the output as it is.
        target: which member of the target it takes, None for the target as it is.
    """

    path: str
    weight: float = 1.0
    arguments: Mapping[str, Any] = field(default_factory=dict)
    output: int | None = None
    target: int | None = None

    def loss(self) -> Loss:
        """The loss on this term's members, without the weight. Raises what `build_loss` raises."""
        built = build_loss(self.path, self.arguments)
        return lambda output, target: built(_member(output, self.output), _member(target, self.target))


def _member(whole: Any, index: int | None) -> Any:
    return whole if index is None else whole[index]


def read_terms(terms: Sequence[Mapping[str, Any]]) -> tuple[Term, ...]:
    """Terms from a recipe's mappings with the keys of `Term`. Raises ValueError for none at all or for other keys."""
    if not terms:
        raise ValueError("Found no terms; wanted at least one loss to add up. List them under `terms`.")
    try:
        return tuple(Term(**term) for term in terms)
    except TypeError as error:
        raise ValueError(
            f"Found terms {list(terms)}; wanted path and, if need be, weight, arguments, output, target. {error}."
        ) from error


def weighted_sum(output: Any, target: Any, *, terms: Sequence[Mapping[str, Any]]) -> Tensor:
    """Sum of weight x loss over the terms."""
    parts = [term.weight * term.loss()(output, target) for term in read_terms(terms)]
    return sum(parts[1:], parts[0])


class LearnedSum(nn.Module):
    """Sum of weight x (exp(-s) L + s) over the terms, s learned (Kendall et al. 2018, arXiv 1705.07115).

    s starts at 0, where every term counts by its plain weight, and stays within ``bound`` by a tanh, so that a term
    that reaches 0 cannot carry its s away; the factors lie within exp(-bound) to exp(bound). Its parameters must be in
    the optimiser beside the network's: `parameters_of` gives both.
    """

    def __init__(self, *, terms: Sequence[Mapping[str, Any]], bound: float = 3.0) -> None:
        super().__init__()
        if not bound > 0:
            raise ValueError(f"Found bound {bound}; wanted a positive number. The default is 3.")
        self.terms = read_terms(terms)
        self.losses = [term.loss() for term in self.terms]
        self.bound = bound
        self.raw = nn.Parameter(torch.zeros(len(self.terms)))

    def log_variances(self) -> Tensor:
        """s of each term, (terms,)."""
        return self.bound * torch.tanh(self.raw / self.bound)

    def forward(self, output: Any, target: Any) -> Tensor:
        """The sum, a scalar."""
        values = torch.stack([loss(output, target) for loss in self.losses])
        weights = values.new_tensor([term.weight for term in self.terms])
        s = self.log_variances()
        return (weights * (torch.exp(-s) * values + s)).sum()


def parameters_of(*parts: Any) -> Iterator[nn.Parameter]:
    """Trainable parameters of every part that has some: of the network and, where its weights learn, of the loss."""
    every = chain.from_iterable(part.parameters() for part in parts if isinstance(part, nn.Module))
    return (parameter for parameter in every if parameter.requires_grad)
