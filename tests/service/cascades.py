"""Small cascades and how their stages ended."""

from __future__ import annotations

from typing import Any

import numpy as np

from service.cascade import Cascade
from service.result import CascadeResult
from tests.fakes import (
    cascade,
    scores,
    spec,
    threshold,
)

SIZE = (32, 32)
CLASSES = ("benign", "malignant")
BLACK_BUT_ONE = np.zeros((64, 64), np.uint8)
BLACK_BUT_ONE[0, 0] = 20


def pipeline(lesion: dict[str, Any] | None = None, on_miss: str = "empty") -> Cascade:
    """Find bright things, segment around them, classify."""
    changes = {"on": "find", "label": "lesion", "on_miss": on_miss, "look": {"margin": 0.5}, **(lesion or {})}
    return cascade(
        (spec("find", "detect"), threshold(SIZE)),
        (spec("lesion", **changes), threshold(SIZE)),
        (spec("class", "classify", on="lesion", labels=CLASSES), scores(SIZE, 0.0, 1.0)),
    )


def how(result: CascadeResult) -> list[str]:
    return [stage.localisation for stage in result.stages]


def codes(result: CascadeResult) -> list[str]:
    return [flag.code for flag in result.flags]
