"""What a by-product of a mask is: a figure with its unit and what a reader must know of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.image import Image, Mask


@dataclass(frozen=True)
class Measurement:
    """One figure of an answer.

    Attributes:
        name: unique in an answer, e.g. ``percent_density``.
        value: None where it cannot be told; ``text`` says why then.
        unit: as it is written behind the value, e.g. ``percent``, ``mm2``, ``px``; empty for a bare number.
        text: one or two plain sentences: what it is, and what it is not.
    """

    name: str
    value: float | None
    unit: str
    text: str


@dataclass(frozen=True)
class Measure:
    """A by-product that a manifest may name in ``measurements``.

    Attributes:
        labels: names of labels; the first stage that gives all of them is measured.
        of: figures from that stage's mask (uint8 (depth, height, width), ids by ``mask.names``) on the image's grid.
            Called for every answer in which the stage ran, also where its mask is empty.
    """

    labels: frozenset[str]
    of: Callable[[Mask, Image], Sequence[Measurement]]
