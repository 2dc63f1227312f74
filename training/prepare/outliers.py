"""Odd mammograms among many: the local outlier factor (Breunig et al., SIGMOD 2000) on plain features.

The cascade's authors take the factor (20 neighbours, 5 % removed) on ResNeXt-50 features of the whole picture and of
the lesion's crop. Ours are features without weights to download: small thumbnails of both, their brightness and
contrast, and the lesion's share of the picture. They find other outliers than the authors' would.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

NEIGHBOURS = 20
THUMBNAIL = 8
# Keeps the density of exact copies finite.
TINY = 1e-10


def features(picture: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    """133 numbers of a grey picture and its mask, both (height, width); the mask is not 0 everywhere."""
    left, top, width, height = cv2.boundingRect(mask)
    crop = picture[top : top + height, left : left + width]
    share = np.log(np.count_nonzero(mask) / mask.size)
    return np.concatenate([_described(picture), _described(crop), np.array([share])]).astype(np.float32)


def outliers(rows: NDArray[np.floating[Any]], share: float, neighbours: int = NEIGHBOURS) -> NDArray[np.bool_]:
    """Which of the feature rows (n, features) are the ``share`` (0 to 1, rounded down) with the greatest factor.

    Features are standardised first. Raises ValueError for fewer rows than ``neighbours`` + 1.
    """
    check_enough(len(rows), neighbours)
    spread = rows.std(axis=0)
    factor = local_outlier_factor((rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1), neighbours)
    chosen = np.zeros(len(rows), np.bool_)
    # Stable from the back, so that of equals the earlier ones stay.
    chosen[np.argsort(factor, kind="stable")[len(rows) - int(share * len(rows)) :]] = True
    return chosen


def local_outlier_factor(rows: NDArray[np.floating[Any]], neighbours: int = NEIGHBOURS) -> NDArray[np.float64]:
    """Factor of each row (n, features): about 1 inside a cluster, greater the lonelier a row is among its neighbours.

    Raises ValueError for fewer rows than ``neighbours`` + 1.
    """
    check_enough(len(rows), neighbours)
    distance, near = _neighbours(np.asarray(rows, np.float64), neighbours)
    reach = np.maximum(distance[near, -1], distance)
    density = 1 / (reach.mean(axis=1) + TINY)
    return np.asarray(density[near].mean(axis=1) / density, np.float64)


def check_enough(count: int, neighbours: int = NEIGHBOURS) -> None:
    """Raises ValueError where so many pictures are too few to find outliers among."""
    if count <= neighbours:
        raise ValueError(
            f"Found {count} pictures with a lesion; wanted more than {neighbours} to find outliers among. Leave "
            "the removal of outliers out."
        )


def _neighbours(rows: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distances and indices (n, count) of the nearest other rows; a copy of a row is another row."""
    distance, near = cKDTree(rows).query(rows, k=count + 1)
    own = near == np.arange(len(rows))[:, None]
    # Among many copies a row may not be in its own list: then the farthest goes.
    own[~own.any(axis=1), -1] = True
    return distance[~own].reshape(-1, count), near[~own].reshape(-1, count)


def _described(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    small = cv2.resize(picture, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float64).ravel() / 255
    return np.concatenate([small, [picture.mean() / 255, picture.std() / 255]])
