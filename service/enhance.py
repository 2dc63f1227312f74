"""What the original methods did to mammograms before a network saw them, shared by training and serving.

Every function takes and gives uint8 grey (height, width) in which air is dark and tissue bright, as DICOM shows it
(MONOCHROME2). Each raises UnusableImage for an array of another type or number of axes. Steps and constants are those
of the published preprocessing of the tissue-to-cancer cascade (ACAAtrousResUNet); where we differ, it is said.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import UnusableImage

Grey = NDArray[np.uint8]

TILES = (8, 8)
# Spread of the breast's grey values, and the clip limit of CLAHE that goes with it: flat pictures get more contrast.
SPREAD, CLIP = (6.0, 40.0), (6.0, 0.5)
# Film frames and scanner edges are narrower than twice this share of the shorter side; a breast is not.
FRAME = 0.025


def median_clahe(grey: NDArray[Any], clip: float = 1.5, tiles: tuple[int, int] = TILES) -> Grey:
    """Median 3 x 3, then contrast-limited adaptive histogram equalisation on (columns, rows) ``tiles``."""
    return _clahe(np.asarray(cv2.medianBlur(_checked(grey), 3), np.uint8), clip, tiles)


def adaptive_clahe(grey: NDArray[Any]) -> Grey:
    """CLAHE inside the breast, the stronger the flatter its grey values are; outside nothing but the final steps.

    Bilateral filter (9, 75, 75), `breast_mask`, clip limit 6 at a spread (standard deviation) of 6 down to 0.5 at 40,
    CLAHE 8 x 8, blended in through the mask feathered by a Gaussian of 31, stretched to 0..255, median 3 x 3. A picture
    without a breast is only stretched and smoothed.
    """
    smooth = np.asarray(cv2.bilateralFilter(_checked(grey), 9, 75, 75), np.uint8)
    breast = breast_mask(smooth)
    inside = np.asarray(cv2.GaussianBlur(breast.astype(np.float32), (31, 31), 0), np.float32)
    strong = _clahe(smooth, _clip(smooth[breast > 0]), TILES)
    blend = inside * strong + (1 - inside) * grey
    stretched = cv2.normalize(blend, np.zeros_like(blend), 0, 255, cv2.NORM_MINMAX)
    return np.asarray(cv2.medianBlur(np.round(stretched).astype(np.uint8), 3), np.uint8)


def breast_mask(grey: NDArray[Any]) -> Grey:
    """Breast with pectoral muscle, 1 inside and 0 outside, all 0 where nothing stands out from the background.

    Gaussian 5 x 5, Otsu's threshold, closing with a 9 x 9 ellipse twice, film frames removed, largest component, box
    blur 7 x 7 cut at half. Two steps differ from the published ones: the threshold is found on the logarithm of the
    grey values, since on the plain ones it parts dense from fatty tissue instead of breast from air; and the result is
    never inverted: the published rule (invert where the mean is below 128) picks the air of any ordinary mammogram.
    """
    smooth = np.asarray(cv2.GaussianBlur(_checked(grey), (5, 5), 0), np.uint8)
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    closed = cv2.morphologyEx(_bright(smooth), cv2.MORPH_CLOSE, ellipse, iterations=2)
    breast = _largest(_without_frames(np.asarray(closed, np.uint8)))
    return (cv2.blur(breast * np.uint8(255), (7, 7)) > 127).astype(np.uint8)


def canonical_side(grey: NDArray[Any]) -> tuple[Grey, bool]:
    """The picture with the chest wall at its left edge, and whether it was mirrored for that.

    The chest wall is at the side whose outer quarter holds more of the breast. A picture without a breast stays.
    """
    breast = breast_mask(grey)
    quarter = max(1, breast.shape[1] // 4)
    flipped = bool(breast[:, -quarter:].sum() > breast[:, :quarter].sum())
    return np.ascontiguousarray(grey[:, ::-1] if flipped else grey), flipped


def _checked(grey: NDArray[Any]) -> Grey:
    if grey.ndim == 2 and grey.dtype == np.uint8 and grey.size:
        return np.ascontiguousarray(grey)
    raise UnusableImage(
        f"{grey.dtype} of shape {grey.shape}", "uint8 grey (height, width)", "Window the picture to 8 bits first."
    )


def _clahe(grey: Grey, clip: float, tiles: tuple[int, int]) -> Grey:
    return np.asarray(cv2.createCLAHE(clipLimit=clip, tileGridSize=tiles).apply(grey), np.uint8)


def _clip(breast: Grey) -> float:
    return float(np.interp(breast.std(), SPREAD, CLIP)) if breast.size else CLIP[1]


def _bright(grey: Grey) -> Grey:
    logarithm = np.round(np.log1p(grey.astype(np.float32)) * np.float32(255 / np.log(256))).astype(np.uint8)
    if logarithm.min() == logarithm.max():
        return np.zeros_like(grey)
    return np.asarray(cv2.threshold(logarithm, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1], np.uint8)


def _without_frames(mask: Grey) -> Grey:
    """Opened by a square, with air beyond the picture: strips along its edges go, corners of the breast stay."""
    side = 2 * round(min(mask.shape) * FRAME) + 1
    padded = cv2.copyMakeBorder(mask, side, side, side, side, cv2.BORDER_CONSTANT, value=0)
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    return np.asarray(opened, np.uint8)[side:-side, side:-side]


def _largest(mask: Grey) -> Grey:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return np.zeros_like(mask)
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), np.uint8)
