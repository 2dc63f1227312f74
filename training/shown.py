"""What is painted of a truth and a prediction while a network learns: labels (h, w), 0 for nothing."""

from __future__ import annotations

from typing import Any

from torch import Tensor

# In so many steps a map is painted.
LEVELS = 8


def shown(task: str, target: Any, output: Any) -> tuple[Any, Any]:
    """Labels of the first truth and the first prediction of a batch; maps of 0 to 1 in steps."""
    truth, guess = _first(target), _first(output)
    return (_levels(truth), _levels(guess)) if task == "map" else (_truth_map(truth), _guess_map(guess))


def _first(values: Any) -> Tensor:
    one: Tensor = values[0] if isinstance(values, tuple) else values
    return one


def _levels(values: Tensor) -> Any:
    return (values[0, 0] * LEVELS).round().int().cpu().numpy()


def _truth_map(target: Tensor) -> Any:
    """Of a mask (batch, 1, h, w), or a label map (batch, h, w)."""
    return (target[0, 0] > 0.5 if target.ndim == 4 else target[0]).cpu().numpy()


def _guess_map(logits: Tensor) -> Any:
    """Of logits (batch, labels, h, w)."""
    return (logits[0, 0] > 0 if logits.shape[1] == 1 else logits[0].argmax(dim=0)).cpu().numpy()
