"""Which slices of a volume are used, and which tumour-free ones among them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

POLICIES = "all, tumour_only or ratio:K"


def chosen(tumour: Sequence[bool], policy: str, key: str) -> list[int]:
    """Indices of the slices that ``policy`` keeps, ascending.

    Args:
        tumour: for each slice, whether it shows any.
        policy: ``all``; ``tumour_only``; or ``ratio:K``, every tumour slice and K times as many without, K from 0 up.
        key: name of the volume; decides which tumour-free slices are drawn, the same in every run.

    A volume without tumour has no slice under the last two. Raises ValueError for another policy.
    """
    with_tumour = [index for index, one in enumerate(tumour) if one]
    ratio = checked(policy)
    if ratio is None:
        return list(range(len(tumour)))
    without = sorted((index for index, one in enumerate(tumour) if not one), key=lambda index: _rank(key, index))
    return sorted(with_tumour + without[: round(ratio * len(with_tumour))])


def checked(policy: str) -> float | None:
    """Tumour-free slices for each tumour slice, None for all. Raises ValueError for a policy that is none."""
    kind, _, number = policy.partition(":")
    try:
        ratio = float(number) if kind == "ratio" else {"all": None, "tumour_only": 0.0}[policy]
    except (KeyError, ValueError):
        ratio = math.nan
    if ratio is not None and not 0 <= ratio < math.inf:
        raise ValueError(f"Found the slice policy {policy!r}; wanted {POLICIES}, K from 0 up. Choose one of them.")
    return ratio


def _rank(key: str, index: int) -> bytes:
    return hashlib.sha256(f"{key}/{index}".encode()).digest()
