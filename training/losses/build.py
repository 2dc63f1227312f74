"""A recipe's loss: dotted path and constants to something that takes (output, target)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from pkgutil import resolve_name
from typing import Any

from torch import Tensor

Loss = Callable[[Any, Any], Tensor]


def build_loss(loss: str | Callable[..., Any], arguments: Mapping[str, Any] | None = None) -> Loss:
    """``loss``, or what lies at that dotted path, with its constants filled in.

    A function is filled in by `functools.partial`; a class, whose parameters learn, is built once and called. Raises
    ImportError where nothing lies at the path and ValueError for constants that it does not take.
    """
    found = _resolved(loss) if isinstance(loss, str) else loss
    given = dict(arguments or {})
    places = () if inspect.isclass(found) else (None, None)
    try:
        inspect.signature(found).bind(*places, **given)
    except TypeError as error:
        raise ValueError(
            f"Found constants {given} for {loss}; wanted {inspect.signature(found)}. Mend the recipe: {error}."
        ) from error
    if inspect.isclass(found):
        built: Loss = found(**given)
        return built
    return partial(found, **given)


def _resolved(path: str) -> Callable[..., Any]:
    try:
        found: Callable[..., Any] = resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImportError(
            f"Found no {path!r}; wanted the dotted path of a loss, such as training.losses.dice_bce. Mend the recipe's "
            "path."
        ) from error
    return found
