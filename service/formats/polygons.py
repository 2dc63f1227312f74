"""Outlines per label as JSON."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.image import Mask

Ring = list[list[int]]


def polygon_document(mask: Mask) -> dict[str, list[dict[str, Any]]]:
    """Label name to its components ``{"outer": ring, "holes": [ring, ...]}``, those of a volume with their ``slice``.

    Rings are [[x, y], ...] over pixel centres, not closed; corners of 8-connected outlines only. All run over pixels of
    the label, so a hole's ring lies around the hole.
    """
    if len(mask.labels) == 1:
        return {name: _components(mask.labels[0] == label) for label, name in mask.names.items()}
    return {name: _through_slices(mask.labels == label) for label, name in mask.names.items()}


def _through_slices(selected: NDArray[np.bool_]) -> list[dict[str, Any]]:
    return [{"slice": z, **one} for z, plane in enumerate(selected) for one in _components(plane)]


def _components(selected: NDArray[np.bool_]) -> list[dict[str, Any]]:
    rings, tree = cv2.findContours(selected.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if not rings:
        return []
    # Rows of the tree: next, previous, first child, parent (-1 for an outer ring).
    parents = tree[0, :, 3].tolist()
    return [
        {"outer": _ring(rings[i]), "holes": [_ring(rings[j]) for j, parent in enumerate(parents) if parent == i]}
        for i, own in enumerate(parents)
        if own == -1
    ]


def _ring(points: NDArray[Any]) -> Ring:
    ring: Ring = points[:, 0, :].tolist()
    return ring
