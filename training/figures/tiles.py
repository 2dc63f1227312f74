"""Small pictures that panels are made of: what a network saw, the truth, what it drew, and both outlined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.formats.overlay import shown
from service.image import Region
from service.preprocess import resize

Picture = NDArray[np.uint8]
Labels = NDArray[np.uint8]
Colour = tuple[int, int, int]
# Pixels of the longer side: enough for a column of a printed page, and contours look alike whatever the source's size.
LONGEST = 480
LINE = 2
# Okabe & Ito's colours, which colour-blind readers tell apart; also for labels 1, 2, ... where there are several.
TRUTH: Colour = (0, 158, 115)
GUESS: Colour = (230, 159, 0)
BOX: Colour = (86, 180, 233)
INK = np.array(
    [(0, 0, 0), (255, 255, 255), GUESS, BOX, TRUTH, (204, 121, 167), (240, 228, 66), (213, 94, 0), (0, 114, 178)],
    np.uint8,
)


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture of a panel, RGB uint8 (height, width, 3), and a line of text under it."""

    picture: Picture
    caption: str = ""


def photograph(image: NDArray[Any]) -> Picture:
    """A picture (height, width) or (height, width, 1 or 3) of any real type as RGB, its longer side 480 pixels."""
    return np.ascontiguousarray(_enlarged(shown(image[..., None] if image.ndim == 2 else image)))


def painted(labels: Labels) -> Picture:
    """A label map (height, width) as RGB: white on black, each further label in a colour of its own."""
    inked = np.where(labels == 0, 0, (labels.astype(int) - 1) % (len(INK) - 1) + 1)
    return INK[_enlarged(inked.astype(np.uint8), "nearest")]


def outlined(picture: Picture, labels: Labels, colour: Colour) -> Picture:
    """A copy of an RGB picture with the border of every label in ``colour``; labels may be of another size."""
    drawn = picture.copy()
    plane = resize(labels, *picture.shape[:2], interpolation="nearest")
    for label in np.unique(plane[plane > 0]):
        lines, _ = cv2.findContours((plane == label).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(drawn, lines, -1, colour, LINE)
    return drawn


def boxed(picture: Picture, boxes: Sequence[Region], source: tuple[int, ...], colour: Colour = BOX) -> Picture:
    """A copy of an RGB picture with boxes of a grid of (height, width) ``source``."""
    drawn = picture.copy()
    scale = np.array([picture.shape[1] / source[1], picture.shape[0] / source[0]] * 2)
    for box in boxes:
        left, top, right, bottom = np.rint(np.array(box.box) * scale).astype(int).tolist()
        cv2.rectangle(drawn, (left, top), (right - 1, bottom - 1), colour, LINE)
    return drawn


def compared(image: NDArray[Any], truth: Labels, guess: Labels) -> Picture:
    """The picture with the truth's border in green and over it the prediction's in orange."""
    return outlined(outlined(photograph(image), truth, TRUTH), guess, GUESS)


def _enlarged(plane: NDArray[Any], interpolation: str = "linear") -> NDArray[Any]:
    scale = LONGEST / max(plane.shape[:2])
    height, width = (max(1, round(side * scale)) for side in plane.shape[:2])
    return resize(plane, height, width, interpolation)
