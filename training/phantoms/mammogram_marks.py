"""What is on a mammogram and not in the breast: view markers, name plates, film frames, dust, scratches."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from training.phantoms.film import Grey
from training.phantoms.mammogram_shape import Plane

Box = tuple[int, int, int, int]
FONT = cv2.FONT_HERSHEY_SIMPLEX
BOLD = cv2.FONT_HERSHEY_DUPLEX


def film_marks(picture: Grey, inside: Plane, text: str, rng: np.random.Generator) -> Grey:
    """A film with some of: a lead marker that says ``text``, a name plate, a white frame, dust and scratches."""
    picture = picture.copy()
    if rng.random() < 0.7:
        _paste(picture, inside, _lead_marker(text, len(picture), rng), rng)
    if rng.random() < 0.12:
        _paste(picture, inside, _plate(len(picture), rng), rng)
    _dust(picture, rng)
    if rng.random() < 0.2:
        _frame(picture, rng)
    return picture


def digital_marks(picture: Grey, inside: Plane, text: str, rng: np.random.Generator) -> Grey:
    """A digital picture with a burnt-in marker in even letters, sometimes with lines of text."""
    picture = picture.copy()
    lines = [text, "PHANTOM", "kVp 29  mAs 84"][: int(rng.integers(1, 4))]
    _paste(picture, inside, _letters(lines, len(picture), rng), rng)
    return picture


def _lead_marker(text: str, height: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Letters of lead, the first one larger, turned by any angle, a little blurred."""
    big, small = height * rng.uniform(0.0011, 0.0017), height * rng.uniform(0.0006, 0.001)
    side = round(height * 0.2)
    canvas = np.zeros((side, side), np.uint8)
    white, middle = int(rng.integers(130, 250)), side // 2
    cv2.putText(canvas, text[0], (round(side * 0.2), middle), BOLD, big, white, max(1, round(2.4 * big)), cv2.LINE_AA)
    start = round(side * 0.2 + 22 * big)
    cv2.putText(canvas, text[1:], (start, middle), BOLD, small, white, max(1, round(2 * small)), cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), float(rng.uniform(-75, 75)), 1.0)
    turned = cv2.warpAffine(canvas, turn, (side, side), flags=cv2.INTER_LINEAR)
    return _cropped(cv2.GaussianBlur(turned, (0, 0), 0.6))


def _letters(lines: list[str], height: int, rng: np.random.Generator) -> NDArray[np.float32]:
    scale, line = height * 0.0007, round(height * 0.028)
    canvas = np.zeros((line * (len(lines) + 1), round(height * 0.3)), np.uint8)
    for number, text in enumerate(lines):
        cv2.putText(canvas, text, (2, line * (number + 1)), FONT, scale, int(rng.integers(200, 256)), 1, cv2.LINE_AA)
    return _cropped(canvas)


def _plate(height: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A patient's plate, its writing blotted out by dashes: no name stands on a phantom."""
    high, wide = round(height * rng.uniform(0.04, 0.09)), round(height * rng.uniform(0.1, 0.2))
    plate = np.full((high, wide), int(rng.integers(60, 230)), np.uint8)
    for row in range(4, high - 4, 7):
        ends = np.sort(rng.integers(4, max(5, wide - 4), 2))
        cv2.line(plate, (int(ends[0]), row), (int(ends[1]), row), int(rng.integers(0, 255)), 2)
    diagonal = int(np.hypot(high, wide)) + 2
    canvas = np.zeros((diagonal, diagonal), np.uint8)
    top, left = (diagonal - high) // 2, (diagonal - wide) // 2
    canvas[top : top + high, left : left + wide] = plate
    angle = float(rng.choice([0.0, 90.0, rng.uniform(-60, 60)]))
    turn = cv2.getRotationMatrix2D((diagonal / 2, diagonal / 2), angle, 1.0)
    return _cropped(cv2.warpAffine(canvas, turn, (diagonal, diagonal)))


def _cropped(canvas: NDArray[np.generic]) -> NDArray[np.float32]:
    rows, columns = np.flatnonzero(canvas.any(axis=1)), np.flatnonzero(canvas.any(axis=0))
    return np.asarray(canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], np.float32)


def _paste(picture: Grey, inside: Plane, mark: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Lighten the picture by the mark where it clears the breast; it is left out where there is no such place."""
    for _ in range(30):
        top, left = (int(rng.integers(0, max(1, whole - side))) for whole, side in zip(picture.shape, mark.shape))  # noqa: B905
        here = slice(top, top + mark.shape[0]), slice(left, left + mark.shape[1])
        if picture[here].shape == mark.shape and not inside[here].any():
            picture[here] = np.maximum(picture[here], mark)
            return


def _dust(picture: Grey, rng: np.random.Generator) -> None:
    height, width = picture.shape
    for _ in range(rng.integers(0, 9)):
        at = int(rng.integers(width)), int(rng.integers(height))
        grey = int(rng.choice([rng.integers(0, 40), rng.integers(120, 256)]))
        cv2.circle(picture, at, int(rng.integers(0, 2)), grey, -1, cv2.LINE_AA)
    if rng.random() < 0.25:
        x, y = int(rng.integers(width)), int(rng.integers(height))
        end = x + int(rng.integers(-12, 13)), y + int(rng.integers(20, 140))
        low = int(picture[min(y, height - 1), x])
        cv2.line(picture, (x, y), end, min(255, low + int(rng.integers(6, 30))), 1, cv2.LINE_AA)


def _frame(picture: Grey, rng: np.random.Generator) -> None:
    """White film edges, of other widths on each side, some missing; corners sometimes cut."""
    sides: tuple[Callable[[int], tuple[slice, slice]], ...] = (
        lambda n: (slice(0, n), slice(None)),
        lambda n: (slice(-n, None), slice(None)),
        lambda n: (slice(None), slice(0, n)),
        lambda n: (slice(None), slice(-n, None)),
    )
    for side in sides:
        if rng.random() < 0.5:
            picture[side(int(rng.integers(1, max(2, picture.shape[1] // 70))))] = int(rng.integers(200, 256))
