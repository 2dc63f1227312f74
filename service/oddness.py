"""Does a picture look like those a pipeline learned from? A cheap check that flags what does not, and refuses nothing.

A picture is put into numbers (`service.oddness_spec.FEATURES`), of which the manifest has mean and spread over the
training pictures. The distance is the root mean square of the standardised differences. It knows photographs from
ultrasound; it does not know a good picture from a bad one, nor a breast from a knee.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.image import Image
from service.oddness_spec import Oddness
from service.source import Flag

SIDE = 96
BORDER = 0.06
DARK, BRIGHT = 0.04, 0.9
SPIKES = 8.0
RESIZED = ("uint8", "uint16", "int16", "float32", "float64")
DIRECTIONS = 4
Plane = NDArray[np.float32]
Values = NDArray[np.float64]
UNLIKE = "unlike_training"


def oddness_flags(known: Oddness | None, image: Image, modality: str) -> tuple[Flag, ...]:
    """One flag where the picture, or the middle slice of a volume, is unlike what was learned from; else none."""
    if known is None or distance(known, features(image)) <= known.threshold:
        return ()
    text = (
        f"This picture looks unlike those that the pipeline (modality {modality}) learned from: check that it is of "
        "the right kind. It was evaluated all the same."
    )
    return (Flag(UNLIKE, text),)


def distance(known: Oddness, found: Values) -> float:
    """Of features (`FEATURES`) from the training pictures, 1 being usual."""
    return float(np.sqrt(np.mean(((found - np.array(known.mean)) / np.array(known.deviation)) ** 2)))


def features(image: Image) -> Values:
    """`FEATURES` of the middle slice of what is looked at, (16,)."""
    field = image.field
    z = (field.z0 + field.z1) // 2
    shown = image.slab(z, z + 1)[0, field.top : field.bottom, field.left : field.right]
    return _features(_small(shown), (field.height, field.width))


def _small(shown: NDArray[Any]) -> Plane:
    """(`SIDE`, `SIDE`, channels), 0 to 1 between the 0.5th and the 99.5th percentile of all channels together."""
    known = shown if shown.dtype.name in RESIZED else shown.astype(np.float32)
    small = cv2.resize(np.ascontiguousarray(known), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    values = np.nan_to_num(small.astype(np.float64), posinf=0, neginf=0).reshape(SIDE, SIDE, -1)
    low, high = (float(value) for value in np.percentile(values, (0.5, 99.5)))
    return np.asarray(np.clip((values - low) / max(high - low, 1e-9), 0, 1), np.float32)


def _features(small: Plane, size: tuple[int, int]) -> Values:
    grey = np.asarray(small.mean(axis=-1), np.float32)
    return np.array(
        [
            float(np.ptp(small, axis=-1).mean()),
            *_shares(grey),
            *_moments(grey),
            *_edges(grey),
            *_balance(grey),
            float(np.log(size[1] / size[0])),
        ],
        np.float64,
    )


def _shares(grey: Plane) -> tuple[float, float, float]:
    rim = max(1, round(BORDER * SIDE))
    inner = np.zeros(grey.shape, bool)
    inner[rim:-rim, rim:-rim] = True
    return float((grey < DARK).mean()), float((grey[~inner] < DARK).mean()), float((grey > BRIGHT).mean())


def _moments(grey: Plane) -> tuple[float, float, float, float]:
    centre, spread = float(grey.mean()), max(float(grey.std()), 1e-3)
    standard = (grey - centre) / spread
    # Products: numpy takes a hundred times as long for powers above two.
    squared = standard * standard
    return (
        centre,
        spread,
        float(np.clip((squared * standard).mean(), -SPIKES, SPIKES)),
        float(np.clip((squared * squared).mean(), 0, SPIKES)),
    )


def _edges(grey: Plane) -> tuple[float, float, float, float, float]:
    """Mean gradient, how much of it is finer than two pixels, and shares of it by direction."""
    across, down = (cv2.Sobel(grey, cv2.CV_32F, *order) / 8 for order in ((1, 0), (0, 1)))
    strength = np.hypot(across, down)
    total = max(float(strength.sum()), 1e-6)
    bins = np.round(np.arctan2(down, across) / (np.pi / DIRECTIONS)).astype(np.int64) % DIRECTIONS
    upright, first, level, second = (float(strength[bins == one].sum()) / total for one in range(DIRECTIONS))
    fine = float(np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1.5)).mean())
    return total / grey.size, fine, upright, level, first + second


def _balance(grey: Plane) -> tuple[float, float]:
    """Upper half less lower half; how far left and right half differ, which mirroring does not change."""
    half = SIDE // 2
    return (
        float(grey[:half].mean() - grey[half:].mean()),
        abs(float(grey[:, :half].mean() - grey[:, half:].mean())),
    )
