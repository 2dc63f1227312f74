"""Raw network output to probabilities, boxes and scores."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from service.manifest import Decode

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Candidate:
    """A box in network pixels, edges at whole numbers, (left, top, right, bottom); label index and score 0 to 1."""

    box: tuple[float, float, float, float]
    label: int
    score: float


def sigmoid(logits: Float) -> Float:
    """Elementwise 1 / (1 + exp(-z)), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float32)


def softmax(logits: Float) -> Float:
    """Over the first axis (classes, ...)."""
    shifted = np.exp(logits - logits.max(axis=0, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=0, keepdims=True), np.float32)


def label_probabilities(logits: Float, *, exclusive: bool) -> Float:
    """(channels, h, w) to foreground probabilities (labels, h, w).

    ``exclusive``: softmax, background is the first channel and left out of the result. Else each channel by itself.
    """
    return softmax(logits)[1:] if exclusive else sigmoid(logits)


def candidates(outputs: dict[str, Float], decode: Decode) -> list[Candidate]:
    """One image's detector outputs, without batch axis, to boxes by falling score, at most ``max_regions``."""
    reader = _components if decode.kind == "components" else _yolo
    found = [one for one in reader(outputs, decode) if one.score >= decode.min_score]
    return sorted(found, key=lambda one: (-one.score, one.box))[: decode.max_regions]


def _components(outputs: dict[str, Float], decode: Decode) -> list[Candidate]:
    """Output ``logits`` (labels, h, w), optionally ``presence`` (labels,): logits that the label is there at all.

    Score: mean probability inside the component, times the probability of presence.
    """
    maps = sigmoid(outputs["logits"])
    presence = sigmoid(outputs["presence"]) if "presence" in outputs else np.ones(len(maps), np.float32)
    return [
        one
        for label, (plane, there) in enumerate(zip(maps, presence, strict=True))
        for one in _plane_components(plane, label, float(there), decode)
    ]


def _plane_components(plane: Float, label: int, presence: float, decode: Decode) -> list[Candidate]:
    above = (plane > decode.threshold).astype(np.uint8)
    count, ids, stats, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    found = []
    for one in range(1, count):
        x, y, w, h, area = (int(v) for v in stats[one])
        if area < max(1.0, decode.min_area * plane.size):
            continue
        inside = plane[y : y + h, x : x + w][ids[y : y + h, x : x + w] == one]
        found.append(Candidate((x, y, x + w, y + h), label, presence * float(inside.mean())))
    return found


def _yolo(outputs: dict[str, Float], decode: Decode) -> list[Candidate]:
    """First output (4 + labels, anchors): centre x, centre y, width, height in network pixels, then a score per label.

    As ultralytics exports YOLO11 with its own suppression left out.
    """
    raw = next(iter(outputs.values()))
    scores = raw[4:]
    labels, best = scores.argmax(axis=0), scores.max(axis=0)
    kept = np.flatnonzero(best > decode.threshold)
    centre, size = raw[:2, kept].T, raw[2:4, kept].T
    corners = np.concatenate([centre - size / 2, size], axis=1).astype(float)
    rows = cv2.dnn.NMSBoxesBatched(
        corners.tolist(), best[kept].tolist(), labels[kept].tolist(), decode.threshold, decode.iou
    )
    return [_yolo_candidate(corners[row], int(labels[kept[row]]), float(best[kept[row]])) for row in rows]


def _yolo_candidate(corner: NDArray[np.float64], label: int, score: float) -> Candidate:
    left, top, width, height = (float(v) for v in corner)
    return Candidate((left, top, left + width, top + height), label, min(1.0, score))
