"""What a scanner's screen puts around and onto the picture: bars, a grey wedge, text, a depth ruler, calipers."""

from __future__ import annotations

import cv2
import numpy as np

from training.phantoms.acoustics import Grey

TOP, BOTTOM, LEFT, RIGHT = 0.075, 0.06, 0.07, 0.11  # of the whole picture's height and width
INK = 225  # grey value of text and marks


def inner_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) that is left for the scan inside a screenshot of ``size``."""
    left, top, right, bottom = _margins(size)
    return size[0] - top - bottom, size[1] - left - right


def _margins(size: tuple[int, int]) -> tuple[int, int, int, int]:
    height, width = size
    return round(LEFT * width), round(TOP * height), round(RIGHT * width), round(BOTTOM * height)


def screenshot(image: Grey, mask: Grey, size: tuple[int, int]) -> tuple[Grey, Grey]:
    """Scan and mask of the inner size on a screen of ``size`` (height, width); marks lie on the picture only."""
    left, top, right, bottom = _margins(size)
    screen = np.asarray(cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=0), np.uint8)
    truth = np.asarray(cv2.copyMakeBorder(mask, top, bottom, left, right, cv2.BORDER_CONSTANT, value=0), np.uint8)
    _text(screen)
    _wedge_and_ruler(screen, left, right)
    _calipers(screen, truth)
    return screen, truth


def _write(screen: Grey, text: str, at: tuple[int, int], scale: float = 0.38) -> None:
    cv2.putText(screen, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, 1, cv2.LINE_AA)


def _text(screen: Grey) -> None:
    height, width = screen.shape
    _write(screen, "PHANTOM  BREAST  L12-5", (8, round(0.048 * height)))
    _write(screen, "MI 0.9  TIs 0.2", (round(0.72 * width), round(0.048 * height)))
    _write(screen, "RT  RAD  10:00", (8, round(0.985 * height)))


def _wedge_and_ruler(screen: Grey, left: int, right: int) -> None:
    height, width = screen.shape
    top, bottom = round(0.15 * height), round(0.85 * height)
    wedge = np.linspace(255, 0, bottom - top).astype(np.uint8)[:, None]
    screen[top:bottom, left // 3 : left // 3 + 8] = wedge
    for tick, row in enumerate(np.linspace(top, bottom, 9).round().astype(int)):
        length = 9 if tick % 4 == 0 else 4
        screen[row, width - right + 6 : width - right + 6 + length] = INK


def _calipers(screen: Grey, truth: Grey) -> None:
    """Two crosses at the ends of the widest row of each lesion, as a sonographer sets them."""
    outlines, _ = cv2.findContours(truth, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for outline in outlines:
        points = outline[:, 0, :]
        for end in (points[points[:, 0].argmin()], points[points[:, 0].argmax()]):
            cv2.drawMarker(screen, (int(end[0]), int(end[1])), INK, cv2.MARKER_CROSS, 9, 1)
