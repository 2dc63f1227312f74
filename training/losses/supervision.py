"""Deep supervision: one loss over several outputs of a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from training.losses.build import build_loss


def supervised(
    output: Tensor | Sequence[Tensor],
    target: Any,
    *,
    loss: str | Callable[..., Tensor],
    weights: Sequence[float] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Tensor:
    """Weighted mean of ``loss(one, target, **arguments)`` over the outputs, equal weights by default.

    ``loss`` is a function or its dotted path. A single tensor, which is what networks give when they validate, is its
    only output. Raises ValueError unless there are as many weights as outputs.
    """
    chosen = build_loss(loss, arguments)
    if isinstance(output, Tensor):
        return chosen(output, target)
    weights = [1.0] * len(output) if weights is None else weights
    if len(weights) != len(output):
        raise ValueError(
            f"Found {len(weights)} weights for {len(output)} outputs; wanted one each. Give the recipe as many weights "
            "as the network has supervised outputs."
        )
    parts = [weight * chosen(one, target) for weight, one in zip(weights, output, strict=True)]
    return sum(parts[1:], parts[0]) / sum(weights)
