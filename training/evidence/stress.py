"""How much of a lesion pipeline's Dice is left when pictures are disturbed in ways that have names.

Each disturbance has one stated strength and, where it draws, a generator that starts from the picture's name: the same
disturbed picture every time. The truth is moved with the picture where pixels move.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.image import Image
from service.manifest import Metric
from training import augment
from training.datasets.case import Case
from training.evaluate import Bench, Row
from training.evidence.intervals import known, mean, ratio
from training.evidence.label_maps import shown
from training.evidence.plan import Measured
from training.metrics import dice

Grey = NDArray[np.uint8]
Both = tuple[Grey, Grey]
Disturbance = Callable[[Grey, Grey, np.random.Generator], Both]
CLEAN = "clean"
# Black at the left and at the right, of the width; a white header above, of the height.
BAR, HEADER = 0.25, 0.06
SMALL, LINES = 128, 4


def _bars(picture: Grey, mask: Grey, _: np.random.Generator) -> Both:
    side, top = round(BAR * picture.shape[1]), round(HEADER * picture.shape[0])
    borders = (top, 0, side, side, cv2.BORDER_CONSTANT)
    framed = np.asarray(cv2.copyMakeBorder(picture, *borders, value=0), np.uint8)
    framed[:top, : 2 * side] = 255
    return framed, np.asarray(cv2.copyMakeBorder(mask, *borders, value=0), np.uint8)


def _text(picture: Grey, mask: Grey, rng: np.random.Generator) -> Both:
    marked = picture.copy()
    height, width = marked.shape[:2]
    for line in range(LINES):
        words = "".join(rng.choice(augment.CHARACTERS, 12))
        place = int(rng.integers(0, max(1, width // 2))), round((line + 1) * height / (LINES + 1))
        cv2.putText(marked, words, place, cv2.FONT_HERSHEY_SIMPLEX, max(width, 160) / 500, (255,) * 3, 1, cv2.LINE_AA)
    return augment.burn_in(marked, mask, 1.0, rng), mask


def _curve(change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Disturbance:
    table = np.clip(np.round(255 * change(np.linspace(0, 1, 256))), 0, 255).astype(np.uint8)
    return lambda picture, mask, _: (np.asarray(cv2.LUT(picture, table), np.uint8), mask)


def _small(picture: Grey, mask: Grey, _: np.random.Generator) -> Both:
    factor = min(1.0, SMALL / max(mask.shape))
    size = max(1, round(mask.shape[1] * factor)), max(1, round(mask.shape[0] * factor))
    tiny = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.asarray(tiny, np.uint8), np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT))


def _blur(picture: Grey, mask: Grey, _: np.random.Generator) -> Both:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.2 * max(mask.shape) / 256), np.uint8), mask


def _speckle(picture: Grey, mask: Grey, rng: np.random.Generator) -> Both:
    height, width = mask.shape
    grains = rng.standard_normal((max(2, height // 2), max(2, width // 2)), np.float32)
    field = 1 + np.float32(0.25) * cv2.resize(grains, (width, height), interpolation=cv2.INTER_LINEAR)
    beside = field if picture.ndim == 2 else field[..., None]
    return np.asarray(np.clip(picture * beside, 0, 255), np.uint8), mask


DISTURBANCES: Mapping[str, Disturbance] = {
    CLEAN: lambda picture, mask, _: (picture, mask),
    "black bars and a white header": _bars,
    "burnt-in text and calipers": _text,
    "gain x 1.5": _curve(lambda value: 1.5 * value),
    "gain x 0.5": _curve(lambda value: 0.5 * value),
    "gamma 0.6": _curve(lambda value: value**0.6),
    "gamma 1.6": _curve(lambda value: value**1.6),
    "128 pixels": _small,
    "blur": _blur,
    "speckle": _speckle,
}


def disturbed_rows(bench: Bench, cases: Sequence[Case], measured: Measured) -> list[Row]:
    """One row for each picture with a lesion under each of `DISTURBANCES`. Pictures have 8 bits."""
    truths = ((case, (case.read_mask() > 0).astype(np.uint8)) for case in cases)
    return [
        _row(bench, case, truth, name, measured.stage) for case, truth in truths if truth.any() for name in DISTURBANCES
    ]


def _row(bench: Bench, case: Case, truth: Grey, name: str, stage: str | None) -> Row:
    rng = np.random.default_rng(zlib.crc32(f"{case.name} {name}".encode()))
    picture, mask = DISTURBANCES[name](_eight_bits(shown(case)), truth, rng)
    image = Image(picture[None, ..., None] if picture.ndim == 2 else picture[None])
    guess = np.asarray(bench.serve(image, stage=stage).result.mask.labels[0] > 0)
    return {"image": case.name, "group": case.group, "disturbance": name, "dice": dice(guess, mask > 0)}


def _eight_bits(image: Image) -> Grey:
    picture = np.asarray(image.slab(0, 1))[0]
    plane: NDArray[Any] = picture[..., 0] if picture.shape[-1] == 1 else picture
    return np.asarray(augment.in_eight_bits(plane, lambda same: same), np.uint8)


def disturbed_figures(rows: Sequence[Row], on: str) -> tuple[Metric, ...]:
    """Mean Dice under each disturbance, and its share of the clean figure on the same pictures."""
    by_name = {name: [row["dice"] for row in rows if row["disturbance"] == name] for name in DISTURBANCES}
    clean = by_name[CLEAN]
    dices = [mean(f"lesion Dice, {name}", values, on) for name, values in by_name.items()]
    shares = [
        ratio(f"share of the clean Dice, {name}", values, clean, on)
        for name, values in by_name.items()
        if name != CLEAN and len(values) == len(clean)
    ]
    return known([*dices, *shares])
