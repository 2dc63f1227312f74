"""Colours of labels as one table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.manifest import Label


def colour_table(labels: tuple[Label, ...]) -> NDArray[np.uint8]:
    """RGB by label id, (256, 3). Background is black; an id that no label names is white, so that it is seen."""
    table = np.full((256, 3), 255, np.uint8)
    table[0] = 0
    for label in labels:
        table[label.id] = label.color
    return table
